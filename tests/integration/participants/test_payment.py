"""No capture above the authorisation, no double refund."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from commerce.v1.money_pb2 import Money
from payment.v1 import payment_pb2 as pay_pb
from payment.v1.payment_saga import PaymentService

from participants.payment import handlers as payment
from participants.payment.schema import metadata
from tests.fixtures.postgres import DatabaseFactory
from tests.integration.participants.calls import Caller, call, verdict
from tests.integration.participants.conftest import Served, schema_faults, serving


@pytest.fixture
async def till(fresh_database: DatabaseFactory) -> AsyncIterator[Served]:
    """The payments."""
    async with serving(payment.participant(), await fresh_database("payment")) as served:
        yield served


def money(amount_minor: int, currency_code: str = "EUR") -> Money:
    return Money(currency_code=currency_code, amount_minor=amount_minor)


def bill(kind: type[Any], token: str = "pm_card_visa", amount_minor: int = 1000) -> Any:
    return kind(order_id="o", customer_id="c", payment_method=token, amount=money(amount_minor))


async def capture(caller: Caller, payment_id: str, amount: Money, order_id: str = "o") -> pay_pb.CaptureResponse:
    request = pay_pb.CaptureRequest(order_id=order_id, payment_id=payment_id, amount=amount)
    return await caller.act(PaymentService.Capture, request)


async def totals(served: Served) -> tuple[int, int, int, int]:
    """Authorised, voided, captured, refunded of the one currency."""
    report = await call(served.channel, PaymentService.GetPaymentReport, pay_pb.GetPaymentReportRequest())
    (only,) = report.totals
    return only.authorized_minor, only.voided_minor, only.captured_minor, only.refunded_minor


async def test_tokens(till: Served) -> None:
    for token, expected in {
        "pm_card_visa": "OK",
        "pm_card_mastercard": "OK",
        "pm_card_chargeDeclined": "CARD_DECLINED",
        "pm_card_insufficientFunds": "INSUFFICIENT_FUNDS",
        "pm_card_expired": "CARD_EXPIRED",
        "pm_nobody_knows": "CARD_DECLINED",
    }.items():
        charge, authorize = bill(pay_pb.ChargeRequest, token), bill(pay_pb.AuthorizeRequest, token)
        assert await verdict(till.caller().act(PaymentService.Charge, charge)) == expected
        assert await verdict(till.caller().act(PaymentService.Authorize, authorize)) == expected


async def test_charge_is_refunded_once(till: Served) -> None:
    caller = till.caller()
    await caller.act(PaymentService.Charge, bill(pay_pb.ChargeRequest))
    refunds = await asyncio.gather(
        *(caller.undo(PaymentService.Refund, pay_pb.RefundRequest(order_id="o")) for _ in range(10))
    )
    assert len({refund.refund_id for refund in refunds}) == 1
    assert refunds[0].amount == money(1000)
    assert await totals(till) == (1000, 0, 1000, 1000)


async def test_capture_rules(till: Served) -> None:
    authorize = till.caller("authorize")
    payment_id = (await authorize.act(PaymentService.Authorize, bill(pay_pb.AuthorizeRequest))).payment_id
    for amount, order_id, expected in (
        (money(1001), "o", "AMOUNT_ABOVE_AUTHORIZATION"),
        (money(1, "USD"), "o", "CURRENCY_MISMATCH"),
        (money(1), "another", "UNKNOWN_PAYMENT"),
    ):
        assert await verdict(capture(till.caller("capture"), payment_id, amount, order_id)) == expected
    assert await verdict(capture(till.caller("capture"), "none", money(1))) == "UNKNOWN_PAYMENT"
    verdicts = await asyncio.gather(
        *(verdict(capture(till.caller("capture"), payment_id, money(900))) for _ in range(10))
    )
    assert (verdicts.count("OK"), verdicts.count("PAYMENT_CAPTURED")) == (1, 9)
    void = authorize.undo(PaymentService.VoidAuthorization, pay_pb.VoidAuthorizationRequest(order_id="o"))
    assert await verdict(void) == "PAYMENT_CAPTURED"
    assert await totals(till) == (1000, 0, 900, 0)


async def test_void_and_expiry(till: Served) -> None:
    authorize, late = till.caller("authorize"), till.caller("authorize")
    payment_id = (await authorize.act(PaymentService.Authorize, bill(pay_pb.AuthorizeRequest))).payment_id
    await authorize.undo(PaymentService.VoidAuthorization, pay_pb.VoidAuthorizationRequest(order_id="o"))
    assert await verdict(capture(till.caller("capture"), payment_id, money(1))) == "PAYMENT_VOIDED"
    expired = (await late.act(PaymentService.Authorize, bill(pay_pb.AuthorizeRequest))).payment_id
    await till.db.execute("UPDATE payment SET expires_at = now() - interval '1 second'")
    assert await verdict(capture(till.caller("capture"), expired, money(1))) == "AUTHORIZATION_EXPIRED"
    assert await totals(till) == (2000, 1000, 0, 0)


async def test_the_database_itself_refuses(till: Served) -> None:
    await till.caller().act(PaymentService.Charge, bill(pay_pb.ChargeRequest))
    for change in ("captured_minor = 1001", "refunded_minor = 1001", "state = 4", "state = 1", "currency_code = 'e'"):
        with pytest.raises(Exception, match="violates check constraint"):
            await till.db.execute(f"UPDATE payment SET {change}")


async def test_migrations_and_tables_agree(fresh_database: DatabaseFactory) -> None:
    assert await schema_faults(fresh_database, "payment", metadata) == []
