"""A saga that this program cannot run ends stuck or waits, and the others go on."""

import asyncio
from typing import Any

import pytest
from saga.v1 import event_pb2

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.inputs import AttemptEnded, Begun
from orchestrator.core.machine import advance as real
from orchestrator.core.state import SagaStatus
from orchestrator.engine import run as run_module
from orchestrator.engine.ports import Answer, StoreUnavailable
from tests.integration.engine.harness import Node, Rig, until

UNKNOWN_PHASE = event_pb2.StepBlocked(step="reserve", phase=99).SerializeToString()  # type: ignore[arg-type]  # of a newer program


async def _others_go_on(node: Node) -> None:
    for _ in range(3):
        await node.ends(await node.start())


async def _released(rig: Rig, node: Node, saga_id: Any) -> None:
    """Nobody owns the saga, and it is due again later."""
    async with asyncio.timeout(20):
        while (await rig.stored(saga_id)).wake_at_us is None:
            pass
    assert (await rig.stored(saga_id)).owner is None
    assert not node.engine.has_run(saga_id)


async def _orphan(rig: Rig) -> Any:
    """A saga of a node that died in its first call."""
    (saga_id,) = await _orphans(rig, 1)
    return saga_id


async def _orphans(rig: Rig, count: int) -> list[Any]:
    """Sagas of one node that died in their first calls."""
    gone = await rig.node()
    rig.world.gates["reserve/action"] = asyncio.Event()
    saga_ids = [await gone.start() for _ in range(count)]
    await until(lambda: rig.world.running == count)
    await rig.kill(gone)
    await until(lambda: rig.world.running == 0)
    rig.world.gates.clear()
    return saga_ids


async def test_a_builder_that_raises_makes_its_saga_stuck(rig: Rig) -> None:
    node = await rig.node()
    saga_id = await node.start("single", order_id="poison")
    await node.ends(saga_id, SagaStatus.STUCK)
    stored = await rig.stored(saga_id)
    assert stored.row.failure_reason == "BUILDER_FAILED"
    assert rig.world.keys() == []
    await rig.check_explained(saga_id)
    await _others_go_on(node)


async def test_an_unreadable_response_makes_its_saga_stuck(rig: Rig) -> None:
    node = await rig.node()
    rig.world.answers["take/action"] = Answer(0, b"\xff\xff\xff")
    saga_id = await node.start("single")
    await node.ends(saga_id, SagaStatus.STUCK)
    assert (await rig.stored(saga_id)).row.failure_reason == "RESPONSE_UNREADABLE"
    await rig.check_explained(saga_id)
    await _others_go_on(node)


async def test_an_unreadable_input_makes_its_saga_stuck(rig: Rig) -> None:
    saga_id = await _orphan(rig)
    await rig.db.execute("UPDATE saga SET input = '\\xffffff' WHERE saga_id = $1", saga_id)
    node = await rig.node()
    await node.ends(saga_id, SagaStatus.STUCK)
    assert (await rig.stored(saga_id)).row.failure_reason == "INPUT_UNREADABLE"
    await rig.check_explained(saga_id)
    await _others_go_on(node)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [(99, b""), (event_pb2.EVENT_TYPE_STEP_SUCCEEDED, b"\xff\xff"), (event_pb2.EVENT_TYPE_STEP_BLOCKED, UNKNOWN_PHASE)],
    ids=["unknown kind", "no message", "unknown phase"],
)
async def test_a_journal_that_cannot_be_read_waits_for_a_newer_program(rig: Rig, kind: int, attributes: bytes) -> None:
    saga_id = await _orphan(rig)
    await rig.db.execute(
        "INSERT INTO saga_event (saga_id, seq, kind, epoch, at, attributes) VALUES ($1, 2, $2, 1, now(), $3)",
        *(saga_id, kind, attributes),
    )
    await rig.db.execute("UPDATE saga SET last_seq = 2 WHERE saga_id = $1", saga_id)
    node = await rig.node(core=CorePolicy(blocked_retry_s=60.0))
    await _released(rig, node, saga_id)
    await _others_go_on(node)
    assert (await rig.stored(saga_id)).row.status is SagaStatus.RUNNING


async def test_a_journal_with_a_hole_makes_its_saga_stuck(rig: Rig) -> None:
    saga_id = await _orphan(rig)
    await rig.db.execute("UPDATE saga SET last_seq = 7 WHERE saga_id = $1", saga_id)
    node = await rig.node()
    await node.ends(saga_id, SagaStatus.STUCK)
    assert (await rig.stored(saga_id)).row.failure_reason == "ENGINE_DEFECT"
    await until(lambda: not any(node.held().values()), f"{node.held()}")
    await _others_go_on(node)


