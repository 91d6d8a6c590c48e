"""Lists and journals, page by page."""

from uuid import UUID

from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import Batch, SagaFilter
from tests.integration.storage.sagas import World, checkpoint


async def listed(world: World, where: SagaFilter, *, limit: int = 100, before: UUID | None = None) -> list[UUID]:
    return [saga.saga_id for saga in await world.store.list_sagas(where, limit=limit, before=before)]


async def test_pages_run_from_the_newest_to_the_oldest(world: World) -> None:
    node = await world.node()
    ids = [saga.saga_id for saga in await world.start(node, 5)]
    first = await listed(world, SagaFilter(), limit=2)
    second = await listed(world, SagaFilter(), limit=2, before=first[-1])
    third = await listed(world, SagaFilter(), limit=2, before=second[-1])
    assert first + second + third == ids[::-1]


async def test_all_filters_must_match(world: World) -> None:
    ids = await world.store.register_definitions([("place-order", 2, b"v2"), ("refund", 1, b"r")])
    node = await world.node()
    v1, keyed = world.new(), world.new(key="cart")
    v2, refund = (world.new(definition_id=number) for number in ids.values())
    await world.store.commit(node, Batch(new=(v1, keyed, v2, refund)))
    items = (checkpoint(v1, 2, SagaStatus.COMPLETED), checkpoint(v2, 2, SagaStatus.STUCK))
    await world.store.commit(node, Batch(checkpoints=items))

    assert await listed(world, SagaFilter(definition="place-order")) == [v2.saga_id, keyed.saga_id, v1.saga_id]
    assert await listed(world, SagaFilter(definition="place-order", version=1)) == [keyed.saga_id, v1.saga_id]
    assert await listed(world, SagaFilter(states=(SagaStatus.STUCK,))) == [v2.saga_id]
    assert await listed(world, SagaFilter(states=(SagaStatus.STUCK, SagaStatus.COMPLETED))) == [v2.saga_id, v1.saga_id]
    assert await listed(world, SagaFilter(states=(SagaStatus.COMPENSATED,))) == []
    assert await listed(world, SagaFilter(concurrency_key="cart")) == [keyed.saga_id]
    assert await listed(world, SagaFilter(definition="nothing")) == []


async def test_the_range_of_creation_includes_its_beginning_alone(world: World) -> None:
    node = await world.node()
    (older,), (newer,) = await world.start(node), await world.start(node)
    (newest,) = await world.store.list_sagas(SagaFilter(), limit=1, before=None)
    at_us = newest.created_us
    assert await listed(world, SagaFilter(created_from_us=at_us)) == [newer.saga_id]
    assert await listed(world, SagaFilter(created_to_us=at_us)) == [older.saga_id]


async def test_a_journal_is_read_in_parts(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 5, count=4),)))
    part = await world.store.list_entries(saga.saga_id, after_seq=1, limit=2)
    assert [entry.seq for entry in part] == [2, 3]
    assert [entry.seq for entry in await world.store.list_entries(saga.saga_id, after_seq=3, limit=9)] == [4, 5]


async def test_loading_leaves_out_what_is_not_there(world: World) -> None:
    node = await world.node()
    sagas = await world.start(node, 3)
    loaded = await world.store.load([sagas[0].saga_id, world.new().saga_id, sagas[2].saga_id])
    assert {saga.saga_id: len(saga.journal) for saga in loaded} == {sagas[0].saga_id: 1, sagas[2].saga_id: 1}
    assert await world.store.load([]) == []
