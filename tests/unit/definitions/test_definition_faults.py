"""Each thing that can be wrong with a step gives its own message, at its place, and nothing else."""

import functools
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from inventory.v1.inventory_pb2 import (
    ConfirmReservationRequest,
    GetInventoryReportRequest,
    ReleaseRequest,
    ReserveRequest,
    ReserveResponse,
)
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest as Order
from orders.v1.orders_pb2 import PlaceOrderResponse
from payment.v1.payment_pb2 import ChargeRequest, ChargeResponse, RefundRequest
from saga.v1.saga_service_pb2 import WatchSagaRequest, WatchSagaResponse

from contracts.method import Method
from orchestrator.core.definition import RetryPolicy
from orchestrator.core.outcome import Outcome
from orchestrator.definitions.saga import Saga
from tests.unit.definitions import odd_contracts as odd
from tests.unit.definitions.declaring import CHARGE, RESERVE, add_reserve, faults, new_saga

Declare = Callable[[Saga[Any, Any]], object]
"""Adds steps to a saga."""

TEXT: Any = "inventory.v1.InventoryService/Reserve"


def unknown_method(saga: Saga[Any, Any]) -> None:
    @saga.step(Method("inventory.v1.InventoryService", "Rezerve", ReserveRequest, ReserveResponse))
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()


def unknown_service(saga: Saga[Any, Any]) -> None:
    @saga.step(Method("inventory.v9.InventoryService", "Reserve", ReserveRequest, ReserveResponse))
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()


def not_a_method(saga: Saga[Any, Any]) -> None:
    @saga.step(TEXT)
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()


def stale_handle(saga: Saga[Any, Any]) -> None:
    @saga.step(Method("inventory.v1.InventoryService", "Reserve", ReserveRequest, ChargeResponse))
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()


def streaming(saga: Saga[Any, Any]) -> None:
    @saga.step(Method("saga.v1.SagaService", "WatchSaga", WatchSagaRequest, WatchSagaResponse))
    def step(order: Order) -> WatchSagaRequest:
        return WatchSagaRequest()


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


def duplicate(saga: Saga[Any, Any]) -> None:
    add_reserve(saga)
    add_reserve(saga)


def capital(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE, kind="pivot")
    def Step(order: Order) -> ReserveRequest:  # noqa: N802  (the point of the test)
        return ReserveRequest()


def no_compensation_option(saga: Saga[Any, Any]) -> None:
    @saga.step(InventoryService.ConfirmReservation)
    def step(order: Order) -> ConfirmReservationRequest:
        return ConfirmReservationRequest()

    @step.compensation
    def undo(order: Order) -> ReleaseRequest:
        return ReleaseRequest()


def no_compensation_builder(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE)
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()


def two_compensations(saga: Saga[Any, Any]) -> None:
    reserve = add_reserve(saga)

    @reserve.compensation
    def release_again(order: Order) -> ReleaseRequest:
        return ReleaseRequest()


def compensated_pivot(saga: Saga[Any, Any]) -> None:
    @add_reserve(saga, kind="pivot").compensation
    def release(order: Order) -> ReleaseRequest:
        return ReleaseRequest()


def wrong_compensation_type(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE)
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()

    @step.compensation
    def undo(order: Order) -> RefundRequest:
        return RefundRequest()


def compensation_needs_response(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE)
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()

    @step.compensation
    def undo(step: ReserveResponse | None) -> ReleaseRequest:
        return ReleaseRequest(reservation_id=step.reservation_id)  # type: ignore[union-attr]  # the point of the test


def compensation_not_optional(saga: Saga[Any, Any]) -> None:
    @saga.step(RESERVE)
    def step(order: Order) -> ReserveRequest:
        return ReserveRequest()

    @step.compensation
    def undo(order: Order, step: ReserveResponse) -> ReleaseRequest:
        return ReleaseRequest()


def compensation_needs_parallel(saga: Saga[Any, Any]) -> None:
    add_reserve(saga)

    @saga.step(CHARGE)
    def charge(order: Order) -> ChargeRequest:
        return ChargeRequest()

    @charge.compensation
    def undo(order: Order, reserve: ReserveResponse | None) -> RefundRequest:
        return RefundRequest()


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


def read_only_pivot(saga: Saga[Any, Any]) -> None:
    @saga.step(InventoryService.GetInventoryReport, kind="pivot")
    def step(order: Order) -> GetInventoryReportRequest:
        return GetInventoryReportRequest()


def odd_step(method: str) -> Declare:
    def declare(saga: Saga[Any, Any]) -> None:
        @saga.step(odd.parts(method))
        def step(order: Order) -> odd.Do:
            return odd.Do(order_id=order.order_id)

        @step.compensation
        def undo(order: Order) -> odd.Undo:
            return odd.Undo(order_id=order.order_id)

    return declare


