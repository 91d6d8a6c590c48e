"""The shipped orders are what the contracts allow, and a mixture worth running."""

from collections import Counter

from contracts.rules import violations
from orchestrator.local.orders import ORDERS, load_orders, load_receipts


def test_every_order_and_delivery_keeps_the_contract() -> None:
    for order in load_orders():
        assert violations(order.request) == [], order.request.order_id
    for receipt in load_receipts():
        assert violations(receipt) == [], receipt.receipt_id


def test_each_order_is_one_request() -> None:
    orders = load_orders()
    assert len({order.request.request_id for order in orders}) == len(orders) == 300
    assert ORDERS.stat().st_size < 200_000


def test_both_versions_and_many_countries_and_currencies_are_asked_for() -> None:
    orders = load_orders()
    assert Counter(order.version for order in orders).keys() == {1, 2}
    assert len({order.request.ship_to.region_code for order in orders}) >= 10
    assert len({order.request.total.currency_code for order in orders}) >= 6


def test_about_one_card_in_twelve_is_declined() -> None:
    bad = sum(order.request.payment_method not in {"pm_card_visa", "pm_card_mastercard"} for order in load_orders())
    assert 0.06 <= bad / 300 <= 0.10
