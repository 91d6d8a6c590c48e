"""Sagas change hands: after a death, a freeze, a clean stop, and when they are due again."""

import asyncio
from uuid import UUID

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.definitions.registry import load_sagas
from orchestrator.engine.admission import AdmissionPolicy
from orchestrator.engine.api import Draining, OverCapacity
from orchestrator.engine.ports import Answer, StoreUnavailable
from orchestrator.engine.takeover import OWNED_INTERVAL_S
from tests.integration.engine import sagas
from tests.integration.engine.harness import Node, Rig, until
from tests.integration.engine.played import REJECTED, UNAVAILABLE

BUSY = Answer(8, message="come back", retry_delay_s=0.8)


async def _in_first_call(rig: Rig, node: Node, count: int = 1) -> list[UUID]:
    """Sagas whose first call is under way."""
    rig.world.gates["reserve/action"] = asyncio.Event()
    saga_ids = [await node.start() for _ in range(count)]
    await until(lambda: rig.world.running == count)
    return saga_ids


async def test_a_survivor_finishes_what_a_dead_node_left(rig: Rig) -> None:
    gone = await rig.node()
    saga_ids = await _in_first_call(rig, gone, 20)
    await rig.kill(gone)
    rig.world.gates["reserve/action"].set()
    survivor = await rig.node()
    for saga_id in saga_ids:
        await survivor.ends(saga_id)
        state = await rig.check_explained(saga_id)
        assert state.epoch == 2
    rig.check_epochs()


async def test_a_frozen_node_wakes_up_to_a_world_without_it(rig: Rig) -> None:
    """Its writes are refused, its calls too, and it joins again as another incarnation."""
    zombie, other = await rig.node(), await rig.node()
    saga_ids = await _in_first_call(rig, zombie, 10)
    zombie.store.commit_gate.clear()
    await until(lambda: len(zombie.store.commits) == 10 and zombie.store.commits_waiting == 0)
    old_id = await rig.lapse(zombie)
    await until(lambda: sum(seen.node == other.name for seen in rig.world.calls) == 10)
    rig.world.gates["reserve/action"].set()
    for saga_id in saga_ids:
        await other.ends(saga_id)
    zombie.store.renewals_away = False
    zombie.store.commit_gate.set()
    await until(lambda: zombie.engine.node_id not in {None, old_id})
    await zombie.ends(await zombie.start())
    for saga_id in saga_ids:
        await rig.check_explained(saga_id)
        calls = [seen for seen in rig.world.calls if seen.saga_id == str(saga_id)]
        newest = [max(seen.epoch for seen in calls[: at + 1]) for at in range(len(calls))]
        assert [seen.epoch for seen in calls] == newest, "none under an older epoch than one seen before"
    rig.check_epochs()
    assert await rig.db.fetchval("SELECT count(*) FROM saga_event WHERE epoch = 1 AND seq > 1") <= 4
    assert not any(zombie.held().values()), zombie.held()


async def test_without_a_lease_no_call_is_made_until_it_is_renewed(rig: Rig) -> None:
    node = await rig.node(lease_ttl_s=5.0)
    await _in_first_call(rig, node, 3)
    node.store.renewals_away = True
    node.clock.skew_s += 6.0
    rig.world.gates["reserve/action"].set()
    await until(lambda: node.held()["waiting"] == 3)
    assert rig.world.count("charge/action") == 0
    with pytest.raises(Draining):
        await node.start()
    node.store.renewals_away = False
    await until(lambda: rig.world.count("ship/action") == 3)
    assert node.held()["waiting"] == 0


async def test_a_clean_stop_hands_over_at_once(rig: Rig) -> None:
    """The lease would last for half a minute; attempts under way may end."""
    leaving, staying = await rig.node(), await rig.node()
    saga_ids = await _in_first_call(rig, leaving, 5)
    stopping = asyncio.create_task(leaving.engine.stop())
    await until(lambda: leaving.healthy[-1] is False)
    with pytest.raises(Draining):
        await leaving.start()
    rig.world.gates["reserve/action"].set()
    await stopping
    for saga_id in saga_ids:
        await staying.ends(saga_id)
        await rig.check_explained(saga_id)
    assert rig.world.count("reserve/action") == 5, "what ended while it drained is not done again"
    assert await rig.db.fetchval("SELECT max(stale_claims) FROM saga") == 0
    await leaving.engine.stop()


async def test_a_stop_cancels_what_does_not_end(rig: Rig) -> None:
    leaving = await rig.node(drain_grace_s=0.05)
    saga_ids = await _in_first_call(rig, leaving, 5)
    waiting = [asyncio.create_task(leaving.engine.wait(saga_id, 20)) for saga_id in saga_ids]
    followed = leaving.engine.follow(saga_ids[0], 0)
    assert await anext(followed) == 1
    await leaving.engine.stop()
    assert len(rig.world.cancelled) == 5
    assert {standing.status for standing in await asyncio.gather(*waiting) if standing} == {SagaStatus.RUNNING}
    assert [seq async for seq in followed] == []
    assert [seq async for seq in leaving.engine.follow(saga_ids[0], 1)] == [], "nothing will be told here any more"
    rig.world.gates.clear()
    heir = await rig.node()
    for saga_id in saga_ids:
        await heir.ends(saga_id)
    rig.check_epochs()


