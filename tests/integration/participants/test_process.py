"""Participants as processes: killed in the middle, and told to stop."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import grpc
from inventory.v1 import inventory_pb2 as pb
from inventory.v1.inventory_saga import InventoryService

from participants.inventory.handlers import participant as inventory_participant
from participants.kit.server import ParticipantServer
from participants.kit.settings import Settings
from participants.kit.table import BarrierState
from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.participants.calls import Caller, call
from tests.integration.participants.conftest import Served

ROOT = Path(__file__).parents[3]
Reserve = InventoryService.Reserve


@asynccontextmanager
async def inventory_process(url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Served]]:
    """``python -m participants.inventory serve``, once it listens; killed afterwards if it still runs."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}",
        "PARTICIPANT_DATABASE_URL": url,
        # Far above what a loaded machine needs: these tests hold locks, and no limit of time shall end the wait.
        "PARTICIPANT_SHUTDOWN_GRACE_S": "30",
        "PARTICIPANT_STATEMENT_TIMEOUT_S": "30",
        "PARTICIPANT_LOCK_TIMEOUT_S": "30",
        "PARTICIPANT_TRANSACTION_TIMEOUT_S": "40",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "participants.inventory", "serve", env=environment, stdout=asyncio.subprocess.PIPE
    )
    db = await connect(url)
    try:
        assert process.stdout is not None
        line = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        assert line["participant"] == "inventory"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{line['port']}") as channel:
            yield process, Served(channel, url, db)
    finally:
        await db.close()
        if process.returncode is None:
            process.kill()
        await asyncio.wait_for(process.wait(), 10)


def order(quantity: int = 1) -> pb.ReserveRequest:
    return pb.ReserveRequest(order_id="o", warehouse_id="w1", lines=[pb.StockLine(sku="A-1", quantity=quantity)])


async def receive(served: Served, quantity: int) -> None:
    line = pb.StockLine(sku="A-1", quantity=quantity)
    request = pb.ReceiveStockRequest(receipt_id="r", warehouse_id="w1", lines=[line])
    await call(served.channel, InventoryService.ReceiveStock, request)


async def code_of(caller: Caller) -> grpc.StatusCode:
    outcome = (await asyncio.gather(caller.act(Reserve, order()), return_exceptions=True))[0]
    if isinstance(outcome, grpc.aio.AioRpcError):
        return outcome.code()
    assert isinstance(outcome, pb.ReserveResponse)
    return grpc.StatusCode.OK


async def until_no_session(served: Served) -> None:
    """Until the dead process's last transaction has ended: the server notices when its statement has."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'inventory' AND datname = current_database()"
    )
    async with asyncio.timeout(20):
        while await served.db.fetchval(query):  # noqa: ASYNC110  (the server offers no event to wait for)
            await asyncio.sleep(0.02)


async def assert_rows_agree(served: Served) -> None:
    """Every DONE row has its reservation and every reservation its DONE row; the stock agrees with both."""
    done = await served.db.fetch("SELECT response FROM saga_barrier WHERE state = $1", BarrierState.DONE)
    answered = {UUID(pb.ReserveResponse.FromString(record["response"]).reservation_id) for record in done}
    written = {record["reservation_id"] for record in await served.db.fetch("SELECT reservation_id FROM reservation")}
    assert answered == written
    assert await served.db.fetchval("SELECT count(*) FROM saga_barrier WHERE state <> $1", BarrierState.DONE) == 0
    assert await served.db.fetchval("SELECT sum(reserved) FROM stock") == len(written)


async def test_kill_in_the_middle_of_a_handler(fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("inventory")
    async with inventory_process(url) as (process, served):
        await receive(served, 5)
        caller = served.caller()
        async with served.db.transaction():
            await served.db.execute("SELECT * FROM stock FOR UPDATE")
            pending = asyncio.create_task(code_of(caller))
            await served.until_waiting(1)
            process.kill()
            assert await pending is grpc.StatusCode.UNAVAILABLE
        await until_no_session(served)
        assert await served.row(caller) == {}
        await assert_rows_agree(served)
    async with inventory_process(url) as (_, served):
        again = Caller(served.channel, saga_id=caller.saga_id)
        assert (await again.act(Reserve, order())).reservation_id
        await assert_rows_agree(served)


async def test_kill_under_load_leaves_rows_that_agree(fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("inventory")
    async with inventory_process(url) as (process, served):
        await receive(served, 10_000)
        callers = [served.caller() for _ in range(200)]
        calls = [asyncio.create_task(code_of(caller)) for caller in callers]
        for done in asyncio.as_completed(calls):
            await done
            if sum(call.done() for call in calls) >= 40:
                break
        process.kill()
        codes = await asyncio.gather(*calls)
        await until_no_session(served)
        await assert_rows_agree(served)
        stored = await served.db.fetchval("SELECT count(*) FROM saga_barrier")
        assert 40 <= codes.count(grpc.StatusCode.OK) <= stored < 200, "the kill came too late to prove anything"
    async with inventory_process(url) as (_, served):
        again = [Caller(served.channel, saga_id=caller.saga_id) for caller in callers]
        assert set(await asyncio.gather(*map(code_of, again))) == {grpc.StatusCode.OK}
        await assert_rows_agree(served)
        assert await served.db.fetchval("SELECT count(*) FROM reservation") == 200


async def test_sigterm_lets_running_calls_end(fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("inventory")
    async with inventory_process(url) as (process, served):
        await receive(served, 5)
        async with served.db.transaction():
            await served.db.execute("SELECT * FROM stock FOR UPDATE")
            pending = asyncio.create_task(code_of(served.caller()))
            await served.until_waiting(1)
            process.send_signal(signal.SIGTERM)
            await until_refused(served.channel)
        assert await pending is grpc.StatusCode.OK
        assert await asyncio.wait_for(process.wait(), 10) == 0
        await assert_rows_agree(served)


async def test_other_machines_are_not_served_in_the_clear_unasked() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}",
        "PARTICIPANT_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d",
        "PARTICIPANT_LISTEN_ADDRESS": "0.0.0.0:0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "participants.inventory", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, told = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert b"0.0.0.0:0 is reached by other machines" in told
    assert b"PARTICIPANT_ALLOW_INSECURE" in told
    assert len(told.splitlines()) == 1


async def test_other_machines_are_served_if_asked() -> None:
    database_url = "postgresql://u:p@127.0.0.1:1/d"
    given = {"database_url": database_url, "listen_address": "0.0.0.0:0", "allow_insecure": True}
    server = ParticipantServer(inventory_participant(), Settings.model_validate(given))
    assert await server.start()
    await server.stop()


async def until_refused(channel: grpc.aio.Channel) -> None:
    """Until the server answers no new call: gRPC may leave one that arrives while it closes without any answer."""
    async with asyncio.timeout(20):
        while True:
            report = call(channel, InventoryService.GetInventoryReport, pb.GetInventoryReportRequest(), timeout_s=1)
            if isinstance((await asyncio.gather(report, return_exceptions=True))[0], grpc.aio.AioRpcError):
                return
