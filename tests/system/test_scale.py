"""Ten thousand sagas of a killed node, a node with nothing to do beside many that wait, and a minute's soak."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.scale.fill import fill_ended, fill_waiting, pattern, settle
from benchmarks.scale.ground import Ground, standing
from benchmarks.scale.load import Task, measured
from benchmarks.scale.plans import plans
from benchmarks.scale.rates import Place, idle
from benchmarks.scale.soak import flatness, soak
from benchmarks.scale.takeover import takeover
from tests.system.harness import report

SAGAS = 10_000
ENDED = 50_000
WAITING = 10_000
MOST_STATEMENTS_PER_S = 5.0
SOAK_S = 60.0
SOAK_ROOM = 0.3
"""More than over an hour: tables grow by whole extents, and a minute has few."""

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Trivial participants: what is left is what the nodes and the database do."""
    directory: Path = tmp_path_factory.mktemp("scale")
    try:
        async with standing(directory) as ground:
            yield ground
    finally:
        shutil.rmtree(directory / "postgres", ignore_errors=True)


@pytest.mark.parametrize("frozen", [False, True], ids=["participants-answer", "participants-hang"])
async def test_ten_thousand_sagas_of_a_killed_node_run_again_in_time(ground: Ground, frozen: bool) -> None:
    found = await takeover(ground, f"taken_{frozen}".lower(), SAGAS, frozen=frozen)
    report(f"{SAGAS} sagas ran again after the kill", found.running_s)
    report("the last of them ended after", found.ended_s)
    report("the survivor's CPU for each", found.cpu_s / SAGAS * 1000, "ms")
    report("its memory for each", found.bytes_more / SAGAS / 1000, "KB")
    report("share of the machine that other programs took", found.others_share, "")
    assert found.running_s <= found.bound_s


async def test_an_idle_node_asks_little_however_many_sagas_wait(ground: Ground) -> None:
    database = await ground.database("idle")
    node = await ground.node("idle")
    await measured(Task(node.address, "FIRST", 1.0))
    copied = await pattern(database)
    await fill_ended(database, copied, ENDED)
    await fill_waiting(database, copied, WAITING)
    await settle(database)
    found = await idle(Place(node, database), 15)
    report("statements of an idle node a second", found.statements_per_s, "")
    assert 0 < found.statements_per_s < MOST_STATEMENTS_PER_S
    assert await database.fetchval("SELECT count(*) FROM saga WHERE owner IS NOT NULL") == 0, "they wait in no memory"
    assert not [plan for plan in await plans(database, copied) if not plan.is_good]
    await node.child.stop(30)


async def test_memory_and_tables_do_not_creep(ground: Ground) -> None:
    database = await ground.database("soak")
    samples, rate = await soak(ground, database, await ground.node("soak"), SOAK_S, 0.0)
    report("sagas a second", rate, "")
    found = flatness(samples, SOAK_ROOM)
    for flat in found:
        report(f"{flat.name}, second third", flat.second, "")
        report(f"{flat.name}, last third", flat.last, "")
    assert samples[-1].sagas > 1000
    assert not [flat for flat in found if not flat.holds]
