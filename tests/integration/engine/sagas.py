"""Definitions to drive the engine with: real messages, participants that are played."""

from inventory.v1.inventory_pb2 import (
    ConfirmReservationRequest,
    ReleaseRequest,
    ReserveRequest,
    ReserveResponse,
)
from inventory.v1.inventory_saga import InventoryService
from payment.v1.payment_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    CaptureRequest,
    ChargeRequest,
    ChargeResponse,
    RefundRequest,
    VoidAuthorizationRequest,
)
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import CancelShipmentRequest, CreateShipmentRequest, CreateShipmentResponse
from shipping.v1.shipping_saga import ShippingService

from orchestrator.core.definition import RetryPolicy
from orchestrator.definitions.saga import Saga

QUICK = RetryPolicy(initial_backoff_s=0.002, max_backoff_s=0.01, max_attempts=4, budget_s=30.0)
SLOW = RetryPolicy(initial_backoff_s=600.0, max_backoff_s=600.0, max_attempts=4, budget_s=3600.0)

line = Saga("line", version=1, input=ReserveRequest, output=ReserveResponse, deadline_s=600.0)
"""One after the other: reserve, charge, ship."""


@line.step(InventoryService.Reserve, retry=QUICK, compensation_retry=QUICK)
def reserve(order: ReserveRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)


@reserve.compensation
def release(order: ReserveRequest, reserve: ReserveResponse | None) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id, reservation_id=reserve.reservation_id if reserve else "")


@line.step(PaymentService.Charge, after=(reserve,), retry=QUICK, compensation_retry=QUICK)
def charge(order: ReserveRequest) -> ChargeRequest:
    return ChargeRequest(order_id=order.order_id)


@charge.compensation
def refund(order: ReserveRequest, charge: ChargeResponse | None) -> RefundRequest:
    return RefundRequest(order_id=order.order_id, payment_id=charge.payment_id if charge else "")


@line.step(ShippingService.CreateShipment, retry=QUICK, compensation_retry=QUICK)
def ship(order: ReserveRequest, charge: ChargeResponse) -> CreateShipmentRequest:
    return CreateShipmentRequest(order_id=order.order_id, warehouse_id=charge.payment_id)


@ship.compensation
def unship(order: ReserveRequest) -> CancelShipmentRequest:
    return CancelShipmentRequest(order_id=order.order_id)


@line.result
def result(reserve: ReserveResponse, ship: CreateShipmentResponse) -> ReserveResponse:
    return ReserveResponse(reservation_id=f"{reserve.reservation_id} {ship.shipment_id}")


fan = Saga("fan", version=1, input=ReserveRequest, deadline_s=600.0)
"""left and right side by side; tail follows left alone."""


@fan.step(InventoryService.Reserve, retry=QUICK)
def left(order: ReserveRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)


@left.compensation
def unleft(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


@fan.step(PaymentService.Charge, retry=QUICK)
def right(order: ReserveRequest) -> ChargeRequest:
    return ChargeRequest(order_id=order.order_id)


@right.compensation
def unright(order: ReserveRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


@fan.step(ShippingService.CreateShipment, after=(left,), retry=QUICK)
def tail(order: ReserveRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(order_id=order.order_id)


@tail.compensation
def untail(order: ReserveRequest) -> CancelShipmentRequest:
    return CancelShipmentRequest(order_id=order.order_id)


pivoted = Saga("pivoted", version=1, input=ReserveRequest, deadline_s=600.0)
"""authorize, then capture as pivot, then confirm, which must go through."""


@pivoted.step(PaymentService.Authorize, retry=QUICK)
def authorize(order: ReserveRequest) -> AuthorizeRequest:
    return AuthorizeRequest(order_id=order.order_id)


@authorize.compensation
def void(order: ReserveRequest) -> VoidAuthorizationRequest:
    return VoidAuthorizationRequest(order_id=order.order_id)


@pivoted.step(PaymentService.Capture, kind="pivot", retry=QUICK)
def capture(order: ReserveRequest, authorize: AuthorizeResponse) -> CaptureRequest:
    return CaptureRequest(order_id=order.order_id, payment_id=authorize.payment_id)


@pivoted.step(InventoryService.ConfirmReservation, kind="retriable", after=(capture,), retry=QUICK)
def confirm(order: ReserveRequest) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(order_id=order.order_id)


single = Saga(
    "single", version=1, input=ReserveRequest, deadline_s=600.0, concurrency_key=lambda order: order.warehouse_id
)
"""One step, one live saga a warehouse; its builder raises for the order ``poison``."""


@single.step(InventoryService.Reserve, retry=SLOW)
def take(order: ReserveRequest) -> ReserveRequest:
    if order.order_id == "poison":
        raise ValueError("no such order")
    return ReserveRequest(order_id=order.order_id)


@take.compensation
def give_back(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


brief = Saga("brief", version=1, input=ReserveRequest, deadline_s=1.0)
"""One step, and a second to do it in."""


@brief.step(InventoryService.Reserve, retry=SLOW)
def grab(order: ReserveRequest) -> ReserveRequest:
    return ReserveRequest(order_id=order.order_id)


@grab.compensation
def drop(order: ReserveRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)
