"""Leases, fences, and what a batch in flight means to them."""

import asyncio
from uuid import uuid4

import pytest

from orchestrator.engine.ports import NodeFenced, StoreUnavailable
from orchestrator.engine.stored import Batch
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.fixtures.postgres import connect
from tests.integration.storage.sagas import LEASE_S, World, checkpoint


async def test_a_lease_runs_by_the_clock_of_the_database(world: World) -> None:
    node = await world.node()
    now_us = await world.store.renew(node, 7.5)
    micros = "SELECT (extract(epoch FROM {}) * 1000000)::bigint FROM node"
    expires = await world.db.fetchval(micros.format("lease_expires_at"))
    clock = await world.db.fetchval(micros.format("clock_timestamp()"))
    assert expires == now_us + 7_500_000
    assert now_us <= clock < now_us + 5_000_000


async def test_a_renewal_waits_for_no_batch(world: World) -> None:
    node = await world.node()
    blocker = await connect(world.url)
    (saga,) = await world.start(node)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR UPDATE", saga.saga_id)
        batch = asyncio.create_task(world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2),))))
        await world.waits_for_lock("writer")
        await world.store.renew(node, LEASE_S)
        assert not batch.done()
    assert await batch == {saga.saga_id}
    await blocker.close()


async def test_a_fencer_waits_for_the_batch_in_flight_and_a_renewal_meanwhile_saves_the_node(world: World) -> None:
    slow, survivor = await world.node(), await world.node()
    (saga,) = await world.start(slow)
    blocker = await connect(world.url)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR UPDATE", saga.saga_id)
        batch = asyncio.create_task(world.store.commit(slow, Batch(checkpoints=(checkpoint(saga, 2),))))
        await world.waits_for_lock("writer")
        await world.lapse(slow)
        fencing = asyncio.create_task(world.store.fence_expired(survivor))
        await world.waits_for_lock("pool")
        await world.store.renew(slow, LEASE_S)
    assert await batch == {saga.saga_id}
    assert await fencing == []
    await world.start(slow)
    await blocker.close()


async def test_a_batch_in_flight_lands_before_the_fence_and_the_claim_sees_it(world: World) -> None:
    slow, survivor = await world.node(), await world.node()
    (saga,) = await world.start(slow)
    blocker = await connect(world.url)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR UPDATE", saga.saga_id)
        batch = asyncio.create_task(
            world.store.commit(slow, Batch(checkpoints=(checkpoint(saga, 2),), new=(world.new(),)))
        )
        await world.waits_for_lock("writer")
        await world.lapse(slow)
        fencing = asyncio.create_task(world.store.fence_expired(survivor))
        await world.waits_for_lock("pool")
    assert len(await batch) == 2
    assert await fencing == [slow]
    assert len(await world.claim(survivor, slow)) == 2
    assert await world.seqs(saga) == [1, 2, 3]
    await blocker.close()


async def test_a_batch_that_comes_while_the_fencer_holds_the_row_is_refused(world: World) -> None:
    late = await world.node()
    (saga,) = await world.start(late)
    fencer = await connect(world.url)
    async with fencer.transaction():
        await fencer.execute("SELECT FROM node_fence WHERE node_id = $1 FOR UPDATE", late)
        batch = asyncio.create_task(
            world.store.commit(late, Batch(checkpoints=(checkpoint(saga, 2),), new=(world.new(),)))
        )
        await world.waits_for_lock("writer")
        await fencer.execute("UPDATE node_fence SET fenced_at = clock_timestamp() WHERE node_id = $1", late)
    with pytest.raises(NodeFenced):
        await batch
    assert await world.db.fetchval("SELECT count(*) FROM saga_event") == 1
    await fencer.close()


async def test_a_fencer_gives_up_on_one_node_and_fences_the_others(world: World) -> None:
    held, dead, survivor = sorted([await world.node() for _ in range(3)])
    await world.start(held)
    await world.start(dead)
    await world.lapse(held)
    await world.lapse(dead)
    blocker = await connect(world.url)
    impatient = StorageSettings(world.url, lock_timeout_s=0.05)
    async with PostgresStore(impatient) as store, blocker.transaction():
        await blocker.execute("SELECT FROM node_fence WHERE node_id = $1 FOR KEY SHARE", held)
        assert await store.fence_expired(survivor) == [dead]
        with pytest.raises(StoreUnavailable):
            await store.release_node(held)
    await blocker.close()
    assert set(await world.store.fence_expired(survivor)) == {held, dead}


async def test_releasing_waits_for_the_batch_in_flight_and_releases_what_it_added(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    blocker = await connect(world.url)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR UPDATE", saga.saga_id)
        batch = asyncio.create_task(
            world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2),), new=(world.new(),)))
        )
        await world.waits_for_lock("writer")
        releasing = asyncio.create_task(world.store.release_node(node))
        await world.waits_for_lock("pool")
    assert len(await batch) == 2
    assert await releasing == 2
    await blocker.close()


async def test_old_fences_are_forgotten_unless_they_own_sagas(world: World) -> None:
    owner, old, recent = [await world.node() for _ in range(3)]
    await world.start(owner)
    for node in (owner, old, recent):
        await world.lapse(node)
    await world.store.fence_expired(uuid4())
    await world.db.execute(
        "UPDATE node_fence SET fenced_at = fenced_at - interval '2 days' WHERE node_id <> $1", recent
    )
    fresh = await world.node()
    left = {row["node_id"] for row in await world.db.fetch("SELECT node_id FROM node_fence")}
    assert left == {owner, recent, fresh}