def option(**options: Any) -> Declare:
    return lambda saga: add_reserve(saga, **{"kind": "pivot", **options})


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (unknown_method, "method inventory.v1.InventoryService/Rezerve is unknown"),
        (unknown_service, "method inventory.v9.InventoryService/Reserve is unknown"),
        (not_a_method, "it is bound to a str"),
        (stale_handle, "has the response inventory.v1.ReserveResponse, its handle says payment.v1.ChargeResponse"),
        (streaming, "method saga.v1.SagaService/WatchSaga streams"),
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
        (duplicate, "it is declared twice"),
        (capital, "the name 'Step' must match"),
        (no_compensation_option, "no contract says what undoes inventory.v1.InventoryService/ConfirmReservation"),
        (no_compensation_builder, "it is compensatable but has no compensation; add one with @step.compensation"),
        (two_compensations, "it has 2 compensations"),
        (compensated_pivot, "it has a compensation, but a pivot step is never undone"),
        (wrong_compensation_type, "the compensation is annotated to return payment.v1.RefundRequest; it must return"),
        (compensation_needs_response, "the compensation raises AttributeError ('NoneType' object has no attribute"),
        (compensation_not_optional, "parameter 'step' of the compensation may be None"),
        (compensation_needs_parallel, "the compensation needs the response of step 'reserve', which runs in parallel"),
        (impure, "the builder builds another message each time"),
        (mutating, "the builder changes a message that it was given"),
        (depends_on_request_id, "the builder depends on request_id or return_immediately"),
        (read_only_pivot, "has no side effects, so the step cannot be pivot"),
        (odd_step("Lost"), "the compensation 'Nowhere' of method odd.v1.Parts/Lost is unknown"),
        (odd_step("LostService"), "the compensation 'odd.v1.Nobody/Revert' of method odd.v1.Parts/LostService is unk"),
        (odd_step("Torrent"), "method odd.v1.Parts/RevertByStream streams"),
        (odd_step("Mixed"), "odd.v1.Parts/Mixed and its compensation odd.v1.BareParts/Revert differ in keeping a bar"),
        (option(kind="final"), "the kind 'final' is unknown"),
        (option(kind="read_only"), "it is read_only, but inventory.v1.InventoryService/Reserve may have side effects"),
        (option(after=("nobody",)), "after= names 'nobody', which is no step of this saga"),
        (option(after=add_reserve(new_saga())), "after= names 'reserve', which is no step of this saga"),
        (option(timeout_s=0), "timeout_s is 0; give seconds"),
        (option(timeout_s=float("nan")), "timeout_s is nan; give seconds"),
        (option(compensation_timeout_s=-1), "compensation_timeout_s is -1; give seconds"),
        (option(retry=3), "retry is a int; give a RetryPolicy"),
        (option(retry=RetryPolicy(max_attempts=0)), "retry.max_attempts is 0"),
        (option(retry=RetryPolicy(multiplier=0.5)), "retry.multiplier is 0.5"),
        (option(retry=RetryPolicy(budget_s=0)), "retry.budget_s is 0"),
        (option(retry=RetryPolicy(max_backoff_s=0.1)), "retry.max_backoff_s is below initial_backoff_s"),
        (option(compensation_retry=RetryPolicy(initial_backoff_s=-1)), "compensation_retry.initial_backoff_s is -1"),
        (option(reclassify={grpc.StatusCode.OK: Outcome.BUSY}), "reclassify has the key <StatusCode.OK"),
        (option(reclassify={5: Outcome.BUSY}), "reclassify has the key 5"),
        (option(reclassify={grpc.StatusCode.NOT_FOUND: Outcome.SUCCESS}), "NOT_FOUND: (5, 'not found')> <Outcome.SUC"),
    ],
)
def test_a_faulty_step_is_named(declare: Declare, expected: str) -> None:
    saga = new_saga()
    declare(saga)
    found = faults(saga)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith(f'saga "trial" v1, step "{saga.steps[-1].name}": ')


def test_all_faults_are_told_at_once() -> None:
    saga = new_saga(version=0, deadline_s=-1, output=PlaceOrderResponse, concurrency_key=lambda order: 7)
    unknown_method(saga)
    add_reserve(saga, timeout_s=0)
    compensation_needs_response(saga)
    found = faults(saga)
    for part in ("version is 0", "deadline_s is -1", "nothing builds it", "Rezerve is unknown", "timeout_s is 0"):
        assert sum(part in fault for fault in found) == 1, (part, found)
    assert sum("declared twice" in fault for fault in found) == 1
    assert sum("concurrency key is a int" in fault for fault in found) == 1
    assert len(found) == 7, found
