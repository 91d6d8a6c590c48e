"""Leases and fences."""

from uuid import uuid4

import pytest

from orchestrator.engine.ports import NodeFenced
from orchestrator.engine.stored import Batch
from tests.integration.storage.sagas import LEASE_S, World, checkpoint


async def test_registering_may_be_repeated_but_not_after_the_fence(world: World) -> None:
    node = await world.node()
    first = await world.store.register_node(node, "node", [world.definition_id], LEASE_S)
    assert first <= await world.store.register_node(node, "node", [world.definition_id], LEASE_S)
    await world.store.release_node(node)
    with pytest.raises(NodeFenced):
        await world.store.register_node(node, "node", [world.definition_id], LEASE_S)


async def test_a_lease_no_longer_than_a_statement_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="lease_ttl_s"):
        await world.store.register_node(uuid4(), "node", [], 3.0)


async def test_only_lapsed_nodes_are_fenced_and_named_while_they_own_sagas(world: World) -> None:
    alive, dead, idle, asking = [await world.node() for _ in range(4)]
    await world.start(alive)
    (saga,) = await world.start(dead)
    assert not (await world.store.look(asking, [])).has_died
    await world.lapse(dead)
    await world.lapse(idle)
    await world.lapse(asking)
    assert (await world.store.look(asking, [])).has_died, "leases have lapsed"
    assert await world.store.fence_expired(asking) == [dead]
    assert await world.store.fence_expired(asking) == [dead]
    assert (await world.store.look(asking, [])).has_died, "its sagas are left"
    await world.claim(alive, dead)
    assert await world.store.fence_expired(asking) == []
    assert not (await world.store.look(asking, [])).has_died
    for fenced in (dead, idle):
        with pytest.raises(NodeFenced):
            await world.store.commit(fenced, Batch())
    assert (await world.saga(saga))["owner"] == alive


async def test_a_zombie_writes_renews_and_claims_nothing(world: World) -> None:
    zombie, survivor = await world.node(), await world.node()
    (saga,) = await world.start(zombie)
    await world.lapse(zombie)
    await world.store.fence_expired(survivor)
    with pytest.raises(NodeFenced):
        await world.store.commit(zombie, Batch(checkpoints=(checkpoint(saga, 2),)))
    with pytest.raises(NodeFenced):
        await world.store.renew(zombie, LEASE_S)
    with pytest.raises(NodeFenced):
        await world.claim(zombie)
    assert await world.seqs(saga) == [1]


async def test_a_renewal_wins_over_a_fencer_that_comes_after_it(world: World) -> None:
    late, other = await world.node(), await world.node()
    await world.lapse(late)
    await world.store.renew(late, LEASE_S)
    await world.store.fence_expired(other)
    await world.start(late)


async def test_releasing_a_node_sets_its_sagas_free_at_once(world: World) -> None:
    leaving, staying = await world.node(), await world.node()
    sagas = await world.start(leaving, 3)
    assert await world.store.release_node(leaving) == 3
    assert await world.store.release_node(leaving) == 0
    assert await world.store.owned(leaving) == []
    assert (await world.store.look(staying, [world.definition_id])).is_claimable
    assert await world.claim(staying) == {saga.saga_id for saga in sagas}
    (stored,) = await world.store.load([sagas[0].saga_id])
    assert stored.journal[-1].attributes == b"released"
    assert (await world.saga(sagas[0]))["stale_claims"] == 0
