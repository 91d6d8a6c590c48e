"""Holds what the participants count against what the ends of the sagas imply (invariant I1)."""

from collections import Counter
from dataclasses import dataclass

import grpc
from inventory.v1.inventory_pb2 import GetInventoryReportRequest, GetInventoryReportResponse, ReceiveStockRequest
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from payment.v1.payment_pb2 import GetPaymentReportRequest, GetPaymentReportResponse
from payment.v1.payment_pb2_grpc import PaymentServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED
from shipping.v1.shipping_pb2 import GetShippingReportRequest, GetShippingReportResponse
from shipping.v1.shipping_pb2_grpc import ShippingServiceStub

from orchestrator.local.customer import Outcome

REPORT_TIMEOUT_S = 10.0
Stock = Counter[tuple[str, str]]
"""Pieces by warehouse and SKU."""


@dataclass(frozen=True, slots=True)
class Reports:
    """What the participants say really happened."""

    inventory: GetInventoryReportResponse
    payment: GetPaymentReportResponse
    shipping: GetShippingReportResponse


@dataclass(frozen=True, slots=True)
class Sum:
    """One number that must be right. ``expected`` follows from the sagas, ``counted`` was read from a participant."""

    name: str
    expected: int
    counted: int

    @property
    def holds(self) -> bool:
        """True if both agree."""
        return self.expected == self.counted


async def read_reports(addresses: dict[str, str]) -> Reports:
    """Asks each participant, by the names ``inventory``, ``payment`` and ``shipping``. Raises ``AioRpcError``."""
    async with (
        grpc.aio.insecure_channel(addresses["inventory"]) as inventory,
        grpc.aio.insecure_channel(addresses["payment"]) as payment,
        grpc.aio.insecure_channel(addresses["shipping"]) as shipping,
    ):
        return Reports(
            await InventoryServiceStub(inventory).GetInventoryReport(
                GetInventoryReportRequest(), timeout=REPORT_TIMEOUT_S
            ),
            await PaymentServiceStub(payment).GetPaymentReport(GetPaymentReportRequest(), timeout=REPORT_TIMEOUT_S),
            await ShippingServiceStub(shipping).GetShippingReport(GetShippingReportRequest(), timeout=REPORT_TIMEOUT_S),
        )


def sums(outcomes: list[Outcome], receipts: list[ReceiveStockRequest], reports: Reports) -> list[Sum]:
    """Every number that the ends of the sagas imply. Only version 1 of ``place-order`` leaves its stock reserved."""
    completed = [outcome for outcome in outcomes if outcome.state == SAGA_STATE_COMPLETED]
    reserved = [outcome for outcome in completed if outcome.order.leaves_reserved]
    shipped = [outcome for outcome in completed if not outcome.order.leaves_reserved]
    return [
        *_stock_sums(_ordered(reserved), _ordered(shipped), _received(receipts), reports.inventory),
        Sum("reservations held (v1)", len(reserved), reports.inventory.held_reservations),
        Sum("reservations confirmed", len(shipped), reports.inventory.confirmed_reservations),
        *_money_sums(completed, reports.payment),
        Sum("payments captured", len(completed), reports.payment.captured_payments),
        Sum("open authorisations", 0, reports.payment.open_authorizations),
        Sum("shipments booked (v1)", len(reserved), reports.shipping.booked_shipments),
        Sum("shipments handed over", len(shipped), reports.shipping.handed_over_shipments),
    ]


def _stock_sums(reserved: Stock, shipped: Stock, received: Stock, report: GetInventoryReportResponse) -> list[Sum]:
    """Totals, then the number of articles that disagree in any column, so that errors cannot cancel out."""
    levels = report.levels
    wrong = sum(
        level.received != level.on_hand + level.reserved + level.shipped
        or level.received != received[level.warehouse_id, level.sku]
        or level.reserved != reserved[level.warehouse_id, level.sku]
        or level.shipped != shipped[level.warehouse_id, level.sku]
        for level in levels
    )
    return [
        Sum("pieces received", received.total(), sum(level.received for level in levels)),
        Sum("pieces reserved", reserved.total(), sum(level.reserved for level in levels)),
        Sum("pieces shipped", shipped.total(), sum(level.shipped for level in levels)),
        Sum(
            "pieces on hand",
            received.total() - reserved.total() - shipped.total(),
            sum(level.on_hand for level in levels),
        ),
        Sum("articles whose sums differ", 0, wrong),
    ]


def _money_sums(completed: list[Outcome], report: GetPaymentReportResponse) -> list[Sum]:
    """Captured less refunded, by currency, in minor units."""
    owed: Counter[str] = Counter()
    for outcome in completed:
        owed[outcome.order.request.total.currency_code] += outcome.order.request.total.amount_minor
    kept = {total.currency_code: total.captured_minor - total.refunded_minor for total in report.totals}
    return [
        Sum(f"{currency} captured - refunded (minor units)", owed[currency], kept.get(currency, 0))
        for currency in sorted(owed.keys() | kept.keys())
    ]


def _ordered(outcomes: list[Outcome]) -> Stock:
    pieces: Stock = Counter()
    for outcome in outcomes:
        for line in outcome.order.request.lines:
            pieces[outcome.order.request.warehouse_id, line.sku] += line.quantity
    return pieces


def _received(receipts: list[ReceiveStockRequest]) -> Stock:
    pieces: Stock = Counter()
    for receipt in receipts:
        for line in receipt.lines:
            pieces[receipt.warehouse_id, line.sku] += line.quantity
    return pieces
