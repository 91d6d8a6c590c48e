"""A commit whose answer was lost is unknown; a refused one fails its own saga alone."""

import asyncio
from typing import Any

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.definitions.errors import PayloadError
from orchestrator.engine.api import Draining
from orchestrator.engine.ports import Answer, StoreUnavailable
from orchestrator.engine.stored import Batch, NewSaga
from tests.integration.engine.faulty import CommitFault
from tests.integration.engine.harness import Node, Rig, until
from tests.integration.engine.played import REJECTED

LINE = ["reserve/action", "charge/action", "ship/action"]


@pytest.mark.parametrize("which", [1, 2, 4])
@pytest.mark.parametrize("fault", list(CommitFault))
async def test_an_unknown_commit_is_repeated_and_nothing_begins_meanwhile(
    rig: Rig, fault: CommitFault, which: int
) -> None:
    node = await rig.node()
    seen_at: list[int] = []

    async def note(_seen: Any) -> None:
        seen_at.append(len(node.store.commits))

    rig.world.before = note
    commits = node.store.commit_faults
    commits.extend([None] * (which - 1))
    commits.extend([fault] * (1 if "LATE" in fault.name else 2))
    saga_id = await node.start()
    await node.ends(saga_id)
    assert rig.world.keys() == LINE
    repeats = len(node.store.commits) - 4
    assert repeats in {1, 2}
    assert node.store.commits[which - 1] == node.store.commits[which]
    assert seen_at == [at + (repeats if at >= which else 0) for at in (1, 2, 3)]
    await rig.check_explained(saga_id)
    assert len((await rig.stored(saga_id)).journal) == 5


async def test_the_store_away_for_a_while_costs_nothing_but_time(rig: Rig) -> None:
    node = await rig.node(lease_ttl_s=5.0)
    rig.world.gates["charge/action"] = asyncio.Event()
    saga_ids = [await node.start() for _ in range(20)]
    await until(lambda: rig.world.running == 20)
    node.store.away = True
    rig.world.gates["charge/action"].set()
    await until(lambda: not node.engine._writer.store_answers)
    with pytest.raises(StoreUnavailable):
        await node.start()
    node.clock.skew_s += 6.0
    await until(lambda: node.healthy[-1] is False)
    assert rig.world.count("ship/action") == 0
    node.store.away = False
    for saga_id in saga_ids:
        await node.ends(saga_id)
        await rig.check_explained(saga_id)
    await until(lambda: node.healthy[-1] is True)
    assert max(rig.world.effects.values()) == 1


async def test_a_refused_saga_does_not_fail_the_others(rig: Rig) -> None:
    """Another history of one saga is in the store: it is dropped and resumed from there."""
    node = await rig.node()
    rig.world.gates["charge/action"] = asyncio.Event()
    saga_ids = [await node.start() for _ in range(10)]
    await until(lambda: rig.world.running == 10)
    node.store.commit_gate.clear()
    first = node.engine._dispatcher.runs[saga_ids[0]]
    rig.world.gates["charge/action"].set()
    await until(lambda: node.store.commits_waiting)
    # An operator's retry, say: the epoch is raised under the owner's hands.
    await rig.db.execute("UPDATE saga SET epoch = epoch + 1 WHERE saga_id = $1", saga_ids[0])
    node.store.commit_gate.set()
    for saga_id in saga_ids:
        await node.ends(saga_id)
        await rig.check_explained(saga_id)
    assert first.dropped
    assert first.was_refused
    assert [seen.epoch for seen in rig.world.calls if seen.saga_id == str(saga_ids[0])] == [1, 1, 2, 2]
    assert max(rig.world.effects.values()) == 1


async def _start_together(node: Node, *orders: dict[str, Any]) -> list[Any]:
    """Starts that share a batch."""
    node.store.commit_gate.clear()
    other = asyncio.create_task(node.start())
    await until(lambda: node.store.commits_waiting)
    tasks = [asyncio.create_task(node.try_start(**order)) for order in orders]
    await until(lambda: node.held()["dirty"] == len(tasks))
    node.store.commit_gate.set()
    await other
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_start_that_the_database_cannot_take_does_not_block_the_others(rig: Rig) -> None:
    node = await rig.node()
    answers = await _start_together(node, {}, {"request_id": "nul \0"}, {})
    assert isinstance(answers[1], PayloadError), answers[1]
    for started in (answers[0], answers[2]):
        await node.ends(started.saga_id)
    await until(lambda: not any(node.held().values()), f"{node.held()}")
    assert sum(len(batch.new) for batch in node.store.commits) <= 8, "it is not tried again and again"


