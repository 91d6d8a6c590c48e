"""Deadlines, lost connections, locks: effect and row commit together or not at all, and the answer never lies."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from itertools import chain, repeat
from typing import Any
from uuid import uuid4

import grpc
import pytest
import sqlalchemy as sa
from inventory.v1 import inventory_pb2 as pb
from inventory.v1.inventory_saga import InventoryService
from sqlalchemy import make_url

from contracts.errors import retry_delay_s
from orchestrator.local.postgres import EmbeddedPostgres
from participants.kit.server import ParticipantServer
from participants.kit.settings import Settings
from participants.kit.table import BarrierState
from tests.fixtures.postgres import DatabaseFactory, execute
from tests.integration.participants.calls import Caller, call, reason
from tests.integration.participants.conftest import Served, probe_database, serving
from tests.integration.participants.probe import Gate, Probe, reserve_request

Reserve = InventoryService.Reserve
KILL_IDLE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'participant' AND datname = current_database()
"""
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "saga.v1", "STORE_UNAVAILABLE", False)


async def refused(awaitable: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await awaitable
    return caught.value


async def until_row(served: Served, caller: Any) -> dict[str, Any]:
    """Waits for the step's row by asking again under its key, as the orchestrator does."""
    await caller.act(Reserve, reserve_request())
    return await served.row(caller)


async def test_deadline_in_the_handler_does_not_tear_effect_and_row(served: Served, probe: Probe) -> None:
    gate = probe.on_action = Gate()
    caller = served.caller()
    error = await refused(caller.act(Reserve, reserve_request(), timeout_s=0.3))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert gate.entered.is_set()
    gate.opened.set()
    assert (await until_row(served, caller))["state"] == BarrierState.DONE
    assert (probe.runs, await served.effects()) == ({"action": 1}, ["action"])


async def test_stopping_waits_for_a_transaction_whose_caller_is_gone(
    probe: Probe, fresh_database: DatabaseFactory
) -> None:
    gate = probe.on_action = Gate()
    url = await probe_database(fresh_database)
    async with serving(probe.participant(), url) as served:
        await refused(served.caller().act(Reserve, reserve_request(), timeout_s=0.3))
        asyncio.get_running_loop().call_soon(gate.opened.set)
    async with serving(Probe().participant(), url) as served:
        assert await served.effects() == ["action"]
        assert await served.db.fetchval("SELECT state FROM saga_barrier") == BarrierState.DONE


async def test_connection_killed_in_the_handler_runs_again(served: Served, probe: Probe) -> None:
    async def kill_first(_step: object, db: Any) -> None:
        if probe.runs["action"] == 1:
            pid = (await db.execute(sa.text("SELECT pg_backend_pid()"))).scalar_one()
            await served.db.execute("SELECT pg_terminate_backend($1)", pid)
            await db.execute(sa.text("SELECT 1"))

    probe.on_action = kill_first
    caller = served.caller()
    assert (await caller.act(Reserve, reserve_request())).reservation_id == "run 2"
    assert await served.effects() == ["action"]


async def test_idle_connections_that_died_are_not_the_callers_problem(served: Served, probe: Probe) -> None:
    gate = probe.on_action = Gate()
    calls = [asyncio.create_task(served.caller().act(Reserve, reserve_request())) for _ in range(10)]
    await asyncio.wait_for(gate.entered.wait(), 10)
    gate.opened.set()
    await asyncio.gather(*calls)
    await served.db.execute(KILL_IDLE)
    for _ in range(10):
        await served.caller().act(Reserve, reserve_request())


async def test_deadlock_runs_the_loser_again(served: Served, probe: Probe) -> None:
    await served.db.execute("CREATE TABLE thing (id bigint PRIMARY KEY, n bigint NOT NULL)")
    await served.db.execute("INSERT INTO thing VALUES (1, 0), (2, 0)")
    first_locked = [asyncio.Event(), asyncio.Event()]
    order = chain([(1, 2), (2, 1)], repeat((1, 2)))

    async def cross(_step: object, db: Any) -> None:
        first, second = next(order)
        bump = sa.text("UPDATE thing SET n = n + 1 WHERE id = :id")
        await db.execute(bump, {"id": first})
        first_locked[first - 1].set()
        await asyncio.wait_for(first_locked[second - 1].wait(), 10)
        await db.execute(bump, {"id": second})

    probe.on_action = cross
    await asyncio.gather(*(served.caller().act(Reserve, reserve_request()) for _ in range(2)))
    assert probe.runs["action"] >= 3  # the loser's next run may meet the winner once more
    assert [record["n"] for record in await served.db.fetch("SELECT n FROM thing ORDER BY id")] == [2, 2]
    assert await served.effects() == ["action", "action"]


@pytest.mark.parametrize(
    ("settings", "statement"),
    [
        ({"statement_timeout_s": 0.2}, "SELECT pg_sleep(30)"),
        ({"lock_timeout_s": 0.2}, "LOCK TABLE held"),
        ({"transaction_timeout_s": 0.3}, "SELECT pg_sleep(30)"),
        ({"idle_in_transaction_timeout_s": 0.2}, None),
    ],
)
async def test_a_limit_of_time_undoes_everything(
    probe: Probe, fresh_database: DatabaseFactory, settings: dict[str, float], statement: str | None
) -> None:
    async def slow(_step: object, db: Any) -> None:
        await (asyncio.sleep(1) if statement is None else db.execute(sa.text(statement)))

    probe.on_action = slow
    async with serving(probe.participant(), await probe_database(fresh_database), **settings) as served:
        await served.db.execute("CREATE TABLE held (id bigint)")
        async with served.db.transaction():
            await served.db.execute("LOCK TABLE held")
            caller = served.caller()
            error = await refused(caller.act(Reserve, reserve_request()))
        assert reason(error) == UNAVAILABLE
        assert retry_delay_s(error.trailing_metadata()) is not None
        assert (await served.row(caller), await served.effects()) == ({}, [])


async def test_full_pool_answers_within_its_timeout(probe: Probe, fresh_database: DatabaseFactory) -> None:
    gate = probe.on_action = Gate()
    settings = {"pool_size": 1, "pool_timeout_s": 0.2}
    async with serving(probe.participant(), await probe_database(fresh_database), **settings) as served:
        first = asyncio.create_task(served.caller().act(Reserve, reserve_request()))
        await asyncio.wait_for(gate.entered.wait(), 10)
        assert reason(await refused(served.caller().act(Reserve, reserve_request()))) == UNAVAILABLE
        gate.opened.set()
        await first


async def test_calls_beyond_the_limit_are_told_when_to_come_back(probe: Probe, fresh_database: DatabaseFactory) -> None:
    gate = probe.on_action = Gate()
    async with serving(probe.participant(), await probe_database(fresh_database), max_concurrent_calls=1) as served:
        first = asyncio.create_task(served.caller().act(Reserve, reserve_request()))
        await asyncio.wait_for(gate.entered.wait(), 10)
        error = await refused(served.caller().act(Reserve, reserve_request()))
        assert reason(error) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "saga.v1", "OVER_CAPACITY", False)
        assert retry_delay_s(error.trailing_metadata()) == 1
        gate.opened.set()
        await first
        await served.caller().act(Reserve, reserve_request())


