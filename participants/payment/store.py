"""All SQL of the payments. Every function runs in the kit's transaction; every row is found by ``payment_pkey``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from participants.payment.rules import Payment
from participants.payment.schema import PaymentState

# Primary key payment_pkey.
_AUTHORIZE: Final = text(
    """
    INSERT INTO payment (payment_id, order_id, customer_id, payment_method, currency_code, state, authorized_minor,
        expires_at)
    VALUES (:payment_id, :order_id, :customer_id, :payment_method, :currency_code, 1, :amount_minor,
        clock_timestamp() + CAST(:valid_for AS interval))
    RETURNING expires_at
    """
)

# Primary key payment_pkey.
_CHARGE: Final = text(
    """
    INSERT INTO payment (payment_id, order_id, customer_id, payment_method, currency_code, state, authorized_minor,
        captured_minor, capture_id)
    VALUES (:payment_id, :order_id, :customer_id, :payment_method, :currency_code, 2, :amount_minor,
        :amount_minor, :payment_id)
    """
)

# FOR UPDATE: what is judged stays so until the transaction ends. Primary key payment_pkey.
_LOCK: Final = text(
    "SELECT order_id, currency_code, state, authorized_minor,"
    " coalesce(expires_at <= clock_timestamp(), false) AS expired"
    " FROM payment WHERE payment_id = :payment_id FOR UPDATE"
)

# The three changes name the state that they come from. Primary key payment_pkey.
_CAPTURE: Final = text(
    "UPDATE payment SET state = 2, captured_minor = :amount_minor, capture_id = :capture_id,"
    " updated_at = clock_timestamp() WHERE payment_id = :payment_id AND state = 1 RETURNING payment_id"
)
_VOID: Final = text(
    "UPDATE payment SET state = 3, updated_at = clock_timestamp()"
    " WHERE payment_id = :payment_id AND state = 1 RETURNING payment_id"
)
_REFUND: Final = text(
    "UPDATE payment SET state = 4, refunded_minor = captured_minor, refund_id = :refund_id,"
    " updated_at = clock_timestamp() WHERE payment_id = :payment_id AND state = 2"
    " RETURNING currency_code, refunded_minor"
)

# Sequential scans: reports count everything.
_TOTALS: Final = text(
    """
    SELECT currency_code, sum(authorized_minor) AS authorized_minor,
        coalesce(sum(authorized_minor) FILTER (WHERE state = 3), 0) AS voided_minor,
        sum(captured_minor) AS captured_minor, sum(refunded_minor) AS refunded_minor
    FROM payment GROUP BY currency_code ORDER BY currency_code
    """
)
_COUNTS: Final = text(
    """
    SELECT count(*) FILTER (WHERE state = 1) AS authorized, count(*) FILTER (WHERE state = 2) AS captured,
        count(*) FILTER (WHERE state = 3) AS voided, count(*) FILTER (WHERE state = 4) AS refunded
    FROM payment
    """
)


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment to write; the amount in minor units."""

    payment_id: UUID
    order_id: str
    customer_id: str
    payment_method: str
    currency_code: str
    amount_minor: int

    def parameters(self) -> dict[str, Any]:
        """By the names of the statements."""
        return {name: getattr(self, name) for name in self.__slots__}


async def authorize(db: AsyncConnection, new: NewPayment, valid_for: timedelta) -> datetime:
    """Writes an authorised payment; returns when it expires."""
    row = (await db.execute(_AUTHORIZE, {**new.parameters(), "valid_for": valid_for})).one()
    expires_at: datetime = row.expires_at
    return expires_at


async def charge(db: AsyncConnection, new: NewPayment) -> None:
    """Writes a payment that is captured at once."""
    await db.execute(_CHARGE, new.parameters())


async def lock(db: AsyncConnection, payment_id: UUID) -> Payment | None:
    """The payment, locked; None if there is none."""
    row = (await db.execute(_LOCK, {"payment_id": payment_id})).one_or_none()
    if row is None:
        return None
    return Payment(row.order_id, row.currency_code, PaymentState(row.state), row.authorized_minor, row.expired)


async def capture(db: AsyncConnection, payment_id: UUID, capture_id: UUID, amount_minor: int) -> None:
    """Takes money that a locked payment has authorised."""
    parameters = {"payment_id": payment_id, "capture_id": capture_id, "amount_minor": amount_minor}
    (await db.execute(_CAPTURE, parameters)).one()


async def void(db: AsyncConnection, payment_id: UUID) -> None:
    """Lets go of a locked payment that is authorised."""
    (await db.execute(_VOID, {"payment_id": payment_id})).one()


async def refund(db: AsyncConnection, payment_id: UUID, refund_id: UUID) -> tuple[str, int]:
    """Gives back a locked payment that is captured; returns the currency and the amount in minor units."""
    row = (await db.execute(_REFUND, {"payment_id": payment_id, "refund_id": refund_id})).one()
    return row.currency_code, row.refunded_minor


async def totals(db: AsyncConnection) -> Sequence[Row[Any]]:
    """Sums by currency, in minor units."""
    return (await db.execute(_TOTALS)).all()


async def counts(db: AsyncConnection) -> Row[Any]:
    """Payments by state."""
    return (await db.execute(_COUNTS)).one()
