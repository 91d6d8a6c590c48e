"""Tables of the shipments."""

from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from participants.kit.table import barrier_table

metadata: Final = sa.MetaData()


class ShipmentState(IntEnum):
    """Where a shipment stands."""

    BOOKED = 1
    CANCELLED = 2
    HANDED_OVER = 3


barrier: Final = barrier_table(metadata)

shipment: Final = sa.Table(
    "shipment",
    metadata,
    sa.Column("shipment_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("order_id", sa.Text, nullable=False),
    sa.Column("warehouse_id", sa.Text, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("carrier", sa.Text, nullable=False),
    sa.Column("tracking_number", sa.Text, nullable=False),
    sa.Column("express", sa.Boolean, nullable=False),
    sa.Column("recipient", sa.Text, nullable=False),
    sa.Column("address_lines", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("locality", sa.Text, nullable=False),
    sa.Column("postal_code", sa.Text, nullable=False),
    sa.Column("region_code", sa.Text, nullable=False),
    sa.Column("pickup_reference", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("shipment_id", name="shipment_pkey"),
    sa.UniqueConstraint("tracking_number", name="shipment_tracking_number_key"),
    sa.CheckConstraint("region_code ~ '^[A-Z]{2}$'", name="shipment_region"),
    sa.CheckConstraint(
        "(state = 1 AND ended_at IS NULL AND pickup_reference IS NULL)"
        " OR (state = 2 AND ended_at IS NOT NULL AND pickup_reference IS NULL)"
        " OR (state = 3 AND ended_at IS NOT NULL AND pickup_reference IS NOT NULL)",
        name="shipment_state",
    ),
)

shipment_parcel: Final = sa.Table(
    "shipment_parcel",
    metadata,
    sa.Column("shipment_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("sku", sa.Text, nullable=False),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("shipment_id", "position", name="shipment_parcel_pkey"),
    sa.ForeignKeyConstraint(["shipment_id"], ["shipment.shipment_id"], name="shipment_parcel_shipment_id_fkey"),
    sa.CheckConstraint("quantity > 0", name="shipment_parcel_quantity"),
)
