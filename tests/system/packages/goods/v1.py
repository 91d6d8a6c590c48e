"""``hold-goods`` v1: stock and money, and nothing is shipped."""

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, StockLine
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_pb2 import AuthorizeRequest, VoidAuthorizationRequest
from payment.v1.payment_saga import PaymentService

from orchestrator.definitions.saga import Saga

hold_goods = Saga("hold-goods", version=1, input=PlaceOrderRequest)


@hold_goods.step(InventoryService.Reserve)
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    return ReserveRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        lines=[StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines],
    )


@reserve.compensation
def release(order: PlaceOrderRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)


@hold_goods.step(PaymentService.Authorize, after=(reserve,))
def authorize(order: PlaceOrderRequest) -> AuthorizeRequest:
    return AuthorizeRequest(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
        amount=order.total,
    )


@authorize.compensation
def void_authorization(order: PlaceOrderRequest) -> VoidAuthorizationRequest:
    return VoidAuthorizationRequest(order_id=order.order_id)
