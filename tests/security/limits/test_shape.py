"""Nesting and number of messages: what no rule of a contract bounds is bounded all the same; the rest costs nothing."""

from typing import Any

import pytest
from google.protobuf import any_pb2, descriptor_pb2, struct_pb2
from google.protobuf.message import Message
from orders.v1.orders_pb2 import PlaceOrderRequest
from saga.v1 import saga_service_pb2 as pb

from contracts.shape import MAX_DEPTH, MAX_ELEMENTS, misshapen

BOTTOM = struct_pb2.Value(number_value=1)
NONE: dict[str, Any] = {}


def nested_lists(levels: int) -> struct_pb2.Value:
    """Of so many levels of messages: a list is two, its value and the list in it."""
    value = BOTTOM
    for _ in range((levels - 1) // 2):
        value = struct_pb2.Value(list_value=struct_pb2.ListValue(values=[value]))
    return value


def nested_anys(levels: int) -> any_pb2.Any:
    packed = any_pb2.Any()
    for _ in range(levels - 1):
        outer = any_pb2.Any()
        outer.Pack(packed)
        packed = outer
    return packed


@pytest.mark.parametrize("nested", [nested_lists, nested_anys])
def test_a_message_may_nest_so_deep_and_no_deeper(nested: Any) -> None:
    odd = MAX_DEPTH - 1 + MAX_DEPTH % 2
    assert misshapen(nested(odd)) is None
    assert misshapen(nested(MAX_DEPTH + 3)) == f"the request nests deeper than {MAX_DEPTH} levels of messages"


def test_an_any_counts_with_what_is_in_it() -> None:
    packed = any_pb2.Any()
    packed.Pack(nested_lists(MAX_DEPTH - 1))
    assert misshapen(packed) is None
    packed.Pack(nested_lists(MAX_DEPTH + 1))
    assert misshapen(packed) is not None


def test_an_any_that_lies_about_its_content_is_refused_and_one_that_nobody_can_open_is_bytes() -> None:
    liar = any_pb2.Any(type_url="type.googleapis.com/google.protobuf.Struct", value=b"\xff\xff")
    assert misshapen(liar) == "an Any in the request does not hold the google.protobuf.Struct that it names"
    assert misshapen(any_pb2.Any(type_url="type.googleapis.com/nobody.v1.Knows", value=b"\xff\xff")) is None


@pytest.mark.parametrize(
    "crowded",
    [
        struct_pb2.ListValue(values=[BOTTOM] * (MAX_ELEMENTS + 1)),
        struct_pb2.Struct(fields={str(n): BOTTOM for n in range(MAX_ELEMENTS + 1)}),
        struct_pb2.ListValue(
            values=[struct_pb2.Value(list_value=struct_pb2.ListValue(values=[BOTTOM] * 200)) for _ in range(100)]
        ),
        # No recursion and no Any, only lists that no rule bounds.
        descriptor_pb2.FileDescriptorProto(message_type=[NONE] * (MAX_ELEMENTS + 1)),  # type: ignore[list-item]  # an empty one each
    ],
    ids=["list", "map", "lists of lists", "plain"],
)
def test_a_request_is_made_of_so_many_messages_at_the_most(crowded: Message) -> None:
    assert misshapen(crowded) == f"the request is made of more than {MAX_ELEMENTS} messages and map entries"


def test_a_long_list_that_is_allowed_passes() -> None:
    assert misshapen(struct_pb2.ListValue(values=[BOTTOM] * (MAX_ELEMENTS // 4))) is None


@pytest.mark.parametrize("kind", [PlaceOrderRequest, pb.StartSagaRequest, pb.ListSagasRequest, pb.WatchSagaRequest])
def test_requests_whose_contract_bounds_them_are_not_walked(
    kind: type[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.shape._Walk", None)
    assert misshapen(kind()) is None
