"""Each thing that can be wrong with a step gives its own message, at its place, and nothing else."""

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
from tests.unit.definitions.declaring import CHARGE, RESERVE, Declare, add_reserve, check_one_fault, faults, new_saga

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
    check_one_fault(declare, expected)


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
