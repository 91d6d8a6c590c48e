"""The database is away for half a minute under load: nobody dies, nothing that was acknowledged is lost."""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED

from contracts.errors import Reason
from orchestrator.local.customer import Customer, Outcome
from orchestrator.local.health import wait_until_serving
from orchestrator.local.orders import Order
from orchestrator.local.processes import ChildError
from orchestrator.local.stack import Member
from tests.system.harness import Shop, check_fencing, error_info, frozen, log_lines, report, until
from tests.system.orders import start_request

OUTAGE_S = 30.0
HANG_S = 15.0
PROBE_DEADLINE_S = 12.0
CUSTOMERS = 16
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

pytestmark = pytest.mark.timeout(240)


@dataclass(frozen=True, slots=True)
class Probe:
    """A start during the outage. ``error`` is None if it was acknowledged."""

    order: Order
    error: grpc.aio.AioRpcError | None
    took_s: float


async def watch_health(node: Member, changes: list[tuple[int, float]], changed: asyncio.Condition) -> None:
    """Notes each status of a node with the time."""
    async with grpc.aio.insecure_channel(node.address) as channel:
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=200):
            async with changed:
                changes.append((answer.status, time.monotonic()))
                changed.notify_all()


async def probe(shop: Shop, node: Member, order: Order) -> Probe:
    began = time.monotonic()
    try:
        await shop.sagas_at(node).StartSaga(start_request(order), timeout=PROBE_DEADLINE_S)
    except grpc.aio.AioRpcError as error:
        return Probe(order, error, time.monotonic() - began)
    return Probe(order, None, time.monotonic() - began)


async def test_nothing_is_lost_while_the_database_is_away(shop: Shop) -> None:
    nodes = await shop.two_nodes()
    customer = Customer([node.address for node in nodes])
    stopping = asyncio.Event()
    outcomes: list[Outcome] = []
    turns = itertools.count()

    async def keep_ordering() -> None:
        while not stopping.is_set():
            (order,) = shop.new_orders(1)
            outcomes.append(await customer.place(order, nodes[next(turns) % 2].address))

    async def until_ended(count: int) -> None:
        async def have_ended() -> bool:
            return len(outcomes) >= count

        await until(have_ended, 60, f"{count} orders ended")

    changed = asyncio.Condition()
    health: dict[str, list[tuple[int, float]]] = {node.address: [] for node in nodes}
    watchers = [asyncio.create_task(watch_health(node, health[node.address], changed)) for node in nodes]
    async with changed:
        await asyncio.wait_for(changed.wait_for(lambda: all(health.values())), 20)
    customers = [asyncio.create_task(keep_ordering()) for _ in range(CUSTOMERS)]
    await until_ended(50)

    with frozen(shop.stack.participants["shipping"].child):
        acknowledged = await shop.start(nodes[0], shop.new_orders(40))
        shop.stack.postgres.kill()
        away_since = time.monotonic()
    probes: list[asyncio.Task[Probe]] = []
    while time.monotonic() - away_since < OUTAGE_S:  # the outage itself
        probes += [asyncio.create_task(probe(shop, node, *shop.new_orders(1))) for node in nodes]
        await asyncio.sleep(1)
    assert all(changes[-1][0] == NOT_SERVING for changes in health.values())
    shop.stack.postgres.restart()
    back_at = time.monotonic()

    async with changed:
        await asyncio.wait_for(changed.wait_for(lambda: all(c[-1][0] == SERVING for c in health.values())), 30)
    report("both nodes served again after the database was back", time.monotonic() - back_at)
    for changes in health.values():
        assert [status for status, _ in changes] == [SERVING, NOT_SERVING, SERVING]
    await until_ended(len(outcomes) + 50)
    report("50 orders ended after the database was back", time.monotonic() - back_at)
    stopping.set()
    await asyncio.gather(*customers)
    await customer.close()
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)

    # Nobody died.
    members = [*shop.stack.nodes, *shop.stack.participants.values()]
    assert all(member.child.is_running() for member in members)
    assert len(shop.stack.nodes) == 2

    # Starts during the outage were answered in time, with a status that says what to do.
    done = await asyncio.gather(*probes)
    reasons: Counter[str] = Counter()
    for each in done:
        assert each.took_s < PROBE_DEADLINE_S
        if each.error is not None:
            assert each.error.code() is grpc.StatusCode.UNAVAILABLE
            reasons[error_info(each.error).reason] += 1
    assert reasons[Reason.STORE_UNAVAILABLE]
    assert set(reasons) <= {Reason.STORE_UNAVAILABLE, Reason.NODE_DRAINING}
    report("the slowest start during the outage was answered after", max(each.took_s for each in done))

    # Repeated, they start one saga each; all that was acknowledged is there and has ended.
    repeated = await shop.start(nodes[1], [each.order for each in done])
    assert len(set(repeated)) == len(done)
    wanted = {*acknowledged, *repeated, *(outcome.saga_id for outcome in outcomes)}
    ends = await shop.until_ended(nodes[0], {saga.saga_id for saga in await shop.sagas(nodes[0])}, 60)
    assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    stored = {saga.saga_id: saga for saga in await shop.sagas(nodes[0])}
    assert wanted <= set(stored)
    assert all(stored[outcome.saga_id].state == outcome.state for outcome in outcomes)
    await shop.check_sums(nodes[0])
    for journal in (await shop.journals(nodes[0], acknowledged)).values():
        check_fencing(journal)


