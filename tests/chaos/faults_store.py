"""Faults between nodes, participants and PostgreSQL: lost answers, restarts, drained pools, two owners."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import Final
from uuid import UUID

import grpc
from orders.v1.orders_pb2 import PlaceOrderRequest
from saga.v1.event_pb2 import SagaClaimed

from tests.chaos.proxy import Trap
from tests.chaos.stage import NotFiredError, Stage, fault, must, stopped, until
from tests.chaos.world import Actor
from tests.fixtures.postgres import connect

COMMITTED: Final = b"s\0\0\0\4Z\0\0\0\5I"
"""The last bytes of the answer to a node's batch: its one row has been sent, and no transaction is open."""


async def spring(stage: Stage, trap: Trap, node: Actor, order: PlaceOrderRequest, otherwise: str) -> None:
    """Starts the order until the trap has caught something: a node that was just cut off refuses for a while."""

    async def sprung() -> bool:
        with suppress(grpc.aio.AioRpcError):
            await stage.load.start(node, order)
        return trap.sprung.is_set()

    try:
        await until(sprung, 15, otherwise)
    except AssertionError as error:
        raise NotFiredError(otherwise) from error
    must(trap.caught, otherwise)


@fault("F3", "the answer of a COMMIT lost", short=True)
async def lose_commit_answers(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    fired = 0
    for _ in range(6 if stage.full else 2):
        trap = node.database.trap(Trap("down", COMMITTED, "cut", label="writer"))
        order = stage.load.order()
        await spring(stage, trap, node, order, "no answer to a node's COMMIT was cut off")
        await stage.load.place(order)
        fired += 1
    for name, participant in stage.world.participants.items():
        trap = participant.database.trap(Trap("down", b"COMMIT\0", "cut"))
        saga_id = await stage.load.place(stage.load.order())
        await stage.ended([saga_id], 30)
        must(trap.sprung.is_set(), f"no answer to a COMMIT of {name} was cut off")
        fired += 1
    return fired, f"{fired} connections cut with the answer to a COMMIT on them"


@fault("F4", "COMMIT black-holed", short=True)
async def swallow_commits(stage: Stage) -> tuple[int, str]:
    node, _ = await stage.two()
    swallowed = 0
    for _ in range(4 if stage.full else 1):
        order = stage.load.order()
        trap = node.database.trap(Trap("up", order.order_id.encode(), "hole", label="writer"))
        await spring(stage, trap, node, order, "no COMMIT of a node was swallowed")
        swallowed += trap.caught
        await stage.load.place(order)
    name = stage.world.draw.choice(list(stage.world.participants))
    trap = stage.world.participants[name].database.trap(Trap("up", b"; COMMIT", "hole"))
    saga_id = await stage.load.place(stage.load.order())
    await stage.ended([saga_id], 60)
    must(trap.sprung.is_set(), f"no COMMIT of {name} was swallowed")
    return (5 if stage.full else 2), f"{swallowed + trap.caught} bytes of COMMITs went nowhere"


@fault("F6", "database restarted, backends terminated", short=True)
async def restart_database(stage: Stage) -> tuple[int, str]:
    node, other = await stage.two()
    world = stage.world
    restarts, terminated = (4 if stage.full else 1), 0
    for number in range(restarts):
        pid = world.postgres.pid
        before = node.database.connections + other.database.connections
        os.kill(pid, signal.SIGQUIT)  # what pg_ctl -m immediate sends
        world.postgres.kill()
        away_s = world.draw.uniform(0.5, 5) if number else 3.0
        began = time.monotonic()
        await asyncio.sleep(away_s)
        tries = node.database.connections + other.database.connections - before
        rate = tries / (time.monotonic() - began) / 2
        if rate > 40:
            stage.wrong(f"F6: a node tried to connect {rate:.0f} times a second while the database was away")
        world.postgres.restart()
        must(world.postgres.pid != pid, "the server is the same process")
        await world.heal()
    for _ in range(6 if stage.full else 2):
        rows = await world.admin(
            "SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        terminated += sum(row["ended"] for row in rows)
        await asyncio.sleep(world.draw.uniform(0.1, 1.0))
    must(terminated, "no backend was terminated")
    return restarts + terminated, f"{restarts} immediate shutdowns, {terminated} backends terminated"


@fault("F8", "synchronous replication wait cancelled", short=True)
async def cancel_replication_wait(stage: Stage) -> tuple[int, str]:
    await stage.two()
    world = stage.world
    await world.admin("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
    await world.admin("SELECT pg_reload_conf()")
    waiting = cancelled = 0
    starts = [asyncio.create_task(stage.load.place(stage.load.order())) for _ in range(20)]
    try:
        ends = time.monotonic() + (12 if stage.full else 5)
        while time.monotonic() < ends:
            rows = await world.admin(
                "SELECT pg_cancel_backend(pid) AS done FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            )
            waiting = max(waiting, len(rows))
            cancelled += sum(row["done"] for row in rows)
            await asyncio.sleep(0.5)
    finally:
        await world.admin("ALTER SYSTEM RESET synchronous_standby_names")
        await world.admin("SELECT pg_reload_conf()")
    must(waiting and cancelled, "no backend waited for the ghost")
    await stage.ended(await asyncio.gather(*starts), 60)
    log = world.postgres.log.read_text(errors="replace")
    told = log.count("canceling wait for synchronous replication")
    must(told, "the server told of no cancelled wait")
    return told, f"{told} waits cancelled by the server's own log, up to {waiting} at once"


@fault("F17", "connection pool drained", short=True)
async def drain_pool(stage: Stage) -> tuple[int, str]:
    world = stage.world
    await world.heal()
    node = await world.start_node({"ORCHESTRATOR_POOL_SIZE": "2"})
    orders = [stage.load.order() for _ in range(200 if stage.full else 60)]
    saga_ids = [await stage.load.start(node, order) for order in orders]
    connection = await connect(world.databases["orchestrator"].owner_url)
    blocked = 0
    lapsed: list[str] = []
    try:
        await connection.execute("BEGIN; LOCK TABLE saga_request IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        while time.monotonic() - began < 7:  # longer than the lease
            rows = await world.admin(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND application_name = 'orchestrator pool'"
            )
            blocked = max(blocked, rows[0][0])
            rows = await world.sql(
                "orchestrator",
                "SELECT lease_expires_at > clock_timestamp() FROM node WHERE node_id = $1",
                UUID(node.node_id),
            )
            if not rows or not rows[0][0]:
                lapsed.append(f"{time.monotonic() - began:.1f} s")
            await asyncio.sleep(0.2)
    finally:
        await connection.execute("ROLLBACK")
        await connection.close()
    must(blocked, "no connection of a pool waited")
    if lapsed:
        stage.wrong(f"F17: the lease lapsed while the pool was drained, after {lapsed[0]}")
    await stage.ended(saga_ids, 60)
    await node.child.stop(20)
    return blocked, f"{blocked} pooled connections hung for 7 s, the lease was renewed throughout"


@fault("F20", "two owners of one saga", short=True)
async def force_double_claim(stage: Stage) -> tuple[int, str]:
    first, second = await stage.two()
    first.participants["shipping"].delay_s = 1.5
    saga_ids = [await stage.load.start(first, stage.load.order()) for _ in range(10)]
    claimed = await stage.world.sql(
        "orchestrator",
        "WITH taken AS (UPDATE saga SET owner = $2, epoch = epoch + 1, last_seq = last_seq + 1 WHERE saga_id = ANY ($1)"
        " AND state IN (2, 4) AND owner = $3 RETURNING saga_id, last_seq, epoch) INSERT INTO saga_event"
        " (saga_id, seq, kind, epoch, at, attributes)"
        " SELECT saga_id, last_seq, 2, epoch, clock_timestamp(), $4 FROM taken RETURNING saga_id",
        [UUID(each) for each in saga_ids],
        UUID(second.node_id),
        UUID(first.node_id),
        SagaClaimed(node_id=second.node_id, crashed=True).SerializeToString(),
    )
    must(claimed, "no saga was under way when it was claimed behind its owner's back")
    first.participants["shipping"].delay_s = 0
    took = await stage.ended(saga_ids, 40)
    return len(claimed), f"{len(claimed)} sagas taken from an owner that lives; ended {took:.1f} s later"


@fault("F21", "thundering herd after an outage")
async def let_a_herd_loose(stage: Stage) -> tuple[int, str]:
    world = stage.world
    node, other = await stage.two()
    count, outage_s = (5000, 60.0) if stage.full else (400, 8.0)
    shipping = world.participants["shipping"]
    await stopped(shipping)
    half = count // 4
    saga_ids = await stage.load.place_all([stage.load.order() for _ in range(half)], ("short-order", 1), 128)
    placing = [
        asyncio.create_task(stage.load.place(stage.load.order(), ("short-order", 1))) for _ in range(count - half)
    ]
    world.postgres.kill()
    await asyncio.sleep(outage_s)
    before = node.database.connections + other.database.connections
    world.postgres.restart()
    shipping.signal(signal.SIGCONT)
    back = time.monotonic()
    most = 0
    while time.monotonic() - back < 5:
        rows = await world.admin("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'orchestrator%'")
        most = max(most, rows[0][0])
        await asyncio.sleep(0.2)
    burst = node.database.connections + other.database.connections - before
    if most > 2 * 11 + 5:
        stage.wrong(f"F21: {most} connections of two nodes with 11 each")
    saga_ids += await asyncio.gather(*placing)
    must(len(saga_ids) == count, "not all were acknowledged")

    async def done() -> bool:
        return await stage.live_of(saga_ids) == 0

    await until(done, 240, f"{count} sagas ended")
    took = time.monotonic() - back
    return (
        count,
        f"{count} sagas, {outage_s:g} s away, {burst} connections in the first 5 s, all ended {took:.0f} s after",
    )