@pytest.mark.parametrize(("level", "kept"), [("off", "on"), ("remote_apply", "remote_apply"), ("local", "local")])
async def test_what_was_answered_is_durable_whatever_the_role_says(
    probe: Probe, fresh_database: DatabaseFactory, level: str, kept: str
) -> None:
    levels: list[str] = []

    async def look(_step: object, db: Any) -> None:
        levels.append((await db.execute(sa.text("SHOW synchronous_commit"))).scalar_one())

    probe.on_action = look
    url = await probe_database(fresh_database)
    role = f"lax_{uuid4().hex[:12]}"
    await execute(
        url,
        f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'lax'",
        f"ALTER ROLE {role} SET synchronous_commit = {level}",
    )
    mine = make_url(url).set(username=role, password="lax").render_as_string(hide_password=False)
    try:
        async with serving(probe.participant(), mine) as served:
            await served.caller().act(Reserve, reserve_request())
            await served.db.execute(KILL_IDLE)
            await served.caller().act(Reserve, reserve_request())
    finally:
        await execute(url, f"DROP ROLE {role}")
    assert set(levels) == {kept}
    assert len(levels) >= 2


async def test_database_that_is_away(probe: Probe) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"postgresql://u:p@127.0.0.1:{free.getsockname()[1]}/d"
        server = ParticipantServer(probe.participant(), Settings.model_validate({"database_url": url}))
        port = await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            error = await refused(Caller(channel).act(Reserve, reserve_request()))
        await server.stop()
    assert reason(error) == UNAVAILABLE


