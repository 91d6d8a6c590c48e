"""All SQL of the inventory. Every function runs in the kit's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

# Locks the order's stock rows by SKU, so that two orders never wait for each other. Primary key stock_pkey.
_LOCK_STOCK: Final = text(
    "SELECT sku, on_hand FROM stock WHERE warehouse_id = :warehouse_id AND sku = ANY(CAST(:skus AS text[]))"
    " ORDER BY sku FOR UPDATE"
)

# Takes all lines off the shelf and writes the reservation, in one statement. Guarded: a line that is not covered
# stays untouched, and the caller counts. Primary keys stock_pkey, reservation_pkey, reservation_line_pkey.
_RESERVE: Final = text(
    """
    WITH wanted AS (
        SELECT * FROM unnest(CAST(:skus AS text[]), CAST(:quantities AS bigint[])) AS w (sku, quantity)
    ), header AS (
        INSERT INTO reservation (reservation_id, order_id, warehouse_id, state, expires_at)
        VALUES (:reservation_id, :order_id, :warehouse_id, 1, clock_timestamp() + CAST(:hold AS interval))
        RETURNING expires_at
    ), lines AS (
        INSERT INTO reservation_line (reservation_id, sku, warehouse_id, quantity, expires_at)
        SELECT :reservation_id, sku, :warehouse_id, quantity, header.expires_at FROM wanted, header
    ), taken AS (
        UPDATE stock SET on_hand = on_hand - quantity, reserved = reserved + quantity FROM wanted
        WHERE stock.warehouse_id = :warehouse_id AND stock.sku = wanted.sku AND on_hand >= quantity
        RETURNING 1
    )
    SELECT header.expires_at, (SELECT count(*) FROM taken) AS taken FROM header
    """
)

# Gives the expired lines of the named SKUs back to the shelf. Their stock rows are locked, and lines change only under
# that lock, so the lines need none. Index reservation_line_expiring, then stock_pkey.
_RECLAIM: Final = text(
    """
    WITH expired AS (
        UPDATE reservation_line SET held = false
        WHERE warehouse_id = :warehouse_id AND sku = ANY(CAST(:skus AS text[]))
        AND held AND expires_at IS NOT NULL AND expires_at <= clock_timestamp() AND reservation_id <> :reservation_id
        RETURNING sku, quantity
    ), sums AS (
        SELECT sku, sum(quantity) AS quantity FROM expired GROUP BY sku
    )
    UPDATE stock SET on_hand = on_hand + quantity, reserved = reserved - quantity FROM sums
    WHERE stock.warehouse_id = :warehouse_id AND stock.sku = sums.sku
    RETURNING stock.sku, on_hand
    """
)

# Locks a reservation and the stock rows of its lines, by SKU. Primary keys reservation_line_pkey, reservation_pkey,
# stock_pkey. The lines are read again afterwards: this statement may have seen them before it waited.
_LOCK_RESERVATION: Final = text(
    """
    SELECT r.state, r.order_id, r.warehouse_id FROM reservation r
    JOIN reservation_line l ON l.reservation_id = r.reservation_id
    JOIN stock s ON s.warehouse_id = l.warehouse_id AND s.sku = l.sku
    WHERE r.reservation_id = :reservation_id
    ORDER BY s.sku FOR UPDATE OF r, s
    """
)

# Ends a held reservation as released. Primary keys reservation_pkey, reservation_line_pkey, stock_pkey.
_RELEASE: Final = text(
    """
    WITH ended AS (
        UPDATE reservation SET state = 2, ended_at = clock_timestamp()
        WHERE reservation_id = :reservation_id AND state = 1 RETURNING reservation_id
    ), lines AS (
        UPDATE reservation_line l SET held = false FROM ended
        WHERE l.reservation_id = ended.reservation_id AND l.held RETURNING l.warehouse_id, l.sku, l.quantity
    ), back AS (
        UPDATE stock s SET on_hand = on_hand + lines.quantity, reserved = reserved - lines.quantity FROM lines
        WHERE s.warehouse_id = lines.warehouse_id AND s.sku = lines.sku RETURNING lines.quantity
    )
    SELECT (SELECT count(*) FROM ended) AS ended, coalesce((SELECT sum(quantity) FROM back), 0) AS quantity
    """
)

# The lines that were given to another order meanwhile, and what the shelf has. reservation_line_pkey, stock_pkey.
_LOST_LINES: Final = text(
    """
    SELECT l.sku, l.quantity, s.on_hand FROM reservation_line l
    JOIN stock s ON s.warehouse_id = l.warehouse_id AND s.sku = l.sku
    WHERE l.reservation_id = :reservation_id AND NOT l.held ORDER BY l.sku
    """
)

# Ends a held reservation as shipped: held lines leave the reserved stock, lost ones leave the shelf once more. Guarded:
# the caller counts the lines. Primary keys reservation_pkey, reservation_line_pkey, stock_pkey.
_CONFIRM: Final = text(
    """
    WITH ended AS (
        UPDATE reservation SET state = 3, ended_at = clock_timestamp()
        WHERE reservation_id = :reservation_id AND state = 1 RETURNING reservation_id
    ), before AS (
        SELECT l.warehouse_id, l.sku, l.quantity, l.held FROM reservation_line l
        JOIN ended ON l.reservation_id = ended.reservation_id
    ), lines AS (
        UPDATE reservation_line l SET held = false FROM ended WHERE l.reservation_id = ended.reservation_id AND l.held
    ), gone AS (
        UPDATE stock s SET
            reserved = reserved - CASE WHEN before.held THEN before.quantity ELSE 0 END,
            on_hand = on_hand - CASE WHEN before.held THEN 0 ELSE before.quantity END,
            shipped = shipped + before.quantity
        FROM before WHERE s.warehouse_id = before.warehouse_id AND s.sku = before.sku
        AND (before.held OR s.on_hand >= before.quantity)
        RETURNING before.quantity
    )
    SELECT (SELECT count(*) FROM before) AS lines, (SELECT count(*) FROM gone) AS gone,
        coalesce((SELECT sum(quantity) FROM gone), 0) AS quantity
    """
)

# Books a delivery once. The stock rows are taken in the order of their SKUs. Primary keys receipt_pkey, stock_pkey.
_RECEIVE: Final = text(
    """
    WITH booked AS (
        INSERT INTO receipt (receipt_id, warehouse_id, content_hash)
        VALUES (:receipt_id, :warehouse_id, :content_hash) ON CONFLICT (receipt_id) DO NOTHING RETURNING 1
    ), added AS (
        INSERT INTO stock (warehouse_id, sku, received, on_hand)
        SELECT :warehouse_id, sku, quantity, quantity
        FROM unnest(CAST(:skus AS text[]), CAST(:quantities AS bigint[])) AS w (sku, quantity), booked ORDER BY sku
        ON CONFLICT (warehouse_id, sku) DO UPDATE
        SET received = stock.received + excluded.received, on_hand = stock.on_hand + excluded.on_hand
    )
    SELECT count(*) FROM booked
    """
)

# Primary key receipt_pkey.
_RECEIPT_HASH: Final = text("SELECT content_hash FROM receipt WHERE receipt_id = :receipt_id")

# Sequential scans: reports count everything.
_LEVELS: Final = text(
    "SELECT warehouse_id, sku, received, on_hand, reserved, shipped FROM stock ORDER BY warehouse_id, sku"
)
_COUNTS: Final = text(
    """
    SELECT
        count(*) FILTER (WHERE state = 1 AND EXISTS (
            SELECT FROM reservation_line l WHERE l.reservation_id = reservation.reservation_id AND l.held
        )) AS held,
        count(*) FILTER (WHERE state = 2) AS released,
        count(*) FILTER (WHERE state = 3) AS confirmed
    FROM reservation
    """
)


@dataclass(frozen=True, slots=True)
class Line:
    """A quantity of one article, in pieces."""

    sku: str
    quantity: int


def _arrays(lines: Sequence[Line]) -> dict[str, Any]:
    ordered = sorted(lines, key=lambda line: line.sku)
    return {"skus": [line.sku for line in ordered], "quantities": [line.quantity for line in ordered]}


async def lock_stock(db: AsyncConnection, warehouse_id: str, skus: Sequence[str]) -> dict[str, int]:
    """Pieces on the shelf by SKU, for the SKUs that the warehouse knows; their rows stay locked."""
    rows = await db.execute(_LOCK_STOCK, {"warehouse_id": warehouse_id, "skus": list(skus)})
    return {row.sku: row.on_hand for row in rows}


async def reclaim(db: AsyncConnection, warehouse_id: str, skus: Sequence[str], reservation_id: UUID) -> dict[str, int]:
    """Takes expired holds of others on these SKUs back; returns the new quantities on the shelf of those that gained.

    The stock rows must be locked.
    """
    rows = await db.execute(
        _RECLAIM, {"warehouse_id": warehouse_id, "skus": list(skus), "reservation_id": reservation_id}
    )
    return {row.sku: row.on_hand for row in rows}


async def insert_reservation(
    db: AsyncConnection,
    reservation_id: UUID,
    lines: Sequence[Line],
    *,
    order_id: str,
    warehouse_id: str,
    hold: timedelta | None,
) -> datetime | None:
    """Takes the lines off the shelf, whose rows must be locked and cover them. Returns when the hold expires."""
    row = (
        await db.execute(
            _RESERVE,
            {
                "reservation_id": reservation_id,
                "order_id": order_id,
                "warehouse_id": warehouse_id,
                "hold": hold,
                **_arrays(lines),
            },
        )
    ).one()
    assert row.taken == len(lines), "the shelf no longer covers what was just counted under its lock"
    expires_at: datetime | None = row.expires_at
    return expires_at


async def lock_reservation(db: AsyncConnection, reservation_id: UUID) -> Row[Any] | None:
    """``state``, ``order_id`` and ``warehouse_id`` of a reservation, locked with its stock rows."""
    return (await db.execute(_LOCK_RESERVATION, {"reservation_id": reservation_id})).first()


async def release(db: AsyncConnection, reservation_id: UUID) -> int:
    """Puts the held lines back on the shelf; returns the pieces. The reservation must be locked and held."""
    row = (await db.execute(_RELEASE, {"reservation_id": reservation_id})).one()
    assert row.ended == 1, "only a held reservation is released"
    return int(row.quantity)


async def lost_lines(db: AsyncConnection, reservation_id: UUID) -> list[tuple[Line, int]]:
    """The lines that are no longer held, each with what the shelf has. The reservation must be locked."""
    rows = await db.execute(_LOST_LINES, {"reservation_id": reservation_id})
    return [(Line(row.sku, row.quantity), row.on_hand) for row in rows]


async def confirm(db: AsyncConnection, reservation_id: UUID) -> int:
    """Books all lines as shipped; returns the pieces. The reservation must be locked, held, and its lines covered."""
    row = (await db.execute(_CONFIRM, {"reservation_id": reservation_id})).one()
    assert row.lines == row.gone > 0, "the shelf no longer covers what was just counted under its lock"
    return int(row.quantity)


async def receive(
    db: AsyncConnection, receipt_id: str, warehouse_id: str, lines: Sequence[Line], content_hash: bytes
) -> bytes | None:
    """Books a delivery. Returns None, or the content hash of the delivery that was booked under this id before."""
    identity = {"receipt_id": receipt_id, "warehouse_id": warehouse_id, "content_hash": content_hash}
    booked = (await db.execute(_RECEIVE, {**identity, **_arrays(lines)})).scalar_one()
    if booked:
        return None
    return bytes((await db.execute(_RECEIPT_HASH, {"receipt_id": receipt_id})).scalar_one())


async def levels(db: AsyncConnection) -> Sequence[Row[Any]]:
    """All stock rows by warehouse and SKU."""
    return (await db.execute(_LEVELS)).all()


async def counts(db: AsyncConnection) -> Row[Any]:
    """``held``, ``released`` and ``confirmed`` reservations."""
    return (await db.execute(_COUNTS)).one()
