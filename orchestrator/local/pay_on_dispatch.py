"""``pay-on-dispatch``, for the demonstration of repairs: first the parcel, the point of no return, then its money.

reserve ───┐                            ┌─ capture
           ├─ create_shipment (pivot) ──┼─ confirm_reservation
authorize ─┘                            └─ notify_carrier

What it asks of payment gives up after a few attempts, where ``place-order`` goes on for a day. So an outage leaves
sagas STUCK both ways: some with an authorisation that may have to be voided, some with a parcel not paid for.
"""

from google.protobuf.duration_pb2 import Duration
from inventory.v1.inventory_pb2 import (
    ConfirmReservationRequest,
    ReleaseRequest,
    ReserveRequest,
    ReserveResponse,
    StockLine,
)
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse
from payment.v1.payment_pb2 import AuthorizeRequest, AuthorizeResponse, CaptureRequest, VoidAuthorizationRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import (
    SERVICE_LEVEL_EXPRESS,
    SERVICE_LEVEL_STANDARD,
    CreateShipmentRequest,
    CreateShipmentResponse,
    NotifyCarrierRequest,
    Parcel,
)
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions import RetryPolicy, Saga

HOLD_S = 900
"""Longer than the deadline, before which the saga has turned around or shipped: stock is not lost under way."""
IMPATIENT = RetryPolicy(initial_backoff_s=0.03, max_backoff_s=0.1, max_attempts=3)

pay_on_dispatch = Saga(
    "pay-on-dispatch",
    version=1,
    input=PlaceOrderRequest,
    output=PlaceOrderResponse,
    deadline_s=600.0,
    concurrency_key=lambda order: order.order_id,
)


@pay_on_dispatch.step(InventoryService.Reserve)
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        lines=[StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines],
        hold=Duration(seconds=HOLD_S),
    )


@reserve.compensation
def release(order: PlaceOrderRequest, reserve: ReserveResponse | None) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id, reservation_id=reserve.reservation_id if reserve else "")


@pay_on_dispatch.step(PaymentService.Authorize, retry=IMPATIENT, compensation_retry=IMPATIENT)
def authorize(order: PlaceOrderRequest) -> AuthorizeRequest:
    return AuthorizeRequest(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
        amount=order.total,
    )


@authorize.compensation
def void_authorization(order: PlaceOrderRequest, authorize: AuthorizeResponse | None) -> VoidAuthorizationRequest:
    return VoidAuthorizationRequest(order_id=order.order_id, payment_id=authorize.payment_id if authorize else "")


@pay_on_dispatch.step(ShippingService.CreateShipment, kind="pivot", after=(reserve, authorize))
def create_shipment(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        destination=order.ship_to,
        parcels=[Parcel(sku=line.sku, quantity=line.quantity) for line in order.lines],
        service_level=SERVICE_LEVEL_EXPRESS if order.express else SERVICE_LEVEL_STANDARD,
    )


@pay_on_dispatch.step(PaymentService.Capture, kind="retriable", after=(create_shipment,), retry=IMPATIENT)
def capture(order: PlaceOrderRequest, authorize: AuthorizeResponse) -> CaptureRequest:
    return CaptureRequest(order_id=order.order_id, payment_id=authorize.payment_id, amount=order.total)


@pay_on_dispatch.step(InventoryService.ConfirmReservation, kind="retriable", after=(create_shipment,))
def confirm_reservation(order: PlaceOrderRequest, reserve: ReserveResponse) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(order_id=order.order_id, reservation_id=reserve.reservation_id)


@pay_on_dispatch.step(ShippingService.NotifyCarrier, kind="retriable")
def notify_carrier(order: PlaceOrderRequest, create_shipment: CreateShipmentResponse) -> NotifyCarrierRequest:
    return NotifyCarrierRequest(order_id=order.order_id, shipment_id=create_shipment.shipment_id)


@pay_on_dispatch.result
def placed(
    reserve: ReserveResponse, authorize: AuthorizeResponse, create_shipment: CreateShipmentResponse
) -> PlaceOrderResponse:
    return PlaceOrderResponse(
        reservation_id=reserve.reservation_id,
        payment_id=authorize.payment_id,
        shipment_id=create_shipment.shipment_id,
        tracking_number=create_shipment.tracking_number,
    )
