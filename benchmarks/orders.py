"""The load's orders: every one new, spread over enough articles that few queue for the same one."""

import random
from collections.abc import Iterator
from typing import Final

from commerce.v1.address_pb2 import Address
from commerce.v1.money_pb2 import Money
from inventory.v1.inventory_pb2 import ReceiveStockRequest, StockLine
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest

ARTICLES: Final = 1000
PIECES_A_DELIVERY: Final = 10_000
LINES_A_DELIVERY: Final = 500
DELIVERIES: Final = 4
WAREHOUSE: Final = "BER-1"
SERVED: Final = "DE"
NOT_SERVED: Final = "AQ"
"""A country that no carrier serves: shipping refuses the order."""

_SKUS: Final = tuple(f"ART-{number:04d}" for number in range(ARTICLES))


def orders(prefix: str, seed: int, refused: float = 0.0) -> Iterator[PlaceOrderRequest]:
    """Orders without end: two articles each, drawn evenly. ``prefix`` makes their ids unlike those of any other run.

    ``refused``: the share, 0 to 1, that shipping refuses; all others are fulfillable.
    """
    draw = random.Random(seed)  # noqa: S311  (a load, not a secret)
    number = 0
    while True:
        number += 1
        order_id = f"{prefix}-{number:07d}"
        first, second = draw.sample(_SKUS, 2)
        yield PlaceOrderRequest(
            request_id=order_id,
            order_id=order_id,
            customer_id=f"CUS-{draw.randrange(100_000):05d}",
            warehouse_id=WAREHOUSE,
            lines=[OrderLine(sku=first, quantity=1), OrderLine(sku=second, quantity=2)],
            total=Money(currency_code="EUR", amount_minor=draw.randrange(500, 20_000)),
            payment_method="pm_card_visa",
            ship_to=Address(
                recipient="Anna Schneider",
                address_lines=["Torstraße 49"],
                locality="Berlin",
                postal_code="10119",
                region_code=NOT_SERVED if draw.random() < refused else SERVED,
            ),
        )


def deliveries() -> Iterator[ReceiveStockRequest]:
    """Stock for some ten million orders: every article is received ``DELIVERIES`` times, ``PIECES_A_DELIVERY`` each."""
    for delivery in range(DELIVERIES):
        for start in range(0, ARTICLES, LINES_A_DELIVERY):
            yield ReceiveStockRequest(
                receipt_id=f"DN-{delivery}-{start}",
                warehouse_id=WAREHOUSE,
                lines=[
                    StockLine(sku=sku, quantity=PIECES_A_DELIVERY) for sku in _SKUS[start : start + LINES_A_DELIVERY]
                ],
            )
