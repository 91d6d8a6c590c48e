"""Typed method handles. Generated from inventory/v1/inventory.proto: do not edit."""

from typing import Final

from contracts.method import Method
from inventory.v1 import inventory_pb2


class InventoryService:
    """Methods of inventory.v1.InventoryService."""

    Reserve: Final = Method("inventory.v1.InventoryService", "Reserve", inventory_pb2.ReserveRequest, inventory_pb2.ReserveResponse)
    Release: Final = Method("inventory.v1.InventoryService", "Release", inventory_pb2.ReleaseRequest, inventory_pb2.ReleaseResponse)
    ConfirmReservation: Final = Method("inventory.v1.InventoryService", "ConfirmReservation", inventory_pb2.ConfirmReservationRequest, inventory_pb2.ConfirmReservationResponse)
    ReceiveStock: Final = Method("inventory.v1.InventoryService", "ReceiveStock", inventory_pb2.ReceiveStockRequest, inventory_pb2.ReceiveStockResponse)
    GetInventoryReport: Final = Method("inventory.v1.InventoryService", "GetInventoryReport", inventory_pb2.GetInventoryReportRequest, inventory_pb2.GetInventoryReportResponse)
