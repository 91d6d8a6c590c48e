"""All SQL of the shipments. Every function runs in the kit's transaction; rows are found by ``shipment_pkey``."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.shipping.schema import ShipmentState

# Shipment and parcels in one statement. Primary keys shipment_pkey, shipment_parcel_pkey.
_BOOK: Final = text(
    """
    WITH header AS (
        INSERT INTO shipment (shipment_id, order_id, warehouse_id, state, carrier, tracking_number, express,
            recipient, address_lines, locality, postal_code, region_code)
        VALUES (:shipment_id, :order_id, :warehouse_id, 1, :carrier, :tracking_number, :express,
            :recipient, CAST(:address_lines AS text[]), :locality, :postal_code, :region_code)
        RETURNING shipment_id
    )
    INSERT INTO shipment_parcel (shipment_id, position, sku, quantity)
    SELECT header.shipment_id, p.position, p.sku, p.quantity FROM header,
        unnest(CAST(:skus AS text[]), CAST(:quantities AS bigint[])) WITH ORDINALITY AS p (sku, quantity, position)
    """
)

# FOR UPDATE: what is judged stays so until the transaction ends. Primary key shipment_pkey.
_LOCK: Final = text("SELECT state, order_id FROM shipment WHERE shipment_id = :shipment_id FOR UPDATE")

# Both changes name the state that they come from. Primary key shipment_pkey.
_CANCEL: Final = text(
    "UPDATE shipment SET state = 2, ended_at = clock_timestamp()"
    " WHERE shipment_id = :shipment_id AND state = 1 RETURNING shipment_id"
)
_HAND_OVER: Final = text(
    "UPDATE shipment SET state = 3, ended_at = clock_timestamp(), pickup_reference = :pickup_reference"
    " WHERE shipment_id = :shipment_id AND state = 1 RETURNING shipment_id"
)

# Sequential scan: the report counts everything.
_COUNTS: Final = text(
    "SELECT count(*) FILTER (WHERE state = 1) AS booked, count(*) FILTER (WHERE state = 2) AS cancelled,"
    " count(*) FILTER (WHERE state = 3) AS handed_over FROM shipment"
)


@dataclass(frozen=True, slots=True)
class NewShipment:
    """A shipment to write; ``skus`` and ``quantities`` (pieces) are its parcels, side by side."""

    shipment_id: UUID
    order_id: str
    warehouse_id: str
    carrier: str
    tracking_number: str
    express: bool
    recipient: str
    address_lines: list[str]
    locality: str
    postal_code: str
    region_code: str
    skus: list[str]
    quantities: list[int]

    def parameters(self) -> dict[str, Any]:
        """By the names of the statement."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Shipment:
    """What decides whether a shipment may change."""

    state: ShipmentState
    order_id: str


async def book(db: AsyncConnection, new: NewShipment) -> None:
    """Writes a booked shipment with its parcels."""
    await db.execute(_BOOK, new.parameters())


async def lock(db: AsyncConnection, shipment_id: UUID) -> Shipment | None:
    """The shipment, locked; None if there is none."""
    row = (await db.execute(_LOCK, {"shipment_id": shipment_id})).one_or_none()
    return None if row is None else Shipment(ShipmentState(row.state), row.order_id)


async def cancel(db: AsyncConnection, shipment_id: UUID) -> None:
    """Cancels a locked shipment that is booked."""
    (await db.execute(_CANCEL, {"shipment_id": shipment_id})).one()


async def hand_over(db: AsyncConnection, shipment_id: UUID, pickup_reference: str) -> None:
    """Hands a locked shipment that is booked over."""
    (await db.execute(_HAND_OVER, {"shipment_id": shipment_id, "pickup_reference": pickup_reference})).one()


async def counts(db: AsyncConnection) -> Row[Any]:
    """Shipments by state."""
    return (await db.execute(_COUNTS)).one()