async def test_a_definition_that_the_survivor_lacks_waits_for_a_node_that_has_it(rig: Rig) -> None:
    gone = await rig.node()
    saga_ids = await _in_first_call(rig, gone, 3)
    await rig.kill(gone)
    rig.world.gates["reserve/action"].set()
    poorer = await rig.node(registry=load_sagas([sagas.fan]))
    await poorer.ends(await poorer.start("fan"))
    async with asyncio.timeout(20):
        while await rig.db.fetchval("SELECT count(owner) FROM saga WHERE ended_at IS NULL"):
            pass
    assert [found.sagas for found in await poorer.real_store.missing_definitions()] == [3]
    richer = await rig.node()
    for saga_id in saga_ids:
        await richer.ends(saga_id)
        await rig.check_explained(saga_id)


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_claim_whose_answer_was_lost_is_found(rig: Rig, lost: int) -> None:
    gone = await rig.node()
    saga_ids = await _in_first_call(rig, gone, 6)
    await rig.kill(gone)
    rig.world.gates["reserve/action"].set()
    survivor = await rig.prepare(claim_batch_size=2)
    survivor.store.claim_answers_lost = lost
    await survivor.engine.begin()
    for saga_id in saga_ids:
        await survivor.ends(saga_id)
    assert len(survivor.store.claims_landed) == 2 * lost
    assert await rig.db.fetchval("SELECT max(epoch) FROM saga") == 2


async def test_a_claim_that_lands_late_is_found(rig: Rig) -> None:
    """After the node has looked for it in vain."""
    gone = await rig.node()
    (saga_id,) = await _in_first_call(rig, gone)
    survivor = await rig.prepare()
    survivor.store.claim = None  # type: ignore[assignment,method-assign]  # this node's own claims never come to an end
    await survivor.engine.begin()
    await until(lambda: survivor.engine._takeover is not None and not survivor.engine._takeover._check_owned)
    await rig.kill(gone)
    rig.world.gates["reserve/action"].set()
    ids = list(survivor.engine._starter.definition_ids.values())
    await survivor.real_store.fence_expired(survivor.node_id)
    landed = await survivor.real_store.claim(
        survivor.node_id,
        ids,
        from_nodes=[gone.node_id],
        limit=1,
        suspects=False,
        released_attributes=b"",
        crashed_attributes=b"",
    )
    assert list(landed) == [saga_id]
    survivor.clock.skew_s += OWNED_INTERVAL_S + 1
    await survivor.ends(saga_id)


async def test_a_parked_saga_is_released_and_claimed_when_it_is_due(rig: Rig) -> None:
    node = await rig.node(park_after_s=0.2)
    rig.world.answers["charge/action"] = BUSY
    saga_id = await node.start()
    await until(lambda: rig.world.count("charge/action") == 1 and not node.held()["runs"])
    stored = await rig.stored(saga_id)
    assert stored.owner is None
    assert stored.wake_at_us is not None
    rig.world.answers.clear()
    await node.ends(saga_id)
    first, second = (seen for seen in rig.world.calls if seen.key == "charge/action")
    assert (first.epoch, second.epoch) == (1, 2)
    state = await rig.check_explained(saga_id)
    assert state.stale_claims == 0


async def test_the_deadline_of_a_parked_saga_wakes_it(rig: Rig) -> None:
    node = await rig.node(park_after_s=0.2)
    rig.world.answers["grab/action"] = UNAVAILABLE
    saga_id = await node.start("brief")
    await until(lambda: rig.world.count("grab/action") == 1 and not node.held()["runs"])
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    state = await rig.check_explained(saga_id)
    assert state.failure is not None
    assert state.failure.reason == "SAGA_DEADLINE"


async def test_a_park_that_cannot_be_written_does_not_spin(rig: Rig) -> None:
    """The deadline comes while the saga is on its way out of memory."""
    node = await rig.node(park_after_s=0.2)
    rig.world.gates["grab/action"] = asyncio.Event()
    rig.world.answers["grab/action"] = UNAVAILABLE
    saga_id = await node.start("brief")
    await until(lambda: rig.world.running == 1)
    run = node.engine._dispatcher.runs[saga_id]
    rig.world.gates["grab/action"].set()
    await until(lambda: run.is_parked)
    first = run.deadline_timer
    node.engine._dispatcher._deadline(run)
    assert run.deadline_timer is first, "it is not armed again"
    await node.ends(saga_id, SagaStatus.COMPENSATED)


async def test_a_retry_keeps_its_time_across_a_takeover(rig: Rig) -> None:
    """The journal says when; the new owner does not call at once."""
    gone = await rig.node()
    rig.world.answers["charge/action"] = BUSY
    saga_id = await gone.start()
    run = gone.engine._dispatcher.runs[saga_id]
    await until(lambda: run.timers)
    due_us = run.state.steps[1].next_attempt_us
    await rig.kill(gone)
    rig.world.answers.clear()
    times_us: list[int] = []

    async def note(_seen: object) -> None:
        times_us.append(survivor.engine._clock.now_us())

    rig.world.before = note
    survivor = await rig.node()
    await survivor.ends(saga_id)
    assert times_us[0] >= due_us - 2000
    await rig.check_explained(saga_id)


async def test_over_capacity_nothing_is_stored(rig: Rig) -> None:
    node = await rig.node(admission=AdmissionPolicy(max_sagas=3))
    saga_ids = await _in_first_call(rig, node, 3)
    with pytest.raises(OverCapacity) as refused:
        await node.start(request_id="more")
    assert refused.value.retry_delay_s > 0
    rig.world.gates["reserve/action"].set()
    for saga_id in saga_ids:
        await node.ends(saga_id)
    await node.ends(await node.start(request_id="more"))


async def test_before_it_has_begun_a_node_takes_nothing(rig: Rig) -> None:
    node = await rig.prepare()
    with pytest.raises(Draining):
        await node.start()
    node.store.away = True
    with pytest.raises(StoreUnavailable):
        await node.engine.begin()
    node.store.away = False
    await node.engine.begin()
    rig.world.answers["ship/action"] = REJECTED
    await node.ends(await node.start(), SagaStatus.COMPENSATED)
