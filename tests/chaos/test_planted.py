"""Planted defects: the children run with a rule taken away, and the judge must see it. Otherwise it proves nothing."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from tests.chaos import checker
from tests.chaos.faults_calls import reuse_key, undo_before_do
from tests.chaos.faults_process import forge_zombie_calls
from tests.chaos.load import Load
from tests.chaos.proxy import Trap
from tests.chaos.stage import Stage, stopped, until
from tests.chaos.world import World

pytestmark = pytest.mark.timeout(150)


@asynccontextmanager
async def stage_with(planted: str, directory: Path) -> AsyncIterator[Stage]:
    async with World(directory, 7, planted=planted) as world:
        load = Load(world)
        await load.open()
        await world.heal()
        try:
            yield Stage(world, load, full=False)
        finally:
            await load.close()


async def send_zombie_calls(stage: Stage) -> None:
    """Sagas whose owner died are carried to the end by another; then the first one's undo arrives."""
    first, other = await stage.two()
    first.participants["shipping"].delay_s = 1.0
    saga_ids = [await stage.load.start(first, stage.load.order()) for _ in range(5)]
    await first.child.kill()
    await stage.ended(saga_ids, 40)
    assert other.is_running
    await forge_zombie_calls(stage, saga_ids)


async def land_late(stage: Stage) -> None:
    """A start is on its way to the database while its node is declared dead; then it lands."""
    zombie, _ = await stage.two()
    order = stage.load.order()
    trap = zombie.database.trap(Trap("up", order.order_id.encode(), "hold", label="writer", again=True))
    with suppress(grpc.aio.AioRpcError):
        await stage.load.start(zombie, order, timeout_s=0.5)
    assert trap.sprung.is_set()
    await stopped(zombie)

    async def fenced() -> bool:
        rows = await stage.world.sql(
            "orchestrator", "SELECT fenced_at FROM node_fence WHERE node_id::text = $1", zombie.node_id
        )
        return bool(rows and rows[0]["fenced_at"])

    await until(fenced, 15, "the stopped node was fenced")
    before = await landed(stage)
    trap.release()
    with suppress(AssertionError):

        async def has_landed() -> bool:
            return await landed(stage) > before

        await until(has_landed, 2, "what was late has landed")
    zombie.signal(signal.SIGCONT)


async def landed(stage: Stage) -> int:
    return int((await stage.world.sql("orchestrator", "SELECT count(*) FROM saga"))[0][0])


async def delay_commits(stage: Stage) -> None:
    """Every batch takes its time to the database, so that what does not wait for it is seen to begin before."""
    node = await stage.world.start_node(failpoints="store.commit.before=delay:0.3@*")
    orders = [stage.load.order("undeliverable" if number % 2 else "") for number in range(4)]
    await stage.ended([await stage.load.start(node, order, ("short-order", 1)) for order in orders], 40)


async def undo_much(stage: Stage) -> None:
    """Orders that fail at their last step, where the first one's undo is the quicker."""
    (node, _), world = await stage.two(), stage.world
    await world.restart_participant("payment", failpoints="compensation.received=delay:0.5@*")
    orders = [stage.load.order("undeliverable") for _ in range(5)]
    await stage.ended([await stage.load.start(node, order) for order in orders], 40)


async def ask_for_more(stage: Stage) -> None:
    await reuse_key(stage)


async def overtake(stage: Stage) -> None:
    await undo_before_do(stage)


BUGS: list[tuple[str, Callable[[Stage], Awaitable[None]], str]] = [
    ("epoch_check", send_zombie_calls, "I5"),
    ("tombstone", overtake, "I3"),
    ("fence", land_late, "I5"),
    ("write_ahead", delay_commits, "write-ahead"),
    ("reverse_order", undo_much, "I3"),
    ("payload_hash", ask_for_more, "I2"),
]


@pytest.mark.parametrize(("planted", "scenario", "invariant"), BUGS, ids=[bug for bug, _, _ in BUGS])
async def test_a_planted_bug_is_caught(
    planted: str, scenario: Callable[[Stage], Awaitable[None]], invariant: str, tmp_path: Path
) -> None:
    async with stage_with(planted, tmp_path) as stage:
        # A scenario that the defect itself derails has been stopped by it; what it did is read all the same.
        with suppress(Exception):
            await asyncio.wait_for(scenario(stage), 60)
        await stage.world.heal()
        await stage.quiet(20)
        verdict = await checker.check(stage.world, stage.load.told)
    assert [each for each in verdict.violations if each.startswith(invariant)], verdict.violations


async def test_the_same_scenarios_violate_nothing_without_a_bug(tmp_path: Path) -> None:
    async with stage_with("", tmp_path) as stage:
        for _, scenario, _ in BUGS:
            await scenario(stage)
            await stage.world.heal()
        await stage.quiet()
        verdict = await checker.check(stage.world, stage.load.told)
        assert not verdict.violations
        assert verdict.ends["COMPLETED"] >= 5
        assert verdict.ends["COMPENSATED"] >= 5
