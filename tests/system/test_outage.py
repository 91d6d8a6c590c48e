"""The database is away for half a minute under load: nobody dies, nothing that was acknowledged is lost."""

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED

from contracts.errors import Reason
from orchestrator.local.customer import Customer, Outcome
from orchestrator.local.orders import Order
from orchestrator.local.stack import Member
from tests.system.harness import Shop, check_fencing, error_info, frozen, report, start_request, until

OUTAGE_S = 30.0
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
