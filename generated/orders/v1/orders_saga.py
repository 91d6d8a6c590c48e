"""Typed method handles. Generated from orders/v1/orders.proto: do not edit."""

from typing import Final

from contracts.method import Method
from orders.v1 import orders_pb2


class OrderService:
    """Methods of orders.v1.OrderService."""

    PlaceOrder: Final = Method("orders.v1.OrderService", "PlaceOrder", orders_pb2.PlaceOrderRequest, orders_pb2.PlaceOrderResponse)
