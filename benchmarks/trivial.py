"""Participants that answer from memory at once: what is left to measure is the caller. Run as a process of its own.

They count the calls that they answered, and tell through the report methods of the contracts. No barrier, no
validation, no undo of what was never stored: a compensation is an answer like any other.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from typing import Any, Final

import grpc
import uvloop
from inventory.v1.inventory_pb2 import GetInventoryReportResponse, ReleaseResponse, ReserveResponse
from inventory.v1.inventory_saga import InventoryService
from payment.v1.payment_pb2 import ChargeResponse, GetPaymentReportResponse, RefundResponse
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import CancelShipmentResponse, CreateShipmentResponse, GetShippingReportResponse
from shipping.v1.shipping_saga import ShippingService

from contracts.method import Method

STOP_GRACE_S: Final = 1.0

_calls: Final = Counter[str]()


def _id(kind: str) -> str:
    """An id as long as a real one."""
    _calls[kind] += 1
    return f"{kind}-{_calls[kind]:036d}"[-36:]


async def reserve(_request: Any, _context: Any) -> ReserveResponse:
    return ReserveResponse(reservation_id=_id("reserve"))


async def release(_request: Any, _context: Any) -> ReleaseResponse:
    _calls["release"] += 1
    return ReleaseResponse(released_quantity=3)


async def charge(_request: Any, _context: Any) -> ChargeResponse:
    return ChargeResponse(payment_id=_id("charge"))


async def refund(_request: Any, _context: Any) -> RefundResponse:
    return RefundResponse(refund_id=_id("refund"))


async def create_shipment(_request: Any, _context: Any) -> CreateShipmentResponse:
    shipment_id = _id("ship")
    return CreateShipmentResponse(shipment_id=shipment_id, tracking_number=f"DE{shipment_id[-19:]}", carrier="DHL")


async def cancel_shipment(_request: Any, _context: Any) -> CancelShipmentResponse:
    _calls["cancel"] += 1
    return CancelShipmentResponse()


async def inventory_report(_request: Any, _context: Any) -> GetInventoryReportResponse:
    return GetInventoryReportResponse(
        held_reservations=_calls["reserve"] - _calls["release"], released_reservations=_calls["release"]
    )


async def payment_report(_request: Any, _context: Any) -> GetPaymentReportResponse:
    return GetPaymentReportResponse(
        captured_payments=_calls["charge"] - _calls["refund"], refunded_payments=_calls["refund"]
    )


async def shipping_report(_request: Any, _context: Any) -> GetShippingReportResponse:
    return GetShippingReportResponse(
        booked_shipments=_calls["ship"] - _calls["cancel"], cancelled_shipments=_calls["cancel"]
    )


_HANDLERS: Final[tuple[tuple[Method[Any, Any], Any], ...]] = (
    (InventoryService.Reserve, reserve),
    (InventoryService.Release, release),
    (InventoryService.GetInventoryReport, inventory_report),
    (PaymentService.Charge, charge),
    (PaymentService.Refund, refund),
    (PaymentService.GetPaymentReport, payment_report),
    (ShippingService.CreateShipment, create_shipment),
    (ShippingService.CancelShipment, cancel_shipment),
    (ShippingService.GetShippingReport, shipping_report),
)


def _rpc_handlers() -> list[grpc.GenericRpcHandler]:
    services: dict[str, dict[str, Any]] = {}
    for method, handler in _HANDLERS:
        services.setdefault(method.service, {})[method.name] = grpc.unary_unary_rpc_method_handler(
            handler, method.request.FromString, method.response.SerializeToString
        )
    return [grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items()]


async def serve() -> None:
    """Serves until SIGTERM. Prints one line of JSON once it listens: ``{"participant": "trivial", "port": …}``."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(_rpc_handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(json.dumps({"participant": "trivial", "port": port}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(STOP_GRACE_S)


if __name__ == "__main__":
    uvloop.run(serve())
