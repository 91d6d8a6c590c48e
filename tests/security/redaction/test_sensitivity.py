"""Marked values leave messages and texts, whatever shape they have."""

import json
from typing import Any

import pytest
from commerce.v1.address_pb2 import Address
from google.protobuf import any_pb2
from google.protobuf.descriptor import Descriptor
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_pb2 import AuthorizeRequest, ChargeRequest
from saga.v1 import options_pb2

from contracts.sensitivity import MAX_SCRUBBED_VALUES, REDACTED, redact, scrub, sensitivity
from orchestrator.operations.payloads import show
from tests.security.redaction.contract import Inner, Outer, filled

CANARY = "canary-7f3a"
SECRET, PERSONAL = options_pb2.SENSITIVITY_SECRET, options_pb2.SENSITIVITY_PERSONAL


def test_nothing_that_is_marked_is_shown() -> None:
    message = filled(CANARY)
    shown = json.loads(show(message).json)
    assert CANARY not in json.dumps(shown)
    assert "4321" not in json.dumps(shown)
    assert (shown["open"], shown["inner"]["open"], shown["people"]["Ada"]["open"]) == ("shown", "shown", "shown")
    assert shown["any"]["open"] == "shown"
    assert (shown["phones"], shown["old"], shown["inner"]["email"]) == ([REDACTED], REDACTED, REDACTED)
    assert not {"key", "pin", "whole", "tokens"} & set(shown)
    redact(message)
    assert CANARY.encode() not in message.SerializeToString()


def test_what_nobody_describes_is_left_out() -> None:
    message: Any = Outer(open="shown")
    message.any.CopyFrom(any_pb2.Any(type_url="type.example.com/nobody.v1.Knows", value=CANARY.encode()))
    redact(message)
    assert CANARY.encode() not in message.SerializeToString()
    assert message.open == "shown"


@pytest.mark.parametrize(
    "value",
    [
        f"{CANARY} key",
        f"{CANARY} key".encode().hex(),
        f"{CANARY} 2",
        f"{CANARY}@example.com",
        f"{CANARY} whole",
        f"{CANARY} token",
        f"{CANARY} name",
        f"{CANARY} old",
        f"{CANARY} OLD".upper(),
    ],
)
def test_a_text_does_not_quote_what_is_marked(value: str) -> None:
    assert scrub(f"declined: {value}!", filled(CANARY)) == f"declined: {REDACTED}!"


def test_a_text_that_was_cut_off_in_a_value_loses_that_part() -> None:
    assert scrub(f"declined: {CANARY}", filled(CANARY)) == f"declined: {REDACTED}"
    assert scrub("declined: cana", filled(CANARY)) == f"declined: {REDACTED}"


def test_a_text_that_quotes_nothing_stays_as_it_is() -> None:
    for text in ("", "no carrier serves shown", "out of stock: 3 of A-1"):
        assert scrub(text, filled(CANARY)) == text
    assert scrub("a b", Inner(email="b")) == "a b", "a value of one letter is in every word"
    assert scrub("a .* b", Inner(email=".*.*")) == "a .* b", "values are not patterns"


def test_too_many_values_cost_the_text_not_the_node() -> None:
    many: Any = Outer(phones=[f"{number:09}" for number in range(MAX_SCRUBBED_VALUES + 1)])
    assert scrub("anything", many) == REDACTED


def marked(descriptor: Descriptor) -> dict[str, int]:
    return {field.name: sensitivity(field) for field in descriptor.fields if sensitivity(field)}


def test_the_shipped_contracts_mark_tokens_names_and_addresses() -> None:
    for kind in (PlaceOrderRequest, AuthorizeRequest, ChargeRequest):
        assert marked(kind.DESCRIPTOR) == {"payment_method": SECRET}
    assert marked(Address.DESCRIPTOR) == dict.fromkeys(["recipient", "address_lines", "postal_code"], PERSONAL)
