"""Tenants: keys that are each one's own, request ids that are the caller's, and what may be seen of it all."""

from uuid import UUID

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import Batch, NewSaga, SagaFilter, Visibility
from tests.integration.storage.sagas import World, checkpoint

ACME, NOBODY = Visibility(("acme",)), Visibility(())
SEEN = [
    (Visibility(), {"none", "acme", "other", "bolt"}),
    (ACME, {"acme", "other"}),
    (Visibility(("bolt", "acme", "bolt")), {"acme", "other", "bolt"}),
    (Visibility(("",)), {"none"}),
    (Visibility(("", "bolt")), {"none", "bolt"}),
    (Visibility((*(f"t{number}" for number in range(40)), "bolt")), {"bolt"}),
    (Visibility(caller="ann"), {"none", "acme", "bolt"}),
    (Visibility(("acme",), "bob"), {"other"}),
    (Visibility(("nobody",)), set()),
    (NOBODY, set()),
]


async def four(world: World) -> dict[str, NewSaga]:
    """Ann's in three tenants, and one of Bob's. All have the same concurrency key, as far as they can."""
    sagas = {
        "none": world.new("r-1", key="cart", caller="ann"),
        "acme": world.new("r-2", key="cart", caller="ann", tenant="acme"),
        "other": world.new("r-1", key="basket", caller="bob", tenant="acme"),
        "bolt": world.new("r-3", key="cart", caller="ann", tenant="bolt"),
    }
    node = await world.node()
    assert len(await world.store.commit(node, Batch(new=tuple(sagas.values())))) == len(sagas)
    return sagas


async def listed(world: World, where: SagaFilter, *, limit: int = 100, before: UUID | None = None) -> list[UUID]:
    return [saga.saga_id for saga in await world.store.list_sagas(where, limit=limit, before=before)]


async def test_each_tenant_has_its_own_keys(world: World) -> None:
    sagas = await four(world)
    node = world.nodes[0]
    for tenant, name in (("", "none"), ("acme", "acme"), ("bolt", "bolt")):
        assert await world.store.find_live_key(tenant, "place-order", "cart") == sagas[name].saga_id
    assert await world.store.find_live_key("nobody", "place-order", "cart") is None
    second = world.new(key="cart", tenant="acme")
    assert await world.store.commit(node, Batch(new=(second,))) == frozenset()
    ended = checkpoint(sagas["acme"], 2, SagaStatus.COMPLETED)
    assert await world.store.commit(node, Batch(checkpoints=(ended,)))
    assert await world.store.commit(node, Batch(new=(second,))) == {second.saga_id}
    assert await world.store.find_live_key("acme", "place-order", "cart") == second.saga_id
    assert await world.store.find_live_key("bolt", "place-order", "cart") == sagas["bolt"].saga_id


async def test_a_request_id_is_its_callers_whatever_the_tenant(world: World) -> None:
    sagas = await four(world)
    moved = world.new("r-2", caller="ann", tenant="bolt")
    assert await world.store.commit(world.nodes[0], Batch(new=(moved,))) == frozenset()
    found = await world.store.find_request("ann", "r-2")
    assert found is not None
    assert (found.saga_id, found.tenant) == (sagas["acme"].saga_id, "acme")


async def test_the_tenant_is_stored_and_read_back(world: World) -> None:
    sagas = await four(world)
    loaded = await world.store.load([saga.saga_id for saga in sagas.values()])
    assert {saga.saga_id: saga.tenant for saga in loaded} == {saga.saga_id: saga.tenant for saga in sagas.values()}


@pytest.mark.parametrize(("visibility", "names"), SEEN)
async def test_only_what_may_be_seen_is_listed(world: World, visibility: Visibility, names: set[str]) -> None:
    sagas = await four(world)
    expected = [saga.saga_id for name, saga in sagas.items() if name in names]
    assert await listed(world, SagaFilter(visibility=visibility)) == expected[::-1]
    assert await listed(world, SagaFilter(states=(SagaStatus.RUNNING,), visibility=visibility)) == expected[::-1]
    pages: list[UUID] = []
    while page := await listed(world, SagaFilter(visibility=visibility), limit=1, before=pages[-1] if pages else None):
        pages += page
    assert pages == expected[::-1]
    everything = [saga.saga_id for saga in sagas.values()]
    assert await world.store.visible([*everything, world.new().saga_id], visibility) == frozenset(expected)
    assert await world.store.visible([], visibility) == frozenset()


async def test_a_filter_finds_nothing_of_another_tenants(world: World) -> None:
    sagas = await four(world)
    assert await listed(world, SagaFilter(concurrency_key="cart", visibility=ACME)) == [sagas["acme"].saga_id]
    assert await listed(world, SagaFilter(definition="place-order", version=1, visibility=NOBODY)) == []


async def test_a_tenant_with_a_nul_character_is_refused(world: World) -> None:
    node = await world.node()
    with pytest.raises(ValueError, match="NUL"):
        await world.store.commit(node, Batch(new=(world.new(tenant="a\0b"),)))