async def test_handler_that_hides_an_error_of_the_database_commits_nothing(served: Served, probe: Probe) -> None:
    async def hide(_step: object, db: Any) -> None:
        with pytest.raises(sa.exc.DBAPIError):
            await db.execute(sa.text("SELECT 1 / 0"))

    probe.on_action = hide
    caller = served.caller()
    assert reason(await refused(caller.act(Reserve, reserve_request())))[2] == "INTERNAL"
    assert (await served.row(caller), await served.effects()) == ({}, [])


async def test_handler_cannot_commit_by_itself(served: Served, probe: Probe) -> None:
    async def commit_then_crash(_step: object, db: Any) -> None:
        await db.commit()
        raise KeyError

    probe.on_action = commit_then_crash
    caller = served.caller()
    assert reason(await refused(caller.act(Reserve, reserve_request())))[2] == "INTERNAL"
    assert (await served.row(caller), await served.effects()) == ({}, [])


async def test_a_report_sees_one_snapshot_and_cannot_write(served: Served, probe: Probe) -> None:
    await served.caller().act(Reserve, reserve_request())
    request = pb.GetInventoryReportRequest()
    assert (await call(served.channel, InventoryService.GetInventoryReport, request)).held_reservations == 1


@asynccontextmanager
async def proxy(host: str, port: int, *, lose_commits: int, forward: bool) -> AsyncIterator[int]:
    """A way to the database that breaks at the first ``lose_commits`` COMMITs of a barrier row; yields its port.

    With ``forward`` the COMMIT still gets through, and only its answer is lost.
    """
    left = lose_commits

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool) -> None:
        nonlocal left
        try:
            while data := await reader.read(65536):
                if client and b"saga_barrier SET" in data and b"COMMIT" in data and left > 0:
                    left -= 1
                    if forward:
                        writer.write(data)
                        await writer.drain()
                    return
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, port)
        outward = asyncio.create_task(pump(reader, upstream_writer, client=True))
        inward = asyncio.create_task(pump(upstream_reader, writer, client=False))
        await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
        inward.cancel()
        outward.cancel()
        writer.close()
        upstream_writer.close()
        await asyncio.gather(inward, outward, return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("forward", [True, False], ids=["landed", "lost"])
async def test_commit_whose_answer_is_lost(
    probe: Probe, fresh_database: DatabaseFactory, postgres_server: EmbeddedPostgres, forward: bool
) -> None:
    url = await probe_database(fresh_database)
    direct = make_url(postgres_server.url(make_url(url).database or "", tcp=True))
    assert direct.host is not None
    assert direct.port is not None
    async with proxy(direct.host, direct.port, lose_commits=1, forward=forward) as port:
        through = direct.set(port=port).render_as_string(hide_password=False)
        async with serving(probe.participant(), through) as served:
            caller = served.caller()
            error = await refused(caller.act(Reserve, reserve_request()))
            assert reason(error) == UNAVAILABLE
            assert retry_delay_s(error.trailing_metadata()) is None
            response = await caller.act(Reserve, reserve_request())
            assert response.reservation_id == ("run 1" if forward else "run 2")
            assert await served.effects() == ["action"]
