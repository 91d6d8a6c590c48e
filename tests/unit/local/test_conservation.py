"""The sums notice a piece, a cent or a parcel that no saga explains."""

from collections.abc import Callable

import pytest
from commerce.v1.money_pb2 import Money
from inventory.v1.inventory_pb2 import GetInventoryReportResponse, ReceiveStockRequest, StockLevel, StockLine
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest
from payment.v1.payment_pb2 import CurrencyTotals, GetPaymentReportResponse
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED
from shipping.v1.shipping_pb2 import GetShippingReportResponse

from orchestrator.local.conservation import Reports, sums
from orchestrator.local.customer import Outcome
from orchestrator.local.orders import Order

RECEIPTS = [ReceiveStockRequest(receipt_id="DN-1", warehouse_id="W", lines=[StockLine(sku="CUP", quantity=10)])]


def outcome(version: int, quantity: int, *, completed: bool = True) -> Outcome:
    request = PlaceOrderRequest(
        order_id=f"v{version}",
        warehouse_id="W",
        lines=[OrderLine(sku="CUP", quantity=quantity)],
        total=Money(currency_code="EUR", amount_minor=100 * quantity),
    )
    state = SAGA_STATE_COMPLETED if completed else SAGA_STATE_COMPENSATED
    return Outcome(Order(version, request), state, "", "", "", calls=1, latency_s=0.1)


OUTCOMES = [outcome(1, 2), outcome(2, 3), outcome(2, 4, completed=False)]


def reports() -> Reports:
    """What honest participants say after ``OUTCOMES``."""
    return Reports(
        GetInventoryReportResponse(
            levels=[StockLevel(warehouse_id="W", sku="CUP", received=10, on_hand=5, reserved=2, shipped=3)],
            held_reservations=1,
            released_reservations=1,
            confirmed_reservations=1,
        ),
        GetPaymentReportResponse(
            totals=[CurrencyTotals(currency_code="EUR", authorized_minor=900, voided_minor=400, captured_minor=500)],
            captured_payments=2,
            voided_payments=1,
        ),
        GetShippingReportResponse(booked_shipments=1, cancelled_shipments=1, handed_over_shipments=1),
    )


def wrong(found: Reports) -> set[str]:
    return {each.name for each in sums(OUTCOMES, RECEIPTS, found) if not each.holds}


def test_honest_reports_add_up() -> None:
    assert wrong(reports()) == set()


def _lose_a_piece(found: Reports) -> None:
    found.inventory.levels[0].on_hand -= 1


def _keep_a_hold(found: Reports) -> None:
    found.inventory.levels[0].on_hand -= 4
    found.inventory.levels[0].reserved += 4
    found.inventory.held_reservations += 1


def _charge_twice(found: Reports) -> None:
    found.payment.totals[0].captured_minor += 300
    found.payment.captured_payments += 1


def _forget_to_void(found: Reports) -> None:
    found.payment.open_authorizations += 1


def _charge_in_another_currency(found: Reports) -> None:
    found.payment.totals.add(currency_code="USD", captured_minor=1)


def _ship_what_was_undone(found: Reports) -> None:
    found.shipping.booked_shipments += 1


@pytest.mark.parametrize(
    ("crime", "noticed"),
    [
        (_lose_a_piece, {"pieces on hand", "articles whose sums differ"}),
        (_keep_a_hold, {"pieces on hand", "pieces reserved", "articles whose sums differ", "reservations held (v1)"}),
        (_charge_twice, {"EUR captured - refunded (minor units)", "payments captured"}),
        (_forget_to_void, {"open authorisations"}),
        (_charge_in_another_currency, {"USD captured - refunded (minor units)"}),
        (_ship_what_was_undone, {"shipments booked (v1)"}),
    ],
)
def test_what_does_not_add_up_is_named(crime: Callable[[Reports], None], noticed: set[str]) -> None:
    found = reports()
    crime(found)
    assert wrong(found) == noticed


def test_errors_of_two_articles_do_not_cancel_out() -> None:
    found = reports()
    level = found.inventory.levels[0]
    found.inventory.levels.add(warehouse_id="W", sku="LID", received=1, on_hand=0, reserved=0, shipped=0)
    level.received -= 1
    assert "articles whose sums differ" in wrong(found)
