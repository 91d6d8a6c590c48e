"""I4: a node begins no action once compensation is durable."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.effects import CancelAttempt
from orchestrator.core.events import Phase
from orchestrator.core.state import SagaStatus
from orchestrator.definitions.registry import Registry
from orchestrator.engine.ports import Answer
from tests.integration.engine.harness import REGISTRY, Node, Rig, until
from tests.integration.engine.played import REJECTED

LEASE_S = 30.0


def _gate(rig: Rig, *keys: str) -> None:
    rig.world.gates.update({key: asyncio.Event() for key in keys})


async def _both_ends_in_one_commit(rig: Rig, node: Node) -> None:
    """left succeeds, so tail may begin, and right is rejected, so nothing may: known in the same checkpoint."""
    node.store.commit_gate.clear()
    other = asyncio.create_task(node.start())
    await until(lambda: node.store.commits_waiting)
    rig.world.gates["left/action"].set()
    rig.world.gates["right/action"].set()
    await until(lambda: rig.world.running == 0)
    node.store.commit_gate.set()
    await node.ends(await other)


async def test_a_step_that_was_overtaken_by_the_way_back_is_not_called(rig: Rig) -> None:
    node = await rig.node()
    _gate(rig, "left/action", "right/action")
    rig.world.answers["right/action"] = REJECTED
    saga_id = await node.start("fan")
    await until(lambda: rig.world.running == 2)
    await _both_ends_in_one_commit(rig, node)
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert rig.world.count("tail/action") == 0
    await rig.check_explained(saga_id)


async def test_a_step_without_a_barrier_that_was_overtaken_has_no_effect(rig: Rig) -> None:
    """Nobody can undo blindly what keeps no barrier, but what was never called needs no undo."""
    fan = REGISTRY.find("fan")
    assert fan is not None
    steps = tuple(replace(step, has_barrier=step.name != "tail") for step in fan.spec.steps)
    node = await rig.node(registry=Registry([replace(fan, spec=replace(fan.spec, steps=steps))]))
    _gate(rig, "left/action", "right/action")
    rig.world.answers["right/action"] = REJECTED
    saga_id = await node.start("fan")
    await until(lambda: rig.world.running == 2)
    node.store.commit_gate.clear()
    other = asyncio.create_task(node.start("fan"))
    await until(lambda: node.store.commits_waiting)
    rig.world.gates["left/action"].set()
    await until(lambda: rig.world.running == 1)
    rig.world.gates["right/action"].set()
    await until(lambda: rig.world.running == 0)
    node.store.commit_gate.set()
    await node.ends(await other, SagaStatus.COMPENSATED)
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert [seen for seen in rig.world.calls if seen.key == "tail/action" and seen.saga_id == str(saga_id)] == []


async def test_a_call_that_waits_for_the_lease_is_not_made_once_the_saga_turned_around(rig: Rig) -> None:
    node = await rig.node(lease_ttl_s=LEASE_S)
    _gate(rig, "left/action", "right/action")
    rig.world.answers["right/action"] = REJECTED
    saga_id = await node.start("fan")
    await until(lambda: rig.world.running == 2)
    node.store.renewals_away = True
    node.clock.skew_s += LEASE_S + 1
    rig.world.gates["left/action"].set()
    await until(lambda: node.held()["waiting"] == 1)
    rig.world.gates["right/action"].set()
    run = node.engine._dispatcher.runs[saga_id]
    await until(lambda: run.durable_status is SagaStatus.COMPENSATING)
    assert rig.world.keys(saga_id) == ["left/action", "right/action"], "no lease, no call"
    node.store.renewals_away = False
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert rig.world.count("tail/action") == 0
    assert rig.world.count("left/compensation") == 1


async def test_an_attempt_that_is_cancelled_before_it_began_is_known_to_have_ended(rig: Rig) -> None:
    node = await rig.node(lease_ttl_s=LEASE_S)
    _gate(rig, "reserve/action")
    saga_id = await node.start()
    await until(lambda: rig.world.running == 1)
    node.store.renewals_away = True
    node.clock.skew_s += LEASE_S + 1
    rig.world.gates["reserve/action"].set()
    await until(lambda: node.held()["waiting"] == 1)
    dispatcher = node.engine._dispatcher
    node.clock.skew_s = 0.0
    dispatcher.calls.lease_renewed()  # charge has a task now, which had no turn yet
    dispatcher.carry_out(dispatcher.runs[saga_id], CancelAttempt(1, Phase.ACTION))
    node.store.renewals_away = False
    await node.ends(saga_id)


async def test_a_turned_around_saga_really_cancels_its_calls(rig: Rig) -> None:
    node = await rig.node()
    _gate(rig, "left/action", "right/action")
    rig.world.answers["right/action"] = REJECTED
    saga_id = await node.start("fan")
    await until(lambda: rig.world.running == 2)
    rig.world.gates["right/action"].set()
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    assert [seen.key for seen in rig.world.cancelled] == ["left/action"]
    assert rig.world.running == 0


@pytest.mark.parametrize("code", [16, 12])
async def test_what_is_misconfigured_blocks_and_goes_on_once_it_is_mended(rig: Rig, code: int) -> None:
    node = await rig.node(core=CorePolicy(blocked_retry_s=0.02))
    rig.world.answers["charge/action"] = Answer(code, message="who are you?")
    saga_id = await node.start()
    await until(lambda: rig.world.count("charge/action") >= 3)
    rig.world.answers.clear()
    await node.ends(saga_id)
    state = await rig.check_explained(saga_id)
    assert state.seq <= 6, "a block is recorded once"