async def test_a_checkpoint_that_the_database_cannot_take_makes_its_own_saga_stuck(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await rig.node()
    bad_id = await node.start(order_id="bad")
    real = node.store._store.commit

    async def commit(node_id: Any, batch: Batch) -> frozenset[Any]:
        for item in batch.checkpoints:
            if item.saga_id == bad_id and item.row.status is not SagaStatus.STUCK:
                raise ValueError("text that cannot be stored")
        return await real(node_id, batch)

    monkeypatch.setattr(node.store._store, "commit", commit)
    good_ids = [await node.start() for _ in range(5)]
    for saga_id in good_ids:
        await node.ends(saga_id)
    await node.ends(bad_id, SagaStatus.STUCK)
    assert (await rig.stored(bad_id)).row.failure_reason == "ENGINE_DEFECT"
    await until(lambda: not any(node.held().values()), f"{node.held()}")
    assert rig.world.keys(bad_id).count("reserve/action") <= 4


async def test_a_text_with_nul_reaches_the_journal(rig: Rig) -> None:
    node = await rig.node()
    rig.world.answers["charge/action"] = Answer(9, message="no\0pe \ud800", reason="A\0B", domain="x", proven=True)
    saga_id = await node.start()
    await node.ends(saga_id, SagaStatus.COMPENSATED)
    await rig.check_explained(saga_id)


async def test_a_start_that_was_not_answered_in_time_is_stored_once_or_never(rig: Rig) -> None:
    node = await rig.node(start_timeout_s=0.05)
    node.store.commit_gate.clear()
    with pytest.raises(StoreUnavailable):
        await node.start(request_id="slow")
    with pytest.raises(StoreUnavailable):
        await node.start(request_id="slow")
    node.store.commit_gate.set()
    await until(lambda: not node.held()["runs"])
    node.store.commit_gate.set()
    again = await node.try_start(request_id="other")
    await node.ends(again.saga_id)
    found = await rig.db.fetch("SELECT saga_id FROM saga WHERE request_id = 'slow'")
    assert len(found) == 1
    await node.ends(found[0]["saga_id"])
    assert len(rig.world.effects) == 6


async def test_a_saga_is_not_taken_up_again_while_a_checkpoint_of_it_is_on_its_way(rig: Rig) -> None:
    """Or it would resume from before that checkpoint, and take its seq for another event's."""
    node = await rig.node()
    rig.world.gates["charge/action"] = asyncio.Event()
    saga_id = await node.start()
    await until(lambda: rig.world.running == 1)
    node.store.commit_gate.clear()
    rig.world.gates["charge/action"].set()
    await until(lambda: node.store.commits_waiting)
    node.engine._dispatcher.drop(node.engine._dispatcher.runs[saga_id])
    rig.world.answers["charge/action"] = REJECTED
    assert node.engine._takeover is not None
    await node.engine._takeover.run_once(node.node_id)
    node.engine._takeover.check_owned()
    await node.engine._takeover.run_once(node.node_id)
    assert saga_id not in node.engine._dispatcher.runs
    node.store.commit_gate.set()
    await node.ends(saga_id)
    await rig.check_explained(saga_id)


async def test_a_fenced_node_takes_starts_again_once_it_has_rejoined(rig: Rig) -> None:
    """Its last batch was never answered but by the fence."""
    node, other = await rig.node(), await rig.node()
    rig.world.gates["reserve/action"] = asyncio.Event()
    saga_id = await node.start()
    await until(lambda: rig.world.running == 1)
    old_id = node.node_id
    node.store.away = True
    rig.world.gates["reserve/action"].set()
    await until(lambda: not node.engine._writer.store_answers)
    await rig.lapse(node)
    await other.ends(saga_id)
    node.store.away = node.store.renewals_away = False
    await until(lambda: node.engine.node_id not in {None, old_id} and node.engine._writer.store_answers)
    await node.ends(await node.start())
    await rig.check_explained(saga_id)


async def test_a_start_that_meets_the_fence_leaves_nothing_in_memory(rig: Rig) -> None:
    node, other = await rig.node(), await rig.node()
    held = await other.start("single", warehouse_id="here")
    real, fenced = node.store._store.commit, False

    async def commit(node_id: Any, batch: Batch) -> frozenset[Any]:
        nonlocal fenced
        if any(isinstance(item, NewSaga) for item in batch.new) and not fenced:
            fenced = True
            await rig.lapse(node)
            await other.engine._store.fence_expired(other.node_id)
        return await real(node_id, batch)

    node.store._store.commit = commit  # type: ignore[method-assign]  # a fault of its own
    with pytest.raises(Draining):
        await node.start()
    node.store.renewals_away = False
    await until(lambda: node.engine.node_id is not None)
    await until(lambda: not any(node.held().values()), f"{node.held()}")
    await other.ends(held)
