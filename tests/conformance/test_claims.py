"""Claims: who gets what, once."""

import asyncio
from uuid import UUID

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import NodeFenced
from orchestrator.engine.stored import Batch, MissingDefinition
from tests.integration.storage.sagas import World, checkpoint, fence

LATER_US = 4_000_000_000_000_000
PAST_US = 1_000_000_000_000_000
INCARNATION = 1 << 32


async def test_a_claim_from_a_dead_node_raises_the_epoch_and_takes_a_seq(world: World) -> None:
    dead, survivor = await world.node(), await world.node()
    (saga,) = await world.start(dead)
    assert await world.claim(survivor, dead) == set(), "not fenced yet"
    await fence(world, dead)
    assert await world.claim(survivor, dead) == {saga.saga_id}
    (stored,) = await world.store.load([saga.saga_id])
    assert (stored.owner, stored.epoch, stored.last_seq) == (survivor, 2, 2)
    claimed = stored.journal[-1]
    assert (claimed.seq, claimed.kind, claimed.epoch, claimed.attributes) == (2, 2, 2, b"crashed")
    assert stored.created_us < claimed.at_us == stored.updated_us
    assert (await world.saga(saga))["stale_claims"] == 1
    assert await world.store.owned(survivor) == [saga.saga_id]
    assert await world.store.commit(survivor, Batch(checkpoints=(checkpoint(saga, 3),))) == frozenset()
    assert await world.store.commit(survivor, Batch(checkpoints=(checkpoint(saga, 3, epoch=2),))) == {saga.saga_id}
    assert (await world.saga(saga))["stale_claims"] == 0


async def test_a_released_saga_is_claimed_when_it_is_due(world: World) -> None:
    node, other = await world.node(), await world.node()
    due, later, never = await world.start(node, 3)
    await world.release(node, due, PAST_US)
    await world.release(node, later, LATER_US)
    await world.release(node, never, None)
    assert (await world.store.look(other, [world.definition_id])).is_claimable
    assert not (await world.store.look(other, [world.definition_id + 1])).is_claimable
    assert await world.claim(other, definition_ids=[world.definition_id + 1]) == set()
    assert await world.claim(other) == {due.saga_id}
    assert not (await world.store.look(other, [world.definition_id])).is_claimable
    row = await world.saga(due)
    assert (row["wake_at"], row["stale_claims"], row["epoch"]) == (None, 0, 2)


async def test_the_longest_due_come_first_across_definitions(world: World) -> None:
    ids = await world.store.register_definitions([("refund", 1, b"r")])
    both = [world.definition_id, ids["refund", 1]]
    node = await world.node(both)
    sagas = [world.new(definition_id=both[number % 2]) for number in range(4)]
    await world.store.commit(node, Batch(new=tuple(sagas)))
    for place, saga in enumerate(sagas):
        await world.release(node, saga, PAST_US - place)
    for saga in reversed(sagas):
        assert await world.claim(node, limit=1, definition_ids=both) == {saga.saga_id}


