"""``talkative`` v1: its builder and its key raise with everything that they know, where the order says so."""

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, StockLine
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest

from orchestrator.definitions.saga import Saga


def _key(order: PlaceOrderRequest) -> str:
    if order.customer_id.startswith("key "):
        raise ValueError(f"no key of {order}")
    return order.order_id


talkative = Saga("talkative", version=1, input=PlaceOrderRequest, concurrency_key=_key)


@talkative.step(InventoryService.Reserve)
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    if order.customer_id.startswith("builder "):
        raise ValueError(f"cannot build of {order}")
    lines = [StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines]
    return ReserveRequest(order_id=order.order_id, warehouse_id=order.warehouse_id, lines=lines)


@reserve.compensation
def release(order: PlaceOrderRequest) -> ReleaseRequest:
    return ReleaseRequest(order_id=order.order_id)