async def test_nothing_is_lost_while_the_database_hangs(shop: Shop) -> None:
    """Statements neither fail nor return; those that were sent may still be carried out when it goes on."""
    first, second = await shop.two_nodes()
    customer = Customer([first.address, second.address])
    orders = shop.new_orders(120)
    placing = [
        asyncio.create_task(customer.place(order, (first, second)[number % 2].address))
        for number, order in enumerate(orders[:60])
    ]
    done, _ = await asyncio.wait(placing, return_when=asyncio.FIRST_COMPLETED)
    assert len(done) < len(placing)
    postmaster = psutil.Process(shop.stack.postgres.pid)
    hung = [postmaster, *postmaster.children()]
    for process in hung:
        process.suspend()
    try:
        hung_at = time.monotonic()
        placing += [asyncio.create_task(customer.place(order, first.address)) for order in orders[60:]]
        while time.monotonic() - hung_at < HANG_S:  # longer than leases, statements and starts may take
            each = await probe(shop, second, *shop.new_orders(1))
            assert each.took_s < PROBE_DEADLINE_S
            assert each.error is not None
            assert each.error.code() is grpc.StatusCode.UNAVAILABLE
            assert error_info(each.error).reason in {Reason.STORE_UNAVAILABLE, Reason.NODE_DRAINING}
            await asyncio.sleep(0.5)
    finally:
        for process in hung:
            process.resume()
    outcomes = await asyncio.gather(*placing)
    report("120 orders placed around a hang of the database ended after it", time.monotonic() - hung_at - HANG_S)
    await customer.close()
    for node in (first, second):
        await wait_until_serving(node.address, 20)
    saga_ids = {saga.saga_id for saga in await shop.sagas(first)}
    ends = await shop.until_ended(second, saga_ids, 60)
    assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    assert {outcome.saga_id for outcome in outcomes} <= saga_ids
    await shop.check_sums(first)
    for journal in (await shop.journals(second, {outcome.saga_id for outcome in outcomes})).values():
        check_fencing(journal)


async def test_nodes_come_and_go_while_the_database_is_away(shop: Shop) -> None:
    leaving, staying = await shop.two_nodes()
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await shop.start(leaving, shop.new_orders(20))
        shop.stack.postgres.kill()
    try:
        # One that is asked to end does not wait for the database, though it cannot hand over.
        asked_at = time.monotonic()
        os.kill(leaving.child.pid, signal.SIGTERM)
        assert await leaving.child.wait(40) == 0
        report("a node ended after SIGTERM without a database", time.monotonic() - asked_at)

        # One that is started listens, says that it does not serve, and ends when it is asked to.
        starting = asyncio.create_task(shop.stack.start_node("early"))
        await asyncio.sleep(0)
        early = shop.stack.nodes[-1].child

        async def waits() -> bool:
            return early.log.exists() and any(line["event"] == "store_unavailable" for line in log_lines(early))

        await until(waits, 30, "waiting for the database")
        os.kill(early.pid, signal.SIGTERM)
        assert await early.wait(20) == 0
        with pytest.raises(ChildError):
            await starting

        # Another one is still waiting when the database comes back.
        starting = asyncio.create_task(shop.stack.start_node("patient"))
        await asyncio.sleep(0)
        early = shop.stack.nodes[-1].child
        await until(waits, 30, "waiting for the database")
        assert not starting.done()
    finally:
        shop.stack.postgres.restart()
    patient = await starting
    assert set(await shop.until_ended(patient, saga_ids, 60)) <= {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    await wait_until_serving(staying.address, 20)
    await shop.check_sums(patient)
