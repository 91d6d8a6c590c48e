"""Requests from elsewhere: stored once, consumed once, answered by the journal."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import MAX_REQUESTS_PER_SAGA, RequestReused, SagaEnded, TooManyRequests
from orchestrator.engine.stored import Batch, SagaRequest
from orchestrator.operations.values import AuditAction, SagaAction
from tests.integration.storage.sagas import World, checkpoint

CONSUMED = 15


async def test_a_request_is_stored_once_for_its_id(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    numbers = await asyncio.gather(*(world.store.add_request(saga.saga_id, "local", "c-1", "cancel") for _ in range(8)))
    assert len(set(numbers)) == 1
    other = await world.store.add_request(saga.saga_id, "someone", "c-1", "cancel")
    assert other > numbers[0]
    waiting = await world.store.pending_requests(node)
    assert waiting == [SagaRequest(numbers[0], saga.saga_id, "cancel"), SagaRequest(other, saga.saga_id, "cancel")]
    assert (await world.store.look(node, [])).requests == tuple(waiting)
    assert (await world.store.look(uuid4(), [])).requests == ()
    assert await world.store.pending_requests(uuid4()) == []


async def test_what_an_operator_asks_reaches_the_owner_whole(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    skip = SagaAction(saga.saga_id, AuditAction.SKIP_STEP, "ann", "o-1", "by hand", 1, "reserve", b"\x00\xff")
    pause = SagaAction(saga.saga_id, AuditAction.PAUSE, "ann", "o-2", "", 0)
    numbers = [await world.store.add_action(each) for each in (skip, pause, skip)]
    assert numbers[0] == numbers[2], "repeating it asks only once"
    waiting = (
        SagaRequest(numbers[0], saga.saga_id, "skip_step", 1, "ann", "by hand", "reserve", b"\x00\xff"),
        SagaRequest(numbers[1], saga.saga_id, "pause", 0, "ann", "", None, None),
    )
    assert tuple(await world.store.pending_requests(node)) == waiting
    assert (await world.store.look(node, [])).requests == waiting
    with pytest.raises(RequestReused):
        await world.store.add_action(replace(skip, action=AuditAction.RETRY))
    with pytest.raises(KeyError):
        await world.store.add_action(replace(skip, saga_id=uuid4(), request_id="o-3"))
    item = checkpoint(saga, 2, SagaStatus.COMPLETED, kind=CONSUMED, consumed=(numbers[0],))
    assert await world.store.commit(node, Batch(checkpoints=(item,))) == {saga.saga_id}
    assert await world.store.request_outcome(saga.saga_id, numbers[0]) is not None
    with pytest.raises(SagaEnded):
        await world.store.add_action(replace(skip, request_id="o-4"))


async def test_a_stuck_saga_is_claimed_for_what_an_operator_asks(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2, SagaStatus.STUCK),)))
    assert await world.claim(node) == set()
    await world.store.add_action(SagaAction(saga.saga_id, AuditAction.RETRY, "ann", "o-1", "mended", 2))
    assert (await world.store.look(node, [world.definition_id])).is_claimable
    assert await world.claim(node) == {saga.saga_id}
    assert [request.kind for request in await world.store.pending_requests(node)] == ["retry"]


async def test_a_request_id_is_not_used_for_two_things(world: World) -> None:
    node = await world.node()
    first, second = await world.start(node, 2)
    await world.store.add_request(first.saga_id, "local", "c-1", "cancel")
    with pytest.raises(RequestReused):
        await world.store.add_request(second.saga_id, "local", "c-1", "cancel")
    with pytest.raises(RequestReused):
        await world.store.add_request(first.saga_id, "local", "c-1", "retry")


async def test_a_request_to_an_unknown_saga_is_refused(world: World) -> None:
    with pytest.raises(KeyError):
        await world.store.add_request(uuid4(), "local", "c-1", "cancel")


async def test_a_saga_takes_a_bounded_number_of_requests(world: World) -> None:
    node = await world.node()
    saga, other = await world.start(node, 2)
    ids = [f"c-{number}" for number in range(MAX_REQUESTS_PER_SAGA)]
    numbers = [await world.store.add_request(saga.saga_id, "local", each, "cancel") for each in ids]
    item = checkpoint(saga, 2, kind=CONSUMED, consumed=(numbers[0],))
    assert await world.store.commit(node, Batch(checkpoints=(item,))) == {saga.saga_id}
    for caller in ("local", "someone"):
        with pytest.raises(TooManyRequests):
            await world.store.add_request(saga.saga_id, caller, "one more", "cancel")
    assert [await world.store.add_request(saga.saga_id, "local", each, "cancel") for each in ids] == numbers
    assert await world.store.add_request(other.saga_id, "local", "one more", "cancel")
    assert len(await world.store.pending_requests(node)) == MAX_REQUESTS_PER_SAGA


async def test_a_request_is_consumed_with_the_entry_that_answers_it(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    first = await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    second = await world.store.add_request(saga.saga_id, "local", "c-2", "cancel")
    assert await world.store.request_outcome(saga.saga_id, first) is None
    item = checkpoint(saga, 3, count=2, kind=CONSUMED, consumed=(second, first))
    assert await world.store.commit(node, Batch(checkpoints=(item,))) == {saga.saga_id}
    for number, seq in ((second, 2), (first, 3)):
        outcome = await world.store.request_outcome(saga.saga_id, number)
        assert outcome is not None
        assert (outcome.seq, outcome.kind) == (seq, CONSUMED)
    assert await world.store.pending_requests(node) == []
    assert await world.store.request_outcome(uuid4(), first) is None


async def test_a_refused_checkpoint_consumes_nothing(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    number = await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    item = checkpoint(saga, 3, kind=CONSUMED, consumed=(number,))
    assert await world.store.commit(node, Batch(checkpoints=(item,))) == frozenset()
    assert len(await world.store.pending_requests(node)) == 1


async def test_a_request_of_another_saga_is_not_consumed(world: World) -> None:
    node = await world.node()
    mine, other = await world.start(node, 2)
    number = await world.store.add_request(other.saga_id, "local", "c-1", "cancel")
    item = checkpoint(mine, 2, kind=CONSUMED, consumed=(number,))
    assert await world.store.commit(node, Batch(checkpoints=(item,))) == {mine.saga_id}
    assert await world.store.request_outcome(other.saga_id, number) is None


async def test_a_request_that_an_ended_saga_never_took_waits_for_nobody(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2, SagaStatus.COMPLETED),)))
    assert await world.store.pending_requests(node) == []
    assert not (await world.store.look(node, [world.definition_id])).is_claimable
    assert await world.claim(node) == set()
    (live,) = await world.start(node)
    kept = await world.store.add_request(live.saga_id, "local", "c-2", "cancel")
    assert await world.store.forget_requests() == 1
    assert [request.number for request in await world.store.pending_requests(node)] == [kept]


async def test_a_request_to_an_ended_saga_is_not_stored(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    answered = await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    item = checkpoint(saga, 2, SagaStatus.COMPLETED, kind=CONSUMED, consumed=(answered,))
    await world.store.commit(node, Batch(checkpoints=(item,)))
    assert await world.store.add_request(saga.saga_id, "local", "c-1", "cancel") == answered, "it was answered in time"
    with pytest.raises(SagaEnded):
        await world.store.add_request(saga.saga_id, "local", "c-2", "cancel")
    assert await world.store.forget_requests() == 0
