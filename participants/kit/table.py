"""The barrier's table: one row for each step of a saga that ever called here."""

from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

BARRIER: Final = "saga_barrier"


class BarrierState(IntEnum):
    """What a barrier row says of its action."""

    DONE = 1
    """It took effect; ``response`` is the action's."""
    REJECTED = 2
    """It took none; ``verdict`` is the stored ``google.rpc.Status``."""
    TOMBSTONE = 3
    """It never took effect and never will."""
    UNDONE = 4
    """It took effect and was undone; ``response`` is the compensation's."""


def barrier_table(metadata: sa.MetaData) -> sa.Table:
    """Adds ``saga_barrier`` to the participant's own tables; it must live in the database that holds the effects.

    Rows must outlive the longest retention of a live saga: a row that is gone lets a late call take effect again.
    """
    return sa.Table(
        BARRIER,
        metadata,
        sa.Column("saga_id", pg.UUID(as_uuid=True), nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("request_hash", sa.LargeBinary),
        sa.Column("response", sa.LargeBinary),
        sa.Column("verdict", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("saga_id", "step", name="saga_barrier_pkey"),
        sa.CheckConstraint("epoch > 0", name="saga_barrier_epoch"),
        sa.CheckConstraint("octet_length(request_hash) = 32", name="saga_barrier_request_hash"),
        # Every state names the columns that it has. A comparison with NULL would let a row through: IS NOT NULL first.
        sa.CheckConstraint(
            "(state = 1 AND request_hash IS NOT NULL AND response IS NOT NULL AND verdict IS NULL)"
            " OR (state = 2 AND request_hash IS NOT NULL AND response IS NULL AND verdict IS NOT NULL)"
            " OR (state = 3 AND response IS NULL AND verdict IS NULL)"
            " OR (state = 4 AND request_hash IS NOT NULL AND response IS NOT NULL AND verdict IS NULL)",
            name="saga_barrier_state",
        ),
    )
