"""No oversell, holds that expire, and sums that add up."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from inventory.v1 import inventory_pb2 as stock_pb
from inventory.v1.inventory_saga import InventoryService

from participants.inventory import handlers as inventory
from participants.inventory.schema import metadata
from tests.fixtures.postgres import DatabaseFactory
from tests.integration.participants.calls import call, verdict
from tests.integration.participants.conftest import Served, schema_faults, serving


@pytest.fixture
async def stock(fresh_database: DatabaseFactory) -> AsyncIterator[Served]:
    """The inventory, with 10 of A-1 and 10 of B-1."""
    async with serving(inventory.participant(), await fresh_database("inventory")) as served:
        await receive(served, "r1", {"A-1": 10, "B-1": 10})
        yield served


async def receive(served: Served, receipt_id: str, quantities: dict[str, int]) -> None:
    request = stock_pb.ReceiveStockRequest(receipt_id=receipt_id, warehouse_id="w1", lines=lines(quantities))
    await call(served.channel, InventoryService.ReceiveStock, request)


def lines(quantities: dict[str, int]) -> list[stock_pb.StockLine]:
    return [stock_pb.StockLine(sku=sku, quantity=quantity) for sku, quantity in quantities.items()]


def order(quantities: dict[str, int], hold_s: float | None = None) -> stock_pb.ReserveRequest:
    request = stock_pb.ReserveRequest(order_id="o", warehouse_id="w1", lines=lines(quantities))
    if hold_s is not None:
        request.hold.FromNanoseconds(int(hold_s * 1e9))
    return request


async def confirm(served: Served, reservation_id: str) -> stock_pb.ConfirmReservationResponse:
    request = stock_pb.ConfirmReservationRequest(order_id="o", reservation_id=reservation_id)
    return await served.caller("confirm").act(InventoryService.ConfirmReservation, request)


async def levels(served: Served) -> dict[str, tuple[int, int, int]]:
    """On hand, reserved, shipped by SKU; checks that they add up to what was received, and to the lines."""
    report = await call(served.channel, InventoryService.GetInventoryReport, stock_pb.GetInventoryReportRequest())
    for level in report.levels:
        assert level.received == level.on_hand + level.reserved + level.shipped
        held = "SELECT coalesce(sum(quantity), 0) FROM reservation_line WHERE held AND sku = $1"
        assert level.reserved == await served.db.fetchval(held, level.sku)
    return {level.sku: (level.on_hand, level.reserved, level.shipped) for level in report.levels}


async def expire(served: Served, reservation_id: str) -> None:
    past = "clock_timestamp() - interval '1 second'"
    await served.db.execute(
        f"UPDATE reservation SET expires_at = {past} WHERE reservation_id::text = '{reservation_id}'"
    )
    await served.db.execute(
        f"UPDATE reservation_line SET expires_at = {past} WHERE reservation_id::text = '{reservation_id}'"
    )


async def test_reserve_release_confirm(stock: Served) -> None:
    kept, dropped = stock.caller(), stock.caller()
    reservation = await kept.act(InventoryService.Reserve, order({"A-1": 2, "B-1": 3}))
    assert not reservation.HasField("expire_time")
    await dropped.act(InventoryService.Reserve, order({"A-1": 1}))
    assert await levels(stock) == {"A-1": (7, 3, 0), "B-1": (7, 3, 0)}
    assert (await confirm(stock, reservation.reservation_id)).shipped_quantity == 5
    undo = await dropped.undo(InventoryService.Release, stock_pb.ReleaseRequest(order_id="o"))
    assert undo.released_quantity == 1
    assert await levels(stock) == {"A-1": (8, 0, 2), "B-1": (7, 0, 3)}
    report = await call(stock.channel, InventoryService.GetInventoryReport, stock_pb.GetInventoryReportRequest())
    assert (report.held_reservations, report.released_reservations, report.confirmed_reservations) == (0, 1, 1)
    shipped = kept.undo(InventoryService.Release, stock_pb.ReleaseRequest(order_id="o"))
    assert await verdict(shipped) == "RESERVATION_CONFIRMED"
    assert await verdict(confirm(stock, reservation.reservation_id)) == "RESERVATION_CONFIRMED"
    assert await verdict(confirm(stock, str(uuid4()))) == "UNKNOWN_RESERVATION"


async def test_all_lines_or_none(stock: Served) -> None:
    assert await verdict(stock.caller().act(InventoryService.Reserve, order({"A-1": 1, "B-1": 11}))) == "OUT_OF_STOCK"
    assert await verdict(stock.caller().act(InventoryService.Reserve, order({"A-1": 1, "ZZ": 1}))) == "UNKNOWN_SKU"
    assert await verdict(stock.caller().act(InventoryService.Reserve, order({"A-1": 1}, hold_s=-1))) == "INVALID_HOLD"
    assert await levels(stock) == {"A-1": (10, 0, 0), "B-1": (10, 0, 0)}


async def test_fifty_orders_at_once_never_oversell(stock: Served) -> None:
    wanted = [{"A-1": 1, "B-1": 1}, {"B-1": 1, "A-1": 1}] * 25
    verdicts = await asyncio.gather(
        *(verdict(stock.caller().act(InventoryService.Reserve, order(quantities))) for quantities in wanted)
    )
    assert (verdicts.count("OK"), verdicts.count("OUT_OF_STOCK")) == (10, 40)
    assert await levels(stock) == {"A-1": (0, 10, 0), "B-1": (0, 10, 0)}


async def test_expired_hold_is_reclaimed_and_confirmed_again_if_there_is_stock(stock: Served) -> None:
    first, second = stock.caller(), stock.caller()
    expired = await first.act(InventoryService.Reserve, order({"A-1": 8, "B-1": 1}, hold_s=60))
    assert expired.HasField("expire_time")
    assert await verdict(second.act(InventoryService.Reserve, order({"A-1": 5}))) == "OUT_OF_STOCK"
    await expire(stock, expired.reservation_id)
    assert await verdict(second.under(2).act(InventoryService.Reserve, order({"A-1": 5}))) == "OK"
    assert await levels(stock) == {"A-1": (5, 5, 0), "B-1": (9, 1, 0)}
    assert await verdict(confirm(stock, expired.reservation_id)) == "OUT_OF_STOCK"
    await receive(stock, "r2", {"A-1": 3})
    assert (await confirm(stock, expired.reservation_id)).shipped_quantity == 9
    assert await levels(stock) == {"A-1": (0, 5, 8), "B-1": (9, 0, 1)}


async def test_release_of_a_reclaimed_hold_puts_back_only_what_it_held(stock: Served) -> None:
    first = stock.caller()
    expired = await first.act(InventoryService.Reserve, order({"A-1": 8, "B-1": 1}, hold_s=60))
    await expire(stock, expired.reservation_id)
    await stock.caller().act(InventoryService.Reserve, order({"A-1": 5}))
    undo = await first.undo(InventoryService.Release, stock_pb.ReleaseRequest(order_id="o"))
    assert undo.released_quantity == 1
    assert await levels(stock) == {"A-1": (5, 5, 0), "B-1": (10, 0, 0)}


async def test_receipt_counts_once(stock: Served) -> None:
    await asyncio.gather(*(receive(stock, "r2", {"A-1": 5, "C-1": 1}) for _ in range(5)))
    assert await levels(stock) == {"A-1": (15, 0, 0), "B-1": (10, 0, 0), "C-1": (1, 0, 0)}
    assert await verdict(receive(stock, "r2", {"A-1": 6})) == "RECEIPT_REUSED"


async def test_migrations_and_tables_agree(fresh_database: DatabaseFactory) -> None:
    assert await schema_faults(fresh_database, "inventory", metadata) == []
