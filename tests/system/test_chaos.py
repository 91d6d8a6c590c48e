"""Faults at random under load, then peace: every saga ends, and everything is accounted for."""

import asyncio
import itertools
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import grpc
import pytest
from saga.v1.saga_pb2 import (
    SAGA_STATE_COMPENSATED,
    SAGA_STATE_COMPLETED,
    STEP_STATE_COMPENSATED,
    STEP_STATE_REJECTED,
    STEP_STATE_SKIPPED,
    STEP_STATE_SUCCEEDED,
    Saga,
    SagaState,
    StepState,
)

from orchestrator.local.health import wait_until_serving
from orchestrator.local.stack import SERVICES
from tests.system.harness import Shop, check_fencing, claims, frozen, report
from tests.system.orders import start_request

CHAOS_S = 20.0
CUSTOMERS = 16
SEED = int(os.environ.get("CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)

pytestmark = pytest.mark.timeout(240)


class Chaos:
    """Does harm, one thing at a time, and mends it."""

    def __init__(self, shop: Shop, draw: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._shop = shop
        self._draw = draw

    async def run(self, duration_s: float) -> None:
        """Each fault once at least, in random order, until the time is over."""
        faults: list[Callable[[], Awaitable[None]]] = [
            self.kill_node,
            self.stop_node,
            self.freeze_node,
            self.kill_participant,
            self.freeze_participant,
            self.kill_database,
        ]
        ends_at = time.monotonic() + duration_s
        for _ in itertools.count():
            self._draw.shuffle(faults)
            for fault in faults:
                await fault()
                self.done[fault.__name__] += 1
                await asyncio.sleep(self._draw.uniform(0, 1))
            if time.monotonic() > ends_at:
                return

    async def kill_node(self) -> None:
        """While every saga waits for a participant, so that some change hands."""
        with frozen(self._shop.stack.participants["payment"].child):
            await asyncio.sleep(1.5)
            await self._draw.choice(self._shop.live_nodes).child.kill()
        await self._shop.two_nodes()

    async def stop_node(self) -> None:
        await self._draw.choice(self._shop.live_nodes).child.stop(20)
        await self._shop.two_nodes()

    async def freeze_node(self) -> None:
        """Sometimes beyond its lease."""
        with frozen(self._draw.choice(self._shop.live_nodes).child):
            await asyncio.sleep(self._draw.choice((0.5, 3.0, 8.0)))

    async def kill_participant(self) -> None:
        name = self._draw.choice(list(SERVICES))
        await self._shop.stack.participants[name].child.kill()
        await self._shop.stack.start_participant(name)

    async def freeze_participant(self) -> None:
        with frozen(self._shop.stack.participants[self._draw.choice(list(SERVICES))].child):
            await asyncio.sleep(self._draw.uniform(0.2, 4))

    async def kill_database(self) -> None:
        self._shop.stack.postgres.kill()
        await asyncio.sleep(self._draw.uniform(0, 4))
        self._shop.stack.postgres.restart()
        for node in self._shop.live_nodes:
            await wait_until_serving(node.address, 30)


async def test_any_faults(shop: Shop) -> None:
    sys.stdout.write(f"seed: {SEED}\n")
    draw = random.Random(SEED)
    await shop.two_nodes()
    stopping = asyncio.Event()
    acknowledged: dict[str, str] = {}

    async def keep_ordering() -> None:
        """Starts sagas and does not wait for them; repeats each start, anywhere, until it is acknowledged."""
        while not stopping.is_set():
            (order,) = shop.new_orders(1)
            while order.request.request_id not in acknowledged:
                node = draw.choice([node for node in shop.stack.nodes if node.address][-3:])
                try:
                    answer = await shop.sagas_at(node).StartSaga(start_request(order), timeout=5)
                    acknowledged[order.request.request_id] = answer.saga.saga_id
                except grpc.aio.AioRpcError as error:
                    if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
                        raise
                    await asyncio.sleep(0.2)
            await asyncio.sleep(draw.uniform(0.2, 0.6))

    customers = [asyncio.create_task(keep_ordering()) for _ in range(CUSTOMERS)]
    chaos = Chaos(shop, draw)
    await chaos.run(CHAOS_S)
    healed_at = time.monotonic()
    stopping.set()
    await asyncio.gather(*customers)
    node, _ = await shop.two_nodes()
    saga_ids = {saga.saga_id for saga in await shop.sagas(node)}
    ends = await shop.until_ended(node, saga_ids, 90)
    report(f"{len(saga_ids)} sagas ended after {dict(chaos.done)}", time.monotonic() - healed_at)

    assert set(ends) == {SAGA_STATE_COMPLETED, SAGA_STATE_COMPENSATED}
    stored = {saga.request_id: saga.saga_id for saga in await shop.sagas(node)}
    assert acknowledged.items() <= stored.items()
    await shop.check_sums(node)
    taken_over = 0
    for saga_id, journal in (await shop.journals(node, saga_ids)).items():
        check_fencing(journal)
        taken_over += bool(claims(journal))
        check_steps(await shop.saga(node, saga_id))
    assert taken_over, "no saga changed hands, so it proves little"


def check_steps(saga: Saga) -> None:
    """The end of a saga is that of its steps."""
    states = {step.state for step in saga.steps}
    if saga.state == SAGA_STATE_COMPLETED:
        allowed = {STEP_STATE_SUCCEEDED}
    else:
        allowed = {STEP_STATE_COMPENSATED, STEP_STATE_REJECTED, STEP_STATE_SKIPPED}
    told = f"{saga.saga_id} {SagaState.Name(saga.state)}: {[StepState.Name(state) for state in states]}"
    assert states <= allowed, told
