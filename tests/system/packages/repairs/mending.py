"""``mend`` v1: reserve, charge, ship (the point of no return), notify the carrier.

A builder reads the world here, which no real one may: it raises while the file that the customer's id names exists, so
that a test can break a step, and mend it.
"""

import os
from pathlib import Path

from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest, StockLine
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest
from payment.v1.payment_pb2 import ChargeRequest, RefundRequest
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import CreateShipmentRequest, CreateShipmentResponse, NotifyCarrierRequest, Parcel
from shipping.v1.shipping_saga import ShippingService

from orchestrator.definitions.saga import Saga

mend = Saga("mend", version=1, input=PlaceOrderRequest)


def check(order: PlaceOrderRequest, what: str) -> None:
    """Raises while this is what the order has broken."""
    if order.customer_id == what and Path(os.environ["BROKEN_DIRECTORY"], what).exists():
        raise LookupError(f"{what} is broken")


@mend.step(InventoryService.Reserve)
def reserve(order: PlaceOrderRequest) -> ReserveRequest:
    lines = [StockLine(sku=line.sku, quantity=line.quantity) for line in order.lines]
    return ReserveRequest(order_id=order.order_id, warehouse_id=order.warehouse_id, lines=lines)


@reserve.compensation
def release(order: PlaceOrderRequest) -> ReleaseRequest:
    check(order, "release")
    return ReleaseRequest(order_id=order.order_id)


@mend.step(PaymentService.Charge, after=(reserve,))
def charge(order: PlaceOrderRequest) -> ChargeRequest:
    check(order, "charge")
    return ChargeRequest(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_method=order.payment_method,
        amount=order.total,
    )


@charge.compensation
def refund(order: PlaceOrderRequest) -> RefundRequest:
    return RefundRequest(order_id=order.order_id)


@mend.step(ShippingService.CreateShipment, kind="pivot", after=(charge,))
def create_shipment(order: PlaceOrderRequest) -> CreateShipmentRequest:
    return CreateShipmentRequest(
        order_id=order.order_id,
        warehouse_id=order.warehouse_id,
        destination=order.ship_to,
        parcels=[Parcel(sku=line.sku, quantity=line.quantity) for line in order.lines],
    )


@mend.step(ShippingService.NotifyCarrier, kind="retriable")
def notify_carrier(order: PlaceOrderRequest, create_shipment: CreateShipmentResponse) -> NotifyCarrierRequest:
    check(order, "notify_carrier")
    return NotifyCarrierRequest(order_id=order.order_id, shipment_id=create_shipment.shipment_id)
