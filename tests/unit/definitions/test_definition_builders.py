"""Each thing that can be wrong with a builder gives its own message, at its place, and nothing else."""

import functools
from typing import Any

import pytest
from inventory.v1.inventory_pb2 import (
    ReleaseRequest,
    ReserveRequest,
    ReserveResponse,
)
from orders.v1.orders_pb2 import PlaceOrderRequest as Order
from payment.v1.payment_pb2 import ChargeRequest, ChargeResponse

from orchestrator.definitions.saga import Saga
from tests.unit.definitions.declaring import CHARGE, RESERVE, Declare, add_reserve, check_one_fault


def wrong_return_annotation(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order) -> ReleaseRequest:
        return ReleaseRequest()


def no_return_annotation(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order):  # type: ignore[no-untyped-def]  # the point of the test
        return ReserveRequest()


def wrong_return(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order) -> ReserveRequest:
        return ReleaseRequest()  # type: ignore[return-value]  # the point of the test


def unannotated(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order) -> ReserveRequest:  # type: ignore[no-untyped-def]  # the point of the test
        return ReserveRequest()


def unresolvable(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: "Nothing") -> ReserveRequest:  # type: ignore[name-defined]  # noqa: F821  (the point of the test)
        return ReserveRequest()


def names_no_step(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order, charge: ChargeResponse) -> ReserveRequest:
        return ReserveRequest()


def names_itself(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(step: ReserveResponse) -> ReserveRequest:
        return ReserveRequest()


def wrong_parameter(saga: Saga[Any, Any]) -> None:
    add_reserve(saga)

    @saga.step(CHARGE, kind="pivot")
    def step(reserve: ChargeResponse) -> ChargeRequest:
        return ChargeRequest()


def optional_parameter(saga: Saga[Any, Any]) -> None:
    add_reserve(saga)

    @saga.step(CHARGE, kind="pivot")
    def step(reserve: ReserveResponse | None) -> ChargeRequest:
        return ChargeRequest()


def defaulted(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order, hold: int = 3) -> ReserveRequest:
        return ReserveRequest()


def variadic(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(*order: Order) -> ReserveRequest:
        return ReserveRequest()


def coroutine(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    async def step(order: Order) -> ReserveRequest:
        return ReserveRequest()


def lambda_builder(saga: Saga[Any, Any]) -> None:
    saga.step(RESERVE, kind="pivot")(lambda order: ReserveRequest())


def wrapped(saga: Saga[Any, Any]) -> None:
    def wrapper(order: Order) -> ReserveRequest:
        return ReserveRequest()

    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()

    saga.step(RESERVE, kind="pivot")(functools.wraps(step)(wrapper))


def impure(saga: Saga[Any, Any]) -> None:
    counter: list[int] = []

    @saga.step(RESERVE, kind="pivot")
    def step(order: Order) -> ReserveRequest:
        counter.append(1)
        return ReserveRequest(order_id=str(len(counter)))


def mutating(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order) -> ReserveRequest:
        order.order_id += "x"
        return ReserveRequest(order_id=order.order_id)


def depends_on_request_id(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest(order_id=order.request_id)


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (wrong_return_annotation, "the builder is annotated to return inventory.v1.ReleaseRequest; it must return"),
        (no_return_annotation, "the builder is annotated to return nothing; it must return inventory.v1.ReserveReq"),
        (wrong_return, "the builder builds a ReleaseRequest; it must return inventory.v1.ReserveRequest"),
        (unannotated, "parameter 'order' of the builder is not annotated"),
        (unresolvable, "the builder has an annotation that cannot be resolved (name 'Nothing' is not defined)"),
        (names_no_step, "parameter 'charge' of the builder names no earlier step (there are: none)"),
        (names_itself, "parameter 'step' of the builder names a step that is declared later"),
        (wrong_parameter, "parameter 'reserve' of the builder is annotated payment.v1.ChargeResponse, but the step's"),
        (optional_parameter, "parameter 'reserve' of the builder is never None"),
        (defaulted, "parameter 'hold' of the builder has a default"),
        (variadic, "parameter 'order' of the builder is variadic or keyword-only"),
        (coroutine, "the builder is a coroutine or generator"),
        (lambda_builder, "the builder is no plain function"),
        (wrapped, "the builder is wrapped by another decorator"),
        (impure, "the builder builds another message each time"),
        (mutating, "the builder changes a message that it was given"),
        (depends_on_request_id, "the builder depends on request_id or return_immediately"),
    ],
)
def test_a_faulty_builder_is_named(declare: Declare, expected: str) -> None:
    check_one_fault(declare, expected)
