"""Typed method handles. Generated from shipping/v1/shipping.proto: do not edit."""

from typing import Final

from contracts.method import Method
from shipping.v1 import shipping_pb2


class ShippingService:
    """Methods of shipping.v1.ShippingService."""

    CreateShipment: Final = Method("shipping.v1.ShippingService", "CreateShipment", shipping_pb2.CreateShipmentRequest, shipping_pb2.CreateShipmentResponse)
    CancelShipment: Final = Method("shipping.v1.ShippingService", "CancelShipment", shipping_pb2.CancelShipmentRequest, shipping_pb2.CancelShipmentResponse)
    NotifyCarrier: Final = Method("shipping.v1.ShippingService", "NotifyCarrier", shipping_pb2.NotifyCarrierRequest, shipping_pb2.NotifyCarrierResponse)
    GetShippingReport: Final = Method("shipping.v1.ShippingService", "GetShippingReport", shipping_pb2.GetShippingReportRequest, shipping_pb2.GetShippingReportResponse)
