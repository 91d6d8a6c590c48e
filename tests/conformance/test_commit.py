"""Group commit: what a batch writes, and what each guard refuses."""

from dataclasses import replace

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import NodeFenced
from orchestrator.engine.stored import Batch, Position, RowState
from tests.integration.storage.sagas import NOW_US, World, checkpoint, row


async def test_a_batch_stores_rows_and_journals_to_the_microsecond(world: World) -> None:
    node = await world.node()
    saga = world.new("r-1", key="cart-7")
    assert await world.store.commit(node, Batch(new=(saga,))) == {saga.saga_id}
    assert await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 3, count=2),))) == {saga.saga_id}

    (stored,) = await world.store.load([saga.saga_id])
    assert (stored.definition, stored.version, stored.digest) == ("place-order", 1, b"digest")
    assert (stored.caller, stored.request_id, stored.request_hash) == ("local", "r-1", b"h" * 32)
    assert (stored.concurrency_key, stored.input, stored.owner) == ("cart-7", b"input", node)
    assert (stored.epoch, stored.last_seq, stored.row) == (1, 3, row())
    assert (stored.wake_at_us, stored.ended_us, stored.definition_loaded) == (None, None, True)
    assert stored.created_us < stored.updated_us
    assert [(e.seq, e.kind, e.attributes, e.at_us, e.epoch) for e in stored.journal] == [
        (1, 1, b"details", NOW_US + 1, 1),
        (2, 4, b"details", NOW_US + 2, 1),
        (3, 4, b"details", NOW_US + 3, 1),
    ]


async def test_each_guard_refuses_its_own_saga_and_nothing_else(world: World) -> None:
    node, other = await world.node(), await world.node()
    good, old_epoch, gap, repeat, unknown = [*await world.start(node, 4), world.new()]
    (foreign,) = await world.start(other)
    batch = Batch(
        checkpoints=(
            checkpoint(old_epoch, 2, epoch=2),
            checkpoint(gap, 3),
            checkpoint(good, 2),
            checkpoint(repeat, 1),
            checkpoint(unknown, 2),
            checkpoint(foreign, 2),
        )
    )
    assert await world.store.commit(node, batch) == {good.saga_id}
    assert await world.seqs(good) == [1, 2]
    for refused in (old_epoch, gap, repeat, foreign):
        assert await world.seqs(refused) == [1]
    assert await world.seqs(unknown) == []


async def test_the_same_batch_again_changes_nothing(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    batch = Batch(new=(world.new(),), checkpoints=(checkpoint(saga, 2),))
    assert len(await world.store.commit(node, batch)) == 2
    assert await world.store.commit(node, batch) == frozenset()
    positions = await world.store.positions([saga.saga_id, batch.new[0].saga_id])
    assert positions == {
        saga.saga_id: Position(node, 1, 2, SagaStatus.RUNNING),
        batch.new[0].saga_id: Position(node, 1, 1, SagaStatus.RUNNING),
    }


async def test_a_request_id_starts_one_saga_within_a_batch_and_across_nodes(world: World) -> None:
    node, other = await world.node(), await world.node()
    first, second, apart = world.new("r-1"), world.new("r-1"), world.new("r-2")
    written = await world.store.commit(node, Batch(new=(first, second, apart)))
    assert written == {first.saga_id, apart.saga_id}
    assert await world.store.commit(other, Batch(new=(world.new("r-1"),))) == frozenset()
    found = await world.store.find_request("local", "r-1")
    assert found is not None
    assert found.saga_id == first.saga_id
    assert await world.store.find_request("someone", "r-1") is None
    assert await world.seqs(second) == []


async def test_a_concurrency_key_is_held_by_one_live_saga_of_all_versions(world: World) -> None:
    ids = await world.store.register_definitions([("place-order", 2, b"v2"), ("refund", 1, b"r")])
    node = await world.node()
    first, second = world.new(key="cart"), world.new(key="cart")
    newer, unrelated = (world.new(key="cart", definition_id=number) for number in ids.values())
    batch = Batch(new=(first, second, newer, unrelated))
    assert await world.store.commit(node, batch) == {first.saga_id, unrelated.saga_id}
    assert await world.store.find_live_key("", "place-order", "cart") == first.saga_id
    stuck = checkpoint(first, 2, SagaStatus.STUCK)
    assert await world.store.commit(node, Batch(checkpoints=(stuck,)))
    assert await world.store.commit(node, Batch(new=(world.new(key="cart"),))) == frozenset()
    ended = checkpoint(unrelated, 2, SagaStatus.COMPLETED)
    assert await world.store.commit(node, Batch(checkpoints=(ended,)))
    assert await world.store.find_live_key("", "refund", "cart") is None
    again = world.new(key="cart", definition_id=ids["refund", 1])
    assert await world.store.commit(node, Batch(new=(again,))) == {again.saga_id}


@pytest.mark.parametrize("status", [SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.STUCK])
async def test_a_saga_that_ends_or_sticks_is_let_go(world: World, status: SagaStatus) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    assert await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2, status, wake_at_us=NOW_US),)))
    stored = await world.saga(saga)
    assert (stored["owner"], stored["wake_at"]) == (None, None)
    assert (stored["ended_at"] is None) == (status is SagaStatus.STUCK)
    assert await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 3),))) == frozenset()


async def test_a_release_may_come_without_entries(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    before = await world.saga(saga)
    wrong_seq = checkpoint(saga, 2, count=0, release=True, wake_at_us=NOW_US)
    assert await world.store.commit(node, Batch(checkpoints=(wrong_seq,))) == frozenset()
    item = checkpoint(saga, 1, count=0, release=True, wake_at_us=NOW_US)
    assert await world.store.commit(node, Batch(checkpoints=(item,))) == {saga.saga_id}
    (stored,) = await world.store.load([saga.saga_id])
    assert (stored.owner, stored.wake_at_us, stored.last_seq) == (None, NOW_US, 1)
    assert (await world.saga(saga))["updated_at"] == before["updated_at"]


async def test_a_node_without_a_fence_row_writes_nothing(world: World) -> None:
    node = await world.node()
    await world.store.release_node(node)
    saga = world.new()
    with pytest.raises(NodeFenced):
        await world.store.commit(node, Batch(new=(saga,)))
    with pytest.raises(NodeFenced):
        await world.store.commit(saga.saga_id, Batch(new=(saga,)))
    assert await world.store.positions([saga.saga_id]) == {}


async def test_a_malformed_batch_is_refused_before_it_is_sent(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    item = checkpoint(saga, 2)
    with pytest.raises(ValueError, match="at most one item"):
        await world.store.commit(node, Batch(checkpoints=(item, item)))
    with pytest.raises(ValueError, match="NUL"):
        await world.store.commit(node, Batch(new=(world.new("r\0"),)))
    with pytest.raises(ValueError, match="REQUEST_CONSUMED"):
        await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2, consumed=(1,)),)))
    assert await world.seqs(saga) == [1]


async def test_a_message_with_a_nul_character_does_not_fail_the_batch(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    odd = RowState(SagaStatus.RUNNING, NOW_US, "charge", 9, "DECLINED", "no\0way", "held")
    assert await world.store.commit(node, Batch(checkpoints=(replace(checkpoint(saga, 2), row=odd),)))
    (stored,) = await world.store.load([saga.saga_id])
    assert stored.row == RowState(SagaStatus.RUNNING, NOW_US, "charge", 9, "DECLINED", "no\ufffdway", "held")
