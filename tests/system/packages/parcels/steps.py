"""The builders that the versions share. Every version does what ``place-order`` v1 does, in its own order."""

import os

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, StockLine
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_pb2 import ChargeRequest, RefundRequest
from shipping.v1.shipping_pb2 import CancelShipmentRequest, CreateShipmentRequest, Parcel


def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    """Raises, or takes its process down, where the order says so."""
    if order.customer_id == "RAISES":
        raise LookupError("this builder cannot build")
    if order.customer_id == "KILLS":
        os._exit(70)
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


def ship(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        destination=order.ship_to,
        parcels=[Parcel(sku=line.sku, quantity=line.quantity) for line in order.lines],
    )


def cancel_shipment(order: PlaceOrderRequest) -> CancelShipmentRequest:
    return CancelShipmentRequest(order_id=order.order_id)
