"""Sagas to try the loader on."""

from collections.abc import Callable
from typing import Any

import pytest
from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest as Order
from payment.v1.payment_saga import PaymentService

from orchestrator.definitions.errors import DefinitionErrors
from orchestrator.definitions.loading import load
from orchestrator.definitions.saga import Saga, Step

Declare = Callable[[Saga[Any, Any]], object]
"""Adds steps to a saga."""

# Untyped on purpose: what is wrong here would not pass the type checker.
RESERVE: Any = InventoryService.Reserve
CHARGE: Any = PaymentService.Charge


def new_saga(**options: Any) -> Saga[Any, Any]:
    return Saga[Any, Any]("trial", **{"version": 1, "input": Order, **options})


def faults(saga: Saga[Any, Any]) -> list[str]:
    with pytest.raises(DefinitionErrors) as caught:
        load(saga)
    assert str(caught.value) == "\n".join(str(fault) for fault in caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def add_reserve(saga: Saga[Any, Any], **options: Any) -> Step[..., Any, Any]:
    @saga.step(RESERVE, **options)
    def reserve(order: Order) -> ReserveRequest:
        return ReserveRequest(order_id=order.order_id)

    if options.get("kind") in (None, "compensatable"):

        @reserve.compensation
        def release(order: Order) -> ReleaseRequest:
            return ReleaseRequest(order_id=order.order_id)

    return reserve


def check_one_fault(declare: Declare, expected: str) -> None:
    """One fault, at the step that was declared last."""
    saga = new_saga()
    declare(saga)
    found = faults(saga)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith(f'saga "trial" v1, step "{saga.steps[-1].name}": ')
