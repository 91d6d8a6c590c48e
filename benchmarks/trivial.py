"""Participants that answer from memory at once: what is left to measure is the caller. Run as a process of its own.

They count what they did, and tell through the report methods of the contracts. No barrier and no validation, but a call
that is repeated under its idempotency key is answered as the first time and not counted again. Shipping refuses an
order to a country that it does not serve, with a barrier's proof that nothing happened. ``--unavailable-every N``
answers each N-th call UNAVAILABLE, ``--tls`` has it demand certificates.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc
import uvloop
from inventory.v1.inventory_pb2 import (
    ConfirmReservationResponse,
    GetInventoryReportResponse,
    ReleaseResponse,
    ReserveResponse,
)
from inventory.v1.inventory_saga import InventoryService
from payment.v1.payment_pb2 import (
    AuthorizeResponse,
    CaptureResponse,
    ChargeResponse,
    GetPaymentReportResponse,
    RefundResponse,
    VoidAuthorizationResponse,
)
from payment.v1.payment_saga import PaymentService
from shipping.v1.shipping_pb2 import (
    CancelShipmentResponse,
    CreateShipmentResponse,
    GetShippingReportResponse,
    NotifyCarrierResponse,
)
from shipping.v1.shipping_saga import ShippingService

from benchmarks.orders import NOT_SERVED
from contracts.errors import RpcError, to_trailers
from contracts.metadata import IDEMPOTENCY_KEY, VERDICT, VERDICT_STORED
from contracts.method import Method
from contracts.tls import ServerTls

Handler: TypeAlias = Callable[[Any, Any], Awaitable[Any]]

STOP_GRACE_S: Final = 1.0
MAX_ANSWERS: Final = 20_000

_REFUSAL: Final = RpcError(
    grpc.StatusCode.FAILED_PRECONDITION,
    "UNDELIVERABLE",
    f"no carrier serves {NOT_SERVED}",
    domain="shipping.v1",
    trailers=((VERDICT, VERDICT_STORED),),
)
_REFUSAL_TRAILERS: Final = to_trailers(_REFUSAL)

_calls: Final = Counter[str]()
_answers: Final[dict[str, Any]] = {}
"""By idempotency key, the oldest first."""


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


async def authorize(_request: Any, _context: Any) -> AuthorizeResponse:
    return AuthorizeResponse(payment_id=_id("authorize"))


async def void_authorization(_request: Any, _context: Any) -> VoidAuthorizationResponse:
    _calls["void"] += 1
    return VoidAuthorizationResponse()


async def capture(_request: Any, _context: Any) -> CaptureResponse:
    return CaptureResponse(capture_id=_id("charge"))


async def confirm_reservation(_request: Any, _context: Any) -> ConfirmReservationResponse:
    _calls["confirm"] += 1
    return ConfirmReservationResponse(shipped_quantity=3)


async def notify_carrier(_request: Any, _context: Any) -> NotifyCarrierResponse:
    return NotifyCarrierResponse(pickup_reference=_id("notify"))


async def create_shipment(request: Any, context: Any) -> CreateShipmentResponse:
    if request.destination.region_code == NOT_SERVED:
        await context.abort(_REFUSAL.code, _REFUSAL.message, _REFUSAL_TRAILERS)
    shipment_id = _id("ship")
    return CreateShipmentResponse(shipment_id=shipment_id, tracking_number=f"DE{shipment_id[-19:]}", carrier="DHL")


async def cancel_shipment(_request: Any, _context: Any) -> CancelShipmentResponse:
    _calls["cancel"] += 1
    return CancelShipmentResponse()


async def inventory_report(_request: Any, _context: Any) -> GetInventoryReportResponse:
    return GetInventoryReportResponse(
        held_reservations=_calls["reserve"] - _calls["release"] - _calls["confirm"],
        released_reservations=_calls["release"],
        confirmed_reservations=_calls["confirm"],
    )


async def payment_report(_request: Any, _context: Any) -> GetPaymentReportResponse:
    return GetPaymentReportResponse(
        captured_payments=_calls["charge"] - _calls["refund"],
        refunded_payments=_calls["refund"],
        voided_payments=_calls["void"],
    )


async def shipping_report(_request: Any, _context: Any) -> GetShippingReportResponse:
    return GetShippingReportResponse(
        booked_shipments=_calls["ship"] - _calls["cancel"] - _calls["notify"],
        cancelled_shipments=_calls["cancel"],
        handed_over_shipments=_calls["notify"],
    )


_HANDLERS: Final[tuple[tuple[Method[Any, Any], Handler], ...]] = (
    (InventoryService.Reserve, reserve),
    (InventoryService.Release, release),
    (InventoryService.ConfirmReservation, confirm_reservation),
    (PaymentService.Charge, charge),
    (PaymentService.Refund, refund),
    (PaymentService.Authorize, authorize),
    (PaymentService.VoidAuthorization, void_authorization),
    (PaymentService.Capture, capture),
    (ShippingService.CreateShipment, create_shipment),
    (ShippingService.CancelShipment, cancel_shipment),
    (ShippingService.NotifyCarrier, notify_carrier),
)
_REPORTS: Final[tuple[tuple[Method[Any, Any], Handler], ...]] = (
    (InventoryService.GetInventoryReport, inventory_report),
    (PaymentService.GetPaymentReport, payment_report),
    (ShippingService.GetShippingReport, shipping_report),
)


def _remembering(handler: Handler) -> Handler:
    """Answers a key that it knows with the answer that it had: whoever repeats a call after a crash must be able to."""

    async def handle(request: Any, context: Any) -> Any:
        key = next((value for name, value in context.invocation_metadata() if name == IDEMPOTENCY_KEY), None)
        if key is None:
            return await handler(request, context)
        if key not in _answers:
            _answers[key] = await handler(request, context)
            if len(_answers) > MAX_ANSWERS:
                del _answers[next(iter(_answers))]
        return _answers[key]

    return handle


def _sometimes_unavailable(every: int, handler: Handler) -> Handler:
    """Refuses each ``every``-th call, over all methods, before anything happens."""

    async def handle(request: Any, context: Any) -> Any:
        _calls["any"] += 1
        if _calls["any"] % every == 0:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return await handler(request, context)

    return handle


def _rpc_handlers(unavailable_every: int) -> list[grpc.GenericRpcHandler]:
    services: dict[str, dict[str, Any]] = {}
    for method, handler in (*_HANDLERS, *_REPORTS):
        chosen = handler
        if (method, handler) in _HANDLERS:
            chosen = _remembering(handler)
            if unavailable_every:
                chosen = _sometimes_unavailable(unavailable_every, chosen)
        services.setdefault(method.service, {})[method.name] = grpc.unary_unary_rpc_method_handler(
            chosen, method.request.FromString, method.response.SerializeToString
        )
    return [grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items()]


async def serve(unavailable_every: int, tls: ServerTls | None = None) -> None:
    """Serves until SIGTERM. Prints one line of JSON once it listens: ``{"participant": "trivial", "port": …}``."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(_rpc_handlers(unavailable_every))
    if tls is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", tls.credentials(tls.follow()))
    await server.start()
    sys.stdout.write(json.dumps({"participant": "trivial", "port": port}) + "\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(STOP_GRACE_S)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trivial", description=__doc__)
    parser.add_argument("--unavailable-every", type=int, default=0)
    parser.add_argument("--tls", nargs=3, type=Path, metavar=("CA", "CERT", "KEY"))
    given = parser.parse_args()
    files = None if given.tls is None else ServerTls(given.tls[1], given.tls[2], given.tls[0])
    uvloop.run(serve(given.unavailable_every, files))
