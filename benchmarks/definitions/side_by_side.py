"""The three steps of ``place-order`` v1 with no order between them: one dependency level instead of three."""

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, ReserveResponse
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse
from payment.v1.payment_pb2 import ChargeRequest, ChargeResponse, RefundRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import CancelShipmentRequest, CreateShipmentRequest, CreateShipmentResponse
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions.saga import Saga
from orchestrator.definitions.shipped.place_order_v1 import cancel_shipment as cancel_v1
from orchestrator.definitions.shipped.place_order_v1 import charge as charge_v1
from orchestrator.definitions.shipped.place_order_v1 import placed as placed_v1
from orchestrator.definitions.shipped.place_order_v1 import refund as refund_v1
from orchestrator.definitions.shipped.place_order_v1 import release as release_v1
from orchestrator.definitions.shipped.place_order_v1 import reserve as reserve_v1
from orchestrator.definitions.shipped.place_order_v1 import ship as ship_v1

side_by_side = Saga(
    "place-order",
    version=1,
    input=PlaceOrderRequest,
    output=PlaceOrderResponse,
    deadline_s=600.0,
    concurrency_key=lambda order: order.order_id,
)


@side_by_side.step(InventoryService.Reserve)
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    return reserve_v1.builder(order)


@reserve.compensation
def release(order: PlaceOrderRequest, reserve: ReserveResponse | None) -> ReleaseRequest:
    return release_v1(order, reserve)


@side_by_side.step(PaymentService.Charge)
def charge(order: PlaceOrderRequest) -> ChargeRequest:
    return charge_v1.builder(order)


@charge.compensation
def refund(order: PlaceOrderRequest, charge: ChargeResponse | None) -> RefundRequest:
    return refund_v1(order, charge)


@side_by_side.step(ShippingService.CreateShipment)
def ship(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return ship_v1.builder(order)


@ship.compensation
def cancel_shipment(order: PlaceOrderRequest, ship: CreateShipmentResponse | None) -> CancelShipmentRequest:
    return cancel_v1(order, ship)


@side_by_side.result
def placed(reserve: ReserveResponse, charge: ChargeResponse, ship: CreateShipmentResponse) -> PlaceOrderResponse:
    return placed_v1(reserve, charge, ship)
