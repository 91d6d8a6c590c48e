"""More than a node can serve, and a participant that stands still: who is served all the same."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED
from saga.v1.saga_service_pb2 import StartSagaRequest, WaitSagaRequest

from orchestrator.local.orders import Order
from orchestrator.local.stack import Member, StackSettings
from tests.system.harness import CALL_TIMEOUT_S, LIVE, Shop, frozen, report, until

PACKAGES = Path(__file__).with_name("packages")
OPEN_LOOP_S = 8
CALLERS = 4
"""Of the definition without shipping, one saga each at a time."""
ORDERS_PER_S = 15.0
MEASURED_S = 5.0

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """One node, with a definition that needs no shipping beside the shipped ones."""
    return StackSettings(
        nodes=1,
        node_environment={
            "PYTHONPATH": os.pathsep.join([str(PACKAGES), *map(os.path.abspath, filter(None, sys.path))]),
            "ORCHESTRATOR_DEFINITIONS": json.dumps(["orchestrator.definitions.shipped", "goods.v1"]),
        },
    )


async def test_twice_as_many_callers_as_the_node_can_serve() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.system.overload", "--seconds", str(OPEN_LOOP_S)), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said)
    for name, least in (("honours", 0.6), ("ignores", 0.4)):
        phase = found[name]
        report(f"{name}: goodput", 100 * phase["share"], "% of the peak")
        report(f"{name}: accepted, p99", phase["p99"])
        assert phase["refusals"], "nobody was turned away, so it proves nothing"
        assert phase["share"] >= least, found
        assert phase["p99"] <= 8.0, found
    assert found["honours"]["delay_max"] > 1.0, "the delay grows with the overload"
    burst = found["burst"]
    report("a burst of 5,000: the slowest answer", max(burst["p99"], burst["refused_p99"]))
    assert set(burst["ends"]) <= {"ok", "gave up"}, "each was served, or turned away at once"
    assert found["after"] >= 0.3 * found["peak"], found
    assert found["rss_after"] - found["rss_before"] < 100, found


async def test_who_needs_no_frozen_participant_is_served_as_before(shop: Shop) -> None:
    (node,) = shop.live_nodes
    placed: list[str] = []
    healthy, _ = await asyncio.gather(_rate(shop, node), _place(shop, node, placed, MEASURED_S))

    async def blocked() -> bool:
        sagas = await shop.sagas(node, placed)
        return any(saga.blocked_reason.startswith("BREAKER_OPEN: shipping") for saga in sagas)

    with frozen(shop.stack.participants["shipping"].child):
        stop = asyncio.Event()
        placing = asyncio.create_task(_place(shop, node, placed, None, stop))
        at_once = await _rate(shop, node)
        await until(blocked, 60, "blocked by the breaker")
        opened = await _rate(shop, node)
        stop.set()
        await placing
        live = [saga for saga in await shop.sagas(node, placed) if saga.state in LIVE]
        assert live, "they wait for shipping"
    report("a definition without shipping: rate", 100 * at_once / healthy, "% as shipping froze")
    report("a definition without shipping: rate", 100 * opened / healthy, "% once its breaker was open")
    assert min(at_once, opened) >= 0.5 * healthy
    ends = await shop.until_ended(node, placed, 120)
    assert ends == {SAGA_STATE_COMPLETED: len(placed)}


async def _rate(shop: Shop, node: Member) -> float:
    """Sagas without shipping that end in a second."""
    until_s = time.monotonic() + MEASURED_S
    ended = 0

    async def caller() -> None:
        nonlocal ended
        sagas = shop.sagas_at(node)
        while time.monotonic() < until_s:
            (order,) = shop.new_orders(1, faults=("",))
            request = StartSagaRequest(
                request_id=order.request.request_id, definition="hold-goods", input=order.request.SerializeToString()
            )
            started = await sagas.StartSaga(request, timeout=CALL_TIMEOUT_S)
            wait = WaitSagaRequest(saga_id=started.saga.saga_id)
            ended += (await sagas.WaitSaga(wait, timeout=CALL_TIMEOUT_S)).saga.state == SAGA_STATE_COMPLETED

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return ended / MEASURED_S


async def _place(
    shop: Shop, node: Member, placed: list[str], seconds: float | None, stop: asyncio.Event | None = None
) -> None:
    """Starts orders at a steady pace, for so many seconds or until it is told to stop."""
    began_s, begun = time.monotonic(), 0
    starting: set[asyncio.Task[None]] = set()

    async def start(order: Order) -> None:
        placed.extend(await shop.start(node, [order]))

    while not (stop is not None and stop.is_set()):
        passed_s = time.monotonic() - began_s
        if seconds is not None and passed_s >= seconds:
            break
        while begun < ORDERS_PER_S * passed_s:
            begun += 1
            (order,) = shop.new_orders(1, faults=("",))
            task = asyncio.create_task(start(order))
            starting.add(task)
        await asyncio.sleep(1 / ORDERS_PER_S)
    await asyncio.gather(*starting)
