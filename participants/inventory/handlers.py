"""What the inventory does for each method of its contract."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import grpc
from inventory.v1.inventory_pb2 import (
    ConfirmReservationRequest,
    ConfirmReservationResponse,
    GetInventoryReportRequest,
    GetInventoryReportResponse,
    ReceiveStockRequest,
    ReceiveStockResponse,
    ReleaseRequest,
    ReleaseResponse,
    ReserveRequest,
    ReserveResponse,
    StockLevel,
    StockLine,
)
from inventory.v1.inventory_saga import InventoryService
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.inventory import store
from participants.inventory.schema import ReservationState
from participants.kit import Participant, Rejected, StepContext

MAX_HOLD: Final = timedelta(days=90)


def participant() -> Participant:
    """The inventory, bound to its contract."""
    bound = Participant("inventory")
    bound.action(InventoryService.Reserve, reserve)
    bound.compensation(InventoryService.Release, release)
    bound.action(InventoryService.ConfirmReservation, confirm_reservation)
    bound.command(InventoryService.ReceiveStock, receive_stock)
    bound.query(InventoryService.GetInventoryReport, report)
    return bound


def _lines(lines: Sequence[StockLine]) -> list[store.Line]:
    return [store.Line(line.sku, line.quantity) for line in lines]


async def reserve(request: ReserveRequest, step: StepContext, db: AsyncConnection) -> ReserveResponse:
    """Takes all lines off the shelf, or none."""
    lines = _lines(request.lines)
    skus = [line.sku for line in lines]
    hold = _hold(request)
    shelf = await store.lock_stock(db, request.warehouse_id, skus)
    for sku in skus:
        if sku not in shelf:
            text = f"warehouse {request.warehouse_id} has never had {sku}"
            raise Rejected(grpc.StatusCode.NOT_FOUND, "UNKNOWN_SKU", text, metadata={"sku": sku})
    await _cover(db, request.warehouse_id, [(line, shelf[line.sku]) for line in lines], step.effect_id)
    expires_at = await store.insert_reservation(
        db, step.effect_id, lines, order_id=request.order_id, warehouse_id=request.warehouse_id, hold=hold
    )
    response = ReserveResponse(reservation_id=str(step.effect_id))
    if expires_at is not None:
        response.expire_time.FromDatetime(expires_at)
    return response


def _hold(request: ReserveRequest) -> timedelta | None:
    if not request.HasField("hold"):
        return None
    seconds = request.hold.seconds + request.hold.nanos / 1e9  # plain numbers: a hostile duration would not convert
    if not 0 < seconds <= MAX_HOLD.total_seconds():
        text = f"hold must be above 0 and at most {MAX_HOLD.days} days, or unset to hold without end"
        raise Rejected(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_HOLD", text)
    return timedelta(seconds=seconds)


async def _cover(
    db: AsyncConnection, warehouse_id: str, wanted: list[tuple[store.Line, int]], reservation_id: UUID
) -> None:
    """Makes sure that the shelf covers each line, taking expired holds back if it does not. Raises ``Rejected``."""
    short = [line for line, on_hand in wanted if on_hand < line.quantity]
    if not short:
        return
    regained = await store.reclaim(db, warehouse_id, [line.sku for line in short], reservation_id)
    for line in short:
        if regained.get(line.sku, 0) < line.quantity:
            text = f"warehouse {warehouse_id} has fewer than {line.quantity} of {line.sku}"
            raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "OUT_OF_STOCK", text, metadata={"sku": line.sku})


async def release(request: ReleaseRequest, step: StepContext, db: AsyncConnection) -> ReleaseResponse:
    """Puts back what Reserve took and still holds."""
    if request.reservation_id not in ("", str(step.effect_id)):
        text = "the reservation is not the one that this step made"
        raise Rejected(grpc.StatusCode.INVALID_ARGUMENT, "RESERVATION_MISMATCH", text)
    held = await store.lock_reservation(db, step.effect_id)
    assert held is not None, "the barrier says that the reservation was made"
    if held.state == ReservationState.CONFIRMED:
        text = "the reservation was confirmed, its stock has been shipped"
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, "RESERVATION_CONFIRMED", text)
    return ReleaseResponse(released_quantity=await store.release(db, step.effect_id))


async def confirm_reservation(
    request: ConfirmReservationRequest, _step: StepContext, db: AsyncConnection
) -> ConfirmReservationResponse:
    """Ships a reservation; lines that expired and went to another order are taken off the shelf again."""
    unknown = Rejected(grpc.StatusCode.NOT_FOUND, "UNKNOWN_RESERVATION", "this order has no reservation of this id")
    try:
        reservation_id = UUID(request.reservation_id)
    except ValueError:
        raise unknown from None
    found = await store.lock_reservation(db, reservation_id)
    if found is None or found.order_id != request.order_id:
        raise unknown
    if found.state != ReservationState.HELD:
        state = ReservationState(found.state).name
        text = f"the reservation is {state.lower()} already"
        raise Rejected(grpc.StatusCode.FAILED_PRECONDITION, f"RESERVATION_{state}", text)
    lost = await store.lost_lines(db, reservation_id)
    await _cover(db, found.warehouse_id, lost, reservation_id)
    return ConfirmReservationResponse(shipped_quantity=await store.confirm(db, reservation_id))


async def receive_stock(request: ReceiveStockRequest, db: AsyncConnection) -> ReceiveStockResponse:
    """Books a delivery once."""
    content_hash = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    booked = await store.receive(db, request.receipt_id, request.warehouse_id, _lines(request.lines), content_hash)
    if booked is not None and booked != content_hash:
        text = f"another delivery was booked as {request.receipt_id}"
        raise Rejected(grpc.StatusCode.ALREADY_EXISTS, "RECEIPT_REUSED", text)
    return ReceiveStockResponse()


async def report(_request: GetInventoryReportRequest, db: AsyncConnection) -> GetInventoryReportResponse:
    """Counts what really happened."""
    counts = await store.counts(db)
    return GetInventoryReportResponse(
        levels=[
            StockLevel(
                warehouse_id=row.warehouse_id,
                sku=row.sku,
                received=row.received,
                on_hand=row.on_hand,
                reserved=row.reserved,
                shipped=row.shipped,
            )
            for row in await store.levels(db)
        ],
        held_reservations=counts.held,
        released_reservations=counts.released,
        confirmed_reservations=counts.confirmed,
    )
