"""What operators are shown of a saga's messages."""

import json

from commerce.v1.address_pb2 import Address
from google.protobuf.struct_pb2 import Struct
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest

from contracts.sensitivity import REDACTED, redact
from orchestrator.operations.payloads import MAX_JSON_CHARS, show, show_bytes

HOSTILE = "<img src=x onerror=alert(1)> \x1b[31mred"
ORDER = PlaceOrderRequest(
    order_id="o-1",
    payment_method="pm_card_visa",
    lines=[OrderLine(sku="A-1", quantity=2)],
    ship_to=Address(recipient="Ada", address_lines=["1 Main St", "Flat 2"], locality="London", region_code="GB"),
)


def test_what_the_contract_calls_sensitive_is_not_shown() -> None:
    payload = show(ORDER)
    shown = json.loads(payload.json)
    assert payload.type == "orders.v1.PlaceOrderRequest"
    assert shown["paymentMethod"] == REDACTED
    assert (shown["shipTo"]["recipient"], shown["shipTo"]["addressLines"]) == (REDACTED, [REDACTED])
    assert (shown["shipTo"]["locality"], shown["lines"][0]["sku"]) == ("London", "A-1")
    assert "pm_card" not in payload.json
    assert ORDER.payment_method == "pm_card_visa", "the message itself is left as it is"


def test_what_is_not_set_stays_so() -> None:
    shown = json.loads(show(PlaceOrderRequest(order_id="o-1")).json)
    assert shown == {"orderId": "o-1"}


def test_fields_that_no_descriptor_describes_are_left_out() -> None:
    message = PlaceOrderRequest.FromString(ORDER.SerializeToString() + b"\xfa\x3f\x06secret")
    redact(message)
    assert b"secret" not in message.SerializeToString()


def test_huge_hostile_and_broken_payloads_are_harmless() -> None:
    huge = show(PlaceOrderRequest(order_id="x" * (MAX_JSON_CHARS + 1)))
    assert (huge.truncated, len(huge.json)) == (True, MAX_JSON_CHARS)
    hostile = show(PlaceOrderRequest(order_id=HOSTILE))
    assert json.loads(hostile.json)["orderId"] == HOSTILE, "as data: who shows it escapes it"
    assert "\x1b" not in hostile.json
    broken = show_bytes(PlaceOrderRequest, b"\xff\xff")
    assert (broken.json, "no such message" in broken.problem) == ("", True)


def test_maps_and_nested_messages_are_looked_into() -> None:
    nested = Struct()
    nested.update({"a": {"b": [1, {"c": "d"}]}})
    assert json.loads(show(nested).json) == {"a": {"b": [1.0, {"c": "d"}]}}
