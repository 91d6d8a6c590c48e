"""The orders of the tests, good and faulty, and the stock for them."""

from typing import Final

from commerce.v1.address_pb2 import Address
from commerce.v1.money_pb2 import Money
from inventory.v1.inventory_pb2 import ReceiveStockRequest, StockLine
from orders.v1.orders_pb2 import OrderLine, PlaceOrderRequest
from saga.v1.saga_service_pb2 import StartSagaRequest

from orchestrator.local.orders import Order

WAREHOUSE: Final = "BER-1"
SKUS: Final = tuple(f"MUG-{number:02}" for number in range(16))
SCARCE: Final = "VASE-01"
RECEIPT: Final = ReceiveStockRequest(
    receipt_id="DN-1",
    warehouse_id=WAREHOUSE,
    lines=[*(StockLine(sku=sku, quantity=10_000) for sku in SKUS), StockLine(sku=SCARCE, quantity=1)],
)
FAULTS: Final = ("", "declined", "", "out of stock", "", "", "undeliverable", "", "", "")
"""What is wrong with every so-manieth order; most are good."""


def new_request(number: int, fault: str = "") -> PlaceOrderRequest:
    """An order, numbered; ``fault`` is one of :data:`FAULTS`."""
    sku, quantity = (SCARCE, 2) if fault == "out of stock" else (SKUS[number % len(SKUS)], 1 + number % 3)
    return PlaceOrderRequest(
        request_id=f"ORD-{number}",
        order_id=f"ORD-{number}",
        customer_id=f"CUS-{number}",
        warehouse_id=WAREHOUSE,
        lines=[OrderLine(sku=sku, quantity=quantity)],
        total=Money(currency_code="EUR", amount_minor=1000 + number),
        payment_method="pm_card_chargeDeclined" if fault == "declined" else "pm_card_visa",
        ship_to=Address(
            recipient="A. Customer",
            address_lines=["Lindenallee 1"],
            locality="Berlin",
            postal_code="nowhere" if fault == "undeliverable" else "10115",
            region_code="DE",
        ),
    )


def start_request(order: Order, definition: str = "place-order") -> StartSagaRequest:
    """The order for the generic door."""
    return StartSagaRequest(
        request_id=order.request.request_id,
        definition=definition,
        version=order.version,
        input=order.request.SerializeToString(),
    )
