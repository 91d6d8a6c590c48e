"""``brisk-order``: what ``place-order`` does, retried briskly, so that a run of many faults does not wait for backoff.

``fragile-order`` gives up soon: v1 in its compensations, v2 in its pivot. ``short-order`` has no shipping. The
builder of ``reserve`` raises for the customer POISON.
"""

from typing import Never

from inventory.v1.inventory_pb2 import (
    ConfirmReservationRequest,
    ReleaseRequest,
    ReserveRequest,
    ReserveResponse,
    StockLine,
)
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    CaptureRequest,
    ChargeRequest,
    RefundRequest,
    VoidAuthorizationRequest,
)
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import (
    CancelShipmentRequest,
    CreateShipmentRequest,
    CreateShipmentResponse,
    NotifyCarrierRequest,
    Parcel,
)
from shipping.v1.shipping_saga import ShippingService

from orchestrator.core.definition import RetryPolicy
from orchestrator.definitions.saga import Saga

BRISK = RetryPolicy(initial_backoff_s=0.1, max_backoff_s=1.0, max_attempts=1000, budget_s=240.0)
GIVES_UP = RetryPolicy(initial_backoff_s=0.05, max_backoff_s=0.1, max_attempts=3, budget_s=20.0)
TIMEOUT_S = 4.0


def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    if order.customer_id == "POISON":
        raise LookupError("this builder cannot build")
    lines = [StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines]
    return ReserveRequest(order_id=order.order_id, warehouse_id=order.warehouse_id, lines=lines)


def release(order: PlaceOrderRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


def charge(order: PlaceOrderRequest) -> ChargeRequest:
    return ChargeRequest(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
        amount=order.total,
    )


def refund(order: PlaceOrderRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


def authorize(order: PlaceOrderRequest) -> AuthorizeRequest:
    return AuthorizeRequest(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
        amount=order.total,
    )


def void_authorization(order: PlaceOrderRequest) -> VoidAuthorizationRequest:
    return VoidAuthorizationRequest(order_id=order.order_id)


def ship(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        destination=order.ship_to,
        parcels=[Parcel(sku=line.sku, quantity=line.quantity) for line in order.lines],
    )


def cancel_shipment(order: PlaceOrderRequest) -> CancelShipmentRequest:
    return CancelShipmentRequest(order_id=order.order_id)


def capture(order: PlaceOrderRequest, authorize: AuthorizeResponse) -> CaptureRequest:
    return CaptureRequest(order_id=order.order_id, payment_id=authorize.payment_id, amount=order.total)


def confirm_reservation(order: PlaceOrderRequest, reserve: ReserveResponse) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(order_id=order.order_id, reservation_id=reserve.reservation_id)


def notify_carrier(order: PlaceOrderRequest, ship: CreateShipmentResponse) -> NotifyCarrierRequest:
    return NotifyCarrierRequest(order_id=order.order_id, shipment_id=ship.shipment_id)


def _linear(name: str, undo: RetryPolicy, *, ships: bool = True) -> Saga[PlaceOrderRequest, Never]:
    saga: Saga[PlaceOrderRequest, Never] = Saga(name, version=1, input=PlaceOrderRequest)
    first = saga.step(InventoryService.Reserve, retry=BRISK, compensation_retry=undo, timeout_s=TIMEOUT_S)(reserve)
    first.compensation(release)
    second = saga.step(
        PaymentService.Charge, after=(first,), retry=BRISK, compensation_retry=undo, timeout_s=TIMEOUT_S
    )(charge)
    second.compensation(refund)
    if not ships:
        return saga
    third = saga.step(
        ShippingService.CreateShipment, after=(second,), retry=BRISK, compensation_retry=undo, timeout_s=TIMEOUT_S
    )(ship)
    third.compensation(cancel_shipment)
    return saga


brisk_order_v1 = _linear("brisk-order", BRISK)
fragile_order_v1 = _linear("fragile-order", GIVES_UP)
short_order = _linear("short-order", BRISK, ships=False)


def _forked(name: str, pivot: RetryPolicy) -> Saga[PlaceOrderRequest, Never]:
    saga: Saga[PlaceOrderRequest, Never] = Saga(name, version=2, input=PlaceOrderRequest)
    first = saga.step(InventoryService.Reserve, retry=BRISK, compensation_retry=BRISK, timeout_s=TIMEOUT_S)(reserve)
    first.compensation(release)
    second = saga.step(PaymentService.Authorize, retry=BRISK, compensation_retry=BRISK, timeout_s=TIMEOUT_S)(authorize)
    second.compensation(void_authorization)
    third = saga.step(
        ShippingService.CreateShipment,
        after=(first, second),
        retry=BRISK,
        compensation_retry=BRISK,
        timeout_s=TIMEOUT_S,
    )(ship)
    third.compensation(cancel_shipment)
    last = saga.step(PaymentService.Capture, kind="pivot", after=(third,), retry=pivot, timeout_s=TIMEOUT_S)(capture)
    late = {"kind": "retriable", "after": (last,), "retry": BRISK, "timeout_s": TIMEOUT_S}
    saga.step(InventoryService.ConfirmReservation, **late)(confirm_reservation)  # type: ignore[arg-type]  # a mixed dict
    saga.step(ShippingService.NotifyCarrier, **late)(notify_carrier)  # type: ignore[arg-type]  # a mixed dict
    return saga


brisk_order_v2 = _forked("brisk-order", BRISK)
fragile_order_v2 = _forked("fragile-order", GIVES_UP)
