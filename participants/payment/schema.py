"""Tables of the payments. One row is one payment; its constraints forbid to take or give back what is not there."""

from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from participants.kit.table import barrier_table

metadata: Final = sa.MetaData()


class PaymentState(IntEnum):
    """Where a payment stands."""

    AUTHORIZED = 1
    CAPTURED = 2
    VOIDED = 3
    REFUNDED = 4


barrier: Final = barrier_table(metadata)

payment: Final = sa.Table(
    "payment",
    metadata,
    sa.Column("payment_id", pg.UUID(as_uuid=True), nullable=False),
    sa.Column("order_id", sa.Text, nullable=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("payment_method", sa.Text, nullable=False),
    sa.Column("currency_code", sa.Text, nullable=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("authorized_minor", sa.BigInteger, nullable=False),
    sa.Column("captured_minor", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("refunded_minor", sa.BigInteger, nullable=False, server_default="0"),
    # One of each at the most: a second capture or refund has nowhere to go.
    sa.Column("capture_id", pg.UUID(as_uuid=True)),
    sa.Column("refund_id", pg.UUID(as_uuid=True)),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.PrimaryKeyConstraint("payment_id", name="payment_pkey"),
    sa.CheckConstraint("currency_code ~ '^[A-Z]{3}$'", name="payment_currency"),
    sa.CheckConstraint("authorized_minor >= 0", name="payment_authorized"),
    sa.CheckConstraint("captured_minor BETWEEN 0 AND authorized_minor", name="payment_captured"),
    sa.CheckConstraint("refunded_minor BETWEEN 0 AND captured_minor", name="payment_refunded"),
    sa.CheckConstraint(
        "(state IN (1, 3) AND captured_minor = 0 AND capture_id IS NULL AND refund_id IS NULL)"
        " OR (state = 2 AND refunded_minor = 0 AND capture_id IS NOT NULL AND refund_id IS NULL)"
        " OR (state = 4 AND refunded_minor = captured_minor AND capture_id IS NOT NULL AND refund_id IS NOT NULL)",
        name="payment_state",
    ),
)
