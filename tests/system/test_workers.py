"""``serve --workers``: processes that share a port, of which one dies, and a SIGTERM that ends all."""

import asyncio
import os
import signal
import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
import psutil
import pytest
from saga.v1.saga_pb2 import SAGA_STATE_COMPENSATED, SAGA_STATE_COMPLETED, Saga
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.local.orders import Order
from orchestrator.local.stack import Member, StackSettings
from tests.system.harness import CALL_TIMEOUT_S, Shop, check_fencing, claims, frozen, log_lines, report, until
from tests.system.orders import start_request

WORKERS = 3
CONNECTIONS = 15

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """One node that is several."""
    return StackSettings(nodes=1, node_environment={"ORCHESTRATOR_WORKERS": str(WORKERS)})


def served(node: Member) -> list[dict[str, Any]]:
    """Every worker that ever served, from the log: its number, pid and node id."""
    return [line for line in log_lines(node.child) if line["event"] == "worker_serves"]


def owners(sagas: Iterable[Saga]) -> set[str]:
    return {saga.owner_node_id for saga in sagas if saga.owner_node_id}


async def start_apart(node: Member, orders: Sequence[Order]) -> list[str]:
    """Starts the orders on several connections: these are what is spread over the workers, and not calls."""

    async def start(part: Sequence[Order]) -> list[str]:
        async with grpc.aio.insecure_channel(node.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = SagaServiceStub(channel)
            starts = [stub.StartSaga(start_request(order), timeout=CALL_TIMEOUT_S) for order in part]
            return [(await started).saga.saga_id for started in starts]

    parts = await asyncio.gather(*(start(orders[number::CONNECTIONS]) for number in range(CONNECTIONS)))
    return [saga_id for part in parts for saga_id in part]


async def test_the_sagas_of_a_killed_worker_go_on_and_it_is_replaced(shop: Shop) -> None:
    (node,) = shop.live_nodes
    announced = node.child.announcement["workers"]
    assert len({worker["node_id"] for worker in announced}) == WORKERS
    orders = shop.new_orders(150, versions=(2,), faults=("", "", "undeliverable"))
    with frozen(shop.stack.participants["shipping"].child):
        saga_ids = await start_apart(node, orders)
        in_flight = await shop.until_all(node, saga_ids, lambda saga: saga.last_seq >= 3, 30, "waiting for shipping")
        assert len(owners(in_flight)) > 1, "several workers took connections"
        victim = next(worker for worker in announced if worker["node_id"] in owners(in_flight))
        left = [saga.saga_id for saga in in_flight if saga.owner_node_id == victim["node_id"]]
        killed_at = time.monotonic()
        os.kill(victim["pid"], signal.SIGKILL)
        await until(lambda: _has_served(node, WORKERS + 1), 30, "started again")
        report("a worker was replaced after the kill", time.monotonic() - killed_at)
    ends = await shop.until_ended(node, saga_ids, 60)
    report(f"{len(left)} sagas of a killed worker ended after the kill", time.monotonic() - killed_at)
    assert ends == {SAGA_STATE_COMPLETED: 100, SAGA_STATE_COMPENSATED: 50}
    await shop.check_sums(node)
    for journal in (await shop.journals(node, left)).values():
        check_fencing(journal)
        assert claims(journal)[0].saga_claimed.crashed
    assert served(node)[-1]["worker"] == announced.index(victim) + 1


async def test_sigterm_ends_every_worker(shop: Shop) -> None:
    (node,) = shop.live_nodes
    pids = {int(line["pid"]) for line in served(node)}
    os.kill(node.child.pid, signal.SIGTERM)  # the supervisor alone: it passes it on
    assert await node.child.wait(40) == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert await shop.count("node") == 0, "leases were released"


async def test_workers_end_when_their_supervisor_is_killed(shop: Shop) -> None:
    node = await shop.stack.start_node("orphans")
    pids = [int(worker["pid"]) for worker in node.child.announcement["workers"]]
    os.kill(node.child.pid, signal.SIGKILL)
    await until(lambda: _are_gone(pids), 40, "ended")
    assert await shop.count("node") == 0


async def _has_served(node: Member, times: int) -> bool:
    return len(served(node)) >= times


async def _are_gone(pids: list[int]) -> bool:
    await asyncio.sleep(0)
    return not any(psutil.pid_exists(pid) for pid in pids)
