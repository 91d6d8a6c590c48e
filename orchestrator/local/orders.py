"""The shipped orders and the deliveries that stock the warehouses for them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf import json_format
from inventory.v1.inventory_pb2 import ReceiveStockRequest
from orders.v1.orders_pb2 import PlaceOrderRequest

ORDERS: Final = Path(__file__).with_name("orders.jsonl")
RECEIPTS: Final = Path(__file__).with_name("receipts.jsonl")


@dataclass(frozen=True, slots=True)
class Order:
    """One order and the definition that it is to follow. Its ``request_id`` is its ``order_id``."""

    version: int
    request: PlaceOrderRequest
    definition: str = "place-order"

    @property
    def follows(self) -> str:
        """The definition as people name it."""
        return f"{self.definition} v{self.version}"

    @property
    def leaves_reserved(self) -> bool:
        """Whether its stock is still only reserved, and its shipment only booked, once it has completed."""
        return self.follows == "place-order v1"


def load_orders(path: Path = ORDERS) -> list[Order]:
    """Reads one order a line. Raises ``json_format.ParseError`` for a field that the contract does not have."""
    orders = []
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        request = json_format.ParseDict(entry["order"], PlaceOrderRequest())
        request.request_id = request.order_id
        orders.append(Order(entry["version"], request))
    return orders


def load_receipts(path: Path = RECEIPTS) -> list[ReceiveStockRequest]:
    """Reads one delivery a line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json_format.ParseDict(json.loads(line), ReceiveStockRequest()) for line in lines]
