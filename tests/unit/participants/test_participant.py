"""Bindings that the contract contradicts, and effects that are named alike."""

from typing import Any
from uuid import UUID

import grpc
import pytest
from inventory.v1.inventory_saga import InventoryService

from participants.inventory import handlers as inventory
from participants.kit import Participant, Rejected, StepContext
from participants.payment import handlers as payment
from participants.shipping import handlers as shipping
from participants.shipping.rules import tracking_number

SAGA = UUID("01900000-0000-7000-8000-000000000000")


async def handler(*_: Any) -> Any:
    raise NotImplementedError


@pytest.mark.parametrize("module", [inventory, payment, shipping])
def test_shipped_participants_agree_with_their_contracts(module: Any) -> None:
    module.participant().check()


def test_everything_wrong_is_said_at_once() -> None:
    bound = Participant("wrong")
    bound.command(InventoryService.Reserve, handler)
    bound.query(InventoryService.Release, handler)
    with pytest.raises(ValueError, match="ReceiveStock has no handler") as caught:
        bound.check()
    text = str(caught.value)
    assert "Reserve has a compensation, so it must be bound as an action" in text
    assert "Release undoes inventory.v1.InventoryService/Reserve, so it must be bound as a compensation" in text


def test_method_is_bound_once() -> None:
    bound = Participant("twice")
    bound.action(InventoryService.Reserve, handler)
    with pytest.raises(ValueError, match="bound already"):
        bound.compensation(InventoryService.Reserve, handler)


def test_rejection_needs_a_definite_code() -> None:
    with pytest.raises(ValueError, match="UNAVAILABLE says nothing definite"):
        Rejected(grpc.StatusCode.UNAVAILABLE, "X", "x")


def test_effect_id_depends_on_the_step_alone() -> None:
    first, again = StepContext(SAGA, "reserve", 1, 1), StepContext(SAGA, "reserve", 7, 9, "trace")
    assert first.effect_id == again.effect_id == UUID("2eb5badc-abed-592f-803a-f3dfe47e390b")
    assert first.effect_id != StepContext(SAGA, "charge", 1, 1).effect_id


def test_tracking_number_has_a_luhn_digit() -> None:
    digits = tracking_number("DE", SAGA)[2:]
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    assert sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
