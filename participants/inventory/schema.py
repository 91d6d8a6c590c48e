"""Tables of the inventory. The constraints hold the business rules, whatever the code does.

Lock order: a reservation, then stock rows by SKU. A line changes only under the lock of its stock row.
"""

from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from participants.kit.table import barrier_table

metadata: Final = sa.MetaData()


class ReservationState(IntEnum):
    """Where a reservation stands."""

    HELD = 1
    RELEASED = 2
    CONFIRMED = 3


_NOW: Final = sa.func.now()

barrier: Final = barrier_table(metadata)

stock: Final = sa.Table(
    "stock",
    metadata,
    sa.Column("warehouse_id", sa.Text, nullable=False),
    sa.Column("sku", sa.Text, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("on_hand", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("shipped", sa.BigInteger, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("warehouse_id", "sku", name="stock_pkey"),
    sa.CheckConstraint("on_hand >= 0", name="stock_on_hand"),
    sa.CheckConstraint("reserved >= 0", name="stock_reserved"),
    sa.CheckConstraint("shipped >= 0", name="stock_shipped"),
    sa.CheckConstraint("received = on_hand + reserved + shipped", name="stock_conserved"),
)

reservation: Final = sa.Table(
    "reservation",
    metadata,
    sa.Column("reservation_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("order_id", sa.Text, nullable=False),
    sa.Column("warehouse_id", sa.Text, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("reservation_id", name="reservation_pkey"),
    sa.CheckConstraint("state IN (1, 2, 3)", name="reservation_state"),
    sa.CheckConstraint("(state = 1) = (ended_at IS NULL)", name="reservation_ended"),
)

reservation_line: Final = sa.Table(
    "reservation_line",
    metadata,
    sa.Column("reservation_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("sku", sa.Text, nullable=False),
    sa.Column("warehouse_id", sa.Text, nullable=False),
    sa.Column("quantity", sa.BigInteger, nullable=False),
    # False once the stock is no longer set aside: released, shipped, or expired and given to another order.
    sa.Column("held", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("reservation_id", "sku", name="reservation_line_pkey"),
    sa.ForeignKeyConstraint(
        ["reservation_id"], ["reservation.reservation_id"], name="reservation_line_reservation_id_fkey"
    ),
    sa.ForeignKeyConstraint(
        ["warehouse_id", "sku"], ["stock.warehouse_id", "stock.sku"], name="reservation_line_stock_fkey"
    ),
    sa.CheckConstraint("quantity > 0", name="reservation_line_quantity"),
    sa.Index(
        "reservation_line_expiring",
        "warehouse_id",
        "sku",
        "expires_at",
        postgresql_where=sa.text("held AND expires_at IS NOT NULL"),
    ),
)

receipt: Final = sa.Table(
    "receipt",
    metadata,
    sa.Column("receipt_id", sa.Text, nullable=False),
    sa.Column("warehouse_id", sa.Text, nullable=False),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
    sa.PrimaryKeyConstraint("receipt_id", name="receipt_pkey"),
)