async def test_a_pending_saga_runs_once_claimed(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    await world.release(node, saga, PAST_US)
    await world.make_pending(saga)
    await world.claim(node)
    assert (await world.saga(saga))["state"] == SagaStatus.RUNNING


async def test_two_claimers_never_own_the_same_saga(world: World) -> None:
    dead, one, two = [await world.node() for _ in range(3)]
    sagas = await world.start(dead, 40)
    await fence(world, dead)

    async def take(node: UUID) -> set[UUID]:
        taken: set[UUID] = set()
        while some := await world.claim(node, dead, limit=3):
            taken |= some
        return taken

    first, second = await asyncio.gather(take(one), take(two))
    assert not first & second
    taken = first | second | await take(one)
    assert taken == {saga.saga_id for saga in sagas}
    stored = await world.store.load(sorted(taken))
    assert {(saga.epoch, saga.last_seq, saga.journal[-1].kind) for saga in stored} == {(2, 2, 2)}


async def test_a_saga_that_may_kill_its_nodes_is_claimed_only_as_a_suspect(world: World) -> None:
    first = await world.node()
    (killer,) = await world.start(first)
    for _ in range(2):
        second = await world.node()
        await fence(world, first)
        assert await world.claim(second, first) == {killer.saga_id}
        first = second
    (harmless,) = await world.start(first)
    survivor = await world.node()
    await fence(world, first)
    assert await world.claim(survivor, first) == {harmless.saga_id}
    assert await world.claim(survivor, first, suspects=True) == {killer.saga_id}
    assert (await world.saga(killer))["stale_claims"] == 3


async def test_sagas_of_a_dead_node_that_the_claimer_cannot_run_are_set_free(world: World) -> None:
    dead, lacking, having = await world.node(), await world.node([]), await world.node()
    (saga,) = await world.start(dead)
    await fence(world, dead)
    assert await world.claim(lacking, dead, definition_ids=[]) == set()
    row = await world.saga(saga)
    assert (row["owner"], row["epoch"], row["last_seq"]) == (None, 1, 1)
    assert await world.store.fence_expired(having) == []
    assert await world.claim(having) == {saga.saga_id}


async def test_a_stuck_saga_is_claimed_for_a_request_alone(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    assert await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2, SagaStatus.STUCK),)))
    assert await world.claim(node) == set()
    await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    assert (await world.store.look(node, [world.definition_id])).is_claimable
    assert await world.claim(node) == {saga.saga_id}
    assert (await world.saga(saga))["state"] == SagaStatus.STUCK


async def test_a_stuck_saga_left_by_a_dead_node_is_let_go_once_its_request_is_answered(world: World) -> None:
    dead, survivor = await world.node(), await world.node()
    (saga,) = await world.start(dead)
    await world.store.commit(dead, Batch(checkpoints=(checkpoint(saga, 2, SagaStatus.STUCK),)))
    number = await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    await world.claim(dead)
    await fence(world, dead)
    assert await world.claim(survivor, dead) == {saga.saga_id}, "the request still waits"
    await world.answer(number)
    last = await world.node()
    await fence(world, survivor)
    assert await world.claim(last, survivor) == set()
    assert (await world.saga(saga))["owner"] is None
    assert await world.store.fence_expired(last) == []


async def test_a_raised_incarnation_goes_into_the_next_epochs(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    assert await world.store.incarnation() == 0
    await world.raise_incarnation()
    assert await world.store.incarnation() == 1
    last = await world.node()
    assert await world.claim(last, node) == {saga.saga_id}
    assert (await world.saga(saga))["epoch"] == INCARNATION + 1
    row = await world.saga(saga)
    item = checkpoint(saga, row["last_seq"] + 1, epoch=row["epoch"], release=True, wake_at_us=PAST_US)
    assert await world.store.commit(last, Batch(checkpoints=(item,)))
    await world.claim(last)
    assert (await world.saga(saga))["epoch"] == INCARNATION + 2


async def test_a_raised_incarnation_fences_every_node_from_before(world: World) -> None:
    nodes = [await world.node(), await world.node()]
    (saga,) = await world.start(nodes[0])
    await world.raise_incarnation()
    for node in nodes:
        with pytest.raises(NodeFenced):
            await world.store.renew(node, 5)
        with pytest.raises(NodeFenced):
            await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2),)))
    assert await world.store.fence_expired(await world.node()) == [nodes[0]], "the one that owned a saga"


async def test_live_sagas_that_no_live_node_can_run_are_named(world: World) -> None:
    node = await world.node()
    running, ended = await world.start(node, 2)
    await world.store.commit(node, Batch(checkpoints=(checkpoint(ended, 2, SagaStatus.COMPLETED),)))
    assert await world.store.missing_definitions() == []
    await world.lapse(node)
    assert await world.store.missing_definitions() == [MissingDefinition("place-order", 1, b"digest", 1)]
    (stored,) = await world.store.load([running.saga_id])
    assert not stored.definition_loaded


@pytest.mark.parametrize("suspects", [False, True])
async def test_an_empty_store_has_nothing_to_claim(world: World, suspects: bool) -> None:
    node = await world.node()
    assert await world.claim(node, suspects=suspects) == set()
    assert not (await world.store.look(node, [world.definition_id])).is_claimable
