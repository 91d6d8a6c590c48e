"""What the card network and the contract say about a payment. Pure: no database, no clock."""

from dataclasses import dataclass
from typing import Final

from participants.payment.schema import PaymentState

_ACCEPTED: Final = frozenset({"pm_card_visa", "pm_card_mastercard"})

_DECLINED: Final = {
    "pm_card_chargeDeclined": ("CARD_DECLINED", "the card was declined"),
    "pm_card_insufficientFunds": ("INSUFFICIENT_FUNDS", "the card has too little on it"),
    "pm_card_expired": ("CARD_EXPIRED", "the card has expired"),
}
"""The test tokens of a well-known payment provider, and how they end."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the answer is no."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it is stored; amounts in minor units."""

    order_id: str
    currency_code: str
    state: PaymentState
    authorized_minor: int
    expired: bool


def refusal_to_charge(payment_method: str) -> Refusal | None:
    """What the network says of a token; a token that it does not know is declined."""
    if payment_method in _ACCEPTED:
        return None
    return Refusal(*_DECLINED.get(payment_method, ("CARD_DECLINED", "the payment method is not known")))


def refusal_to_capture(payment: Payment, currency_code: str, amount_minor: int) -> Refusal | None:
    """Why this amount cannot be captured, or None if it can."""
    if payment.state is not PaymentState.AUTHORIZED:
        state = payment.state.name
        return Refusal(f"PAYMENT_{state}", f"the payment is {state.lower()} already")
    if payment.expired:
        return Refusal("AUTHORIZATION_EXPIRED", "the authorisation has expired; authorise again")
    if currency_code != payment.currency_code:
        return Refusal("CURRENCY_MISMATCH", f"the payment was authorised in {payment.currency_code}")
    if amount_minor > payment.authorized_minor:
        return Refusal("AMOUNT_ABOVE_AUTHORIZATION", "no more can be captured than was authorised")
    return None


def refusal_to_void(state: PaymentState) -> Refusal | None:
    """Why an authorisation cannot be let go of, or None if it can."""
    if state is PaymentState.AUTHORIZED:
        return None
    return Refusal(f"PAYMENT_{state.name}", f"the payment is {state.name.lower()} already")


def refusal_to_refund(state: PaymentState) -> Refusal | None:
    """Why a payment cannot be given back, or None if it can."""
    if state is PaymentState.CAPTURED:
        return None
    return Refusal(f"PAYMENT_{state.name}", f"the payment is {state.name.lower()}, and only a captured one is refunded")