async def test_a_defect_of_the_core_makes_its_saga_stuck(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await rig.node()

    def advance(spec: Any, state: Any, given: Any, *more: Any) -> Any:
        if state.saga_id == poison_id and isinstance(given, AttemptEnded):
            raise RuntimeError("a defect")
        return real(spec, state, given, *more)

    rig.world.gates["reserve/action"] = asyncio.Event()
    poison_id = str(poison := await node.start())
    monkeypatch.setattr(run_module, "advance", advance)
    rig.world.gates["reserve/action"].set()
    await node.ends(poison, SagaStatus.STUCK)
    assert (await rig.stored(poison)).row.failure_reason == "ENGINE_DEFECT"
    assert rig.world.keys(poison) == ["reserve/action"] * 3
    await rig.check_explained(poison)
    await _others_go_on(node)
    await until(lambda: not any(node.held().values()), f"{node.held()}")


async def test_a_start_that_meets_a_defect_leaves_nothing_behind(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await rig.node()

    def advance(spec: Any, state: Any, given: Any, *more: Any) -> Any:
        if isinstance(given, Begun):
            raise ZeroDivisionError("a defect")
        return real(spec, state, given, *more)

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "advance", advance)
        with pytest.raises(StoreUnavailable):
            await node.start()
    assert not any(node.held().values()), node.held()
    await _others_go_on(node)


async def test_an_epoch_that_participants_dispute_is_not_tried_for_ever(rig: Rig) -> None:
    """The store says that the saga is this node's, a participant has seen a newer epoch: one of them lost something."""
    node = await rig.node()
    rig.world.answers["charge/action"] = Answer(10, reason="STALE_EPOCH", domain="saga.v1")
    saga_id = await node.start()
    await node.ends(saga_id, SagaStatus.STUCK)
    assert (await rig.stored(saga_id)).row.failure_reason == "STALE_EPOCH"
    assert rig.world.keys() == ["reserve/action", "charge/action", "charge/action"]
    await rig.check_explained(saga_id)
    await until(lambda: not any(node.held().values()), f"{node.held()}")


async def test_a_service_that_meets_a_defect_begins_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    node = await rig.node()
    for name in ("positions", "look", "renew"):
        failed = asyncio.Event()

        async def fail(*_args: Any, failed: asyncio.Event = failed) -> Any:
            failed.set()
            raise RuntimeError("a defect")

        with monkeypatch.context() as patched:
            patched.setattr(node.store, name, fail, raising=False)
            watch = node.engine._watches.open(node.node_id)  # no such saga; keeps the watches looking
            await asyncio.wait_for(failed.wait(), 10)
            node.engine._watches.close(node.node_id, watch)
    renewed = node.engine._lease._held_until_s
    await until(lambda: node.engine._lease._held_until_s > renewed)
    rig.world.gates["reserve/action"] = asyncio.Event()
    saga_id = await node.start()
    assert await node.engine.cancel(saga_id, caller="local", request_id="c", timeout_s=10) is None
    await node.ends(saga_id, SagaStatus.COMPENSATED)


async def test_sagas_that_may_be_killing_their_nodes_are_claimed_one_by_one(rig: Rig) -> None:
    saga_ids = await _orphans(rig, 2)
    await rig.db.execute("UPDATE saga SET stale_claims = 2")
    together: list[int] = []

    node = await rig.prepare(probation_s=20.0)
    real = node.store._store.claim

    async def claim(*args: Any, **more: Any) -> Any:
        claimed = await real(*args, **more)
        if claimed:
            assert more["suspects"]
            together.append(len(claimed))
        return claimed

    node.store._store.claim = claim  # type: ignore[method-assign]  # counts
    await node.engine.begin()
    for saga_id in saga_ids:
        await node.ends(saga_id)
    assert together == [1, 1]


async def test_a_crash_loop_ends_stuck(rig: Rig) -> None:
    saga_id = await _orphan(rig)
    rig.world.gates["reserve/action"] = asyncio.Event()
    for _ in range(4):
        node = await rig.node(probation_s=0.0)
        await until(lambda: rig.world.running == 1)
        await rig.kill(node)
        await until(lambda: rig.world.running == 0)
    node = await rig.node()
    await node.ends(saga_id, SagaStatus.STUCK)
    assert (await rig.stored(saga_id)).row.failure_reason == "CRASH_LOOP"
    assert rig.world.keys() == ["reserve/action"] * 5
    await rig.check_explained(saga_id)
