"""``place-order`` v2: stock and money are held side by side, and capturing the money is the point of no return.

reserve ───┐                                   ┌─ confirm_reservation
           ├─ create_shipment ─ capture (pivot) ┤
authorize ─┘                                   └─ notify_carrier
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
from payment.v1.payment_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    CaptureRequest,
    VoidAuthorizationRequest,
)
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import (
    SERVICE_LEVEL_EXPRESS,
    SERVICE_LEVEL_STANDARD,
    CancelShipmentRequest,
    CreateShipmentRequest,
    CreateShipmentResponse,
    NotifyCarrierRequest,
    Parcel,
)
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions.saga import Saga

DEADLINE_S = 600.0
HOLD_S = 900
"""Longer than the deadline, before which the saga has turned around or captured: stock is not lost under way."""

place_order_v2 = Saga(
    "place-order",
    version=2,
    input=PlaceOrderRequest,
    output=PlaceOrderResponse,
    deadline_s=DEADLINE_S,
    concurrency_key=lambda order: order.order_id,
)


@place_order_v2.step(InventoryService.Reserve)
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


@place_order_v2.step(PaymentService.Authorize)
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


@place_order_v2.step(ShippingService.CreateShipment, after=(reserve, authorize))
def create_shipment(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        destination=order.ship_to,
        parcels=[Parcel(sku=line.sku, quantity=line.quantity) for line in order.lines],
        service_level=SERVICE_LEVEL_EXPRESS if order.express else SERVICE_LEVEL_STANDARD,
    )


@create_shipment.compensation
def cancel_shipment(order: PlaceOrderRequest, create_shipment: CreateShipmentResponse | None) -> CancelShipmentRequest:
    shipment_id = create_shipment.shipment_id if create_shipment else ""
    return CancelShipmentRequest(order_id=order.order_id, shipment_id=shipment_id)


@place_order_v2.step(PaymentService.Capture, kind="pivot", after=(create_shipment,))
def capture(order: PlaceOrderRequest, authorize: AuthorizeResponse) -> CaptureRequest:
    return CaptureRequest(order_id=order.order_id, payment_id=authorize.payment_id, amount=order.total)


@place_order_v2.step(InventoryService.ConfirmReservation, kind="retriable", after=(capture,))
def confirm_reservation(order: PlaceOrderRequest, reserve: ReserveResponse) -> ConfirmReservationRequest:
    return ConfirmReservationRequest(order_id=order.order_id, reservation_id=reserve.reservation_id)


@place_order_v2.step(ShippingService.NotifyCarrier, kind="retriable", after=(capture,))
def notify_carrier(order: PlaceOrderRequest, create_shipment: CreateShipmentResponse) -> NotifyCarrierRequest:
    return NotifyCarrierRequest(order_id=order.order_id, shipment_id=create_shipment.shipment_id)


@place_order_v2.result
def placed(
    reserve: ReserveResponse, authorize: AuthorizeResponse, create_shipment: CreateShipmentResponse
) -> PlaceOrderResponse:
    return PlaceOrderResponse(
        reservation_id=reserve.reservation_id,
        payment_id=authorize.payment_id,
        shipment_id=create_shipment.shipment_id,
        tracking_number=create_shipment.tracking_number,
    )
