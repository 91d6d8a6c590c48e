"""``place-order`` v1: reserve, charge, ship, one after the other. Every step can be undone."""

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, ReserveResponse, StockLine
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse
from payment.v1.payment_pb2 import ChargeRequest, ChargeResponse, RefundRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import (
    SERVICE_LEVEL_EXPRESS,
    SERVICE_LEVEL_STANDARD,
    CancelShipmentRequest,
    CreateShipmentRequest,
    CreateShipmentResponse,
    Parcel,
)
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions.saga import Saga

place_order_v1 = Saga(
    "place-order",
    version=1,
    input=PlaceOrderRequest,
    output=PlaceOrderResponse,
    deadline_s=600.0,
    concurrency_key=lambda order: order.order_id,
)


@place_order_v1.step(InventoryService.Reserve)
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        lines=[StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines],
    )


@reserve.compensation
def release(order: PlaceOrderRequest, reserve: ReserveResponse | None) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id, reservation_id=reserve.reservation_id if reserve else "")


@place_order_v1.step(PaymentService.Charge, after=(reserve,))
def charge(order: PlaceOrderRequest) -> ChargeRequest:
    return ChargeRequest(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
        amount=order.total,
    )


@charge.compensation
def refund(order: PlaceOrderRequest, charge: ChargeResponse | None) -> RefundRequest:
    return RefundRequest(order_id=order.order_id, payment_id=charge.payment_id if charge else "")


@place_order_v1.step(ShippingService.CreateShipment, after=(charge,))
def ship(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        destination=order.ship_to,
        parcels=[Parcel(sku=line.sku, quantity=line.quantity) for line in order.lines],
        service_level=SERVICE_LEVEL_EXPRESS if order.express else SERVICE_LEVEL_STANDARD,
    )


@ship.compensation
def cancel_shipment(order: PlaceOrderRequest, ship: CreateShipmentResponse | None) -> CancelShipmentRequest:
    return CancelShipmentRequest(order_id=order.order_id, shipment_id=ship.shipment_id if ship else "")


@place_order_v1.result
def placed(reserve: ReserveResponse, charge: ChargeResponse, ship: CreateShipmentResponse) -> PlaceOrderResponse:
    return PlaceOrderResponse(
        reservation_id=reserve.reservation_id,
        payment_id=charge.payment_id,
        shipment_id=ship.shipment_id,
        tracking_number=ship.tracking_number,
    )
