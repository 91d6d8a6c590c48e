"""NOTIFY: who is woken by what, and what happens when the listener's connection is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any
from uuid import UUID

from orchestrator.engine.stored import Batch, NewSaga
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.integration.storage.sagas import World, checkpoint
from tests.integration.storage.test_store_connections import KILL

PAST_US = 1_000_000_000_000_000


@asynccontextmanager
async def listening(store: PostgresStore, node: UUID) -> AsyncIterator[Any]:
    """The node's hints, once it listens: both are yielded at the beginning."""
    async with aclosing(store.listen(node)) as hints:
        assert {await next_hint(hints), await next_hint(hints)} == {"claimable", "request"}
        yield hints


async def next_hint(hints: AsyncIterator[str]) -> str:
    async with asyncio.timeout(10):
        return await anext(hints)


async def test_a_release_wakes_others_only_if_asked_and_written(world: World) -> None:
    node = await world.node()
    quiet, loud, refused = await world.start(node, 3)

    async def release(saga: NewSaga, *, seq: int = 2, notify: bool = True) -> None:
        item = checkpoint(saga, seq, release=True, wake_at_us=PAST_US)
        await world.store.commit(node, Batch(checkpoints=(item,), notify_claimable=notify))

    async with listening(world.store, node) as hints:
        await release(quiet, notify=False)
        await release(refused, seq=9)
        # Had these notified, their hint would come first.
        await world.store.add_request(refused.saga_id, "local", "c-1", "cancel")
        assert await next_hint(hints) == "request"
        await release(loud)
        assert await next_hint(hints) == "claimable"


async def test_a_request_wakes_the_owner_alone_and_everyone_for_an_unowned_saga(world: World) -> None:
    owner, other = await world.node(), await world.node()
    owned, free = await world.start(owner, 2)
    await world.release(owner, free, None)
    async with listening(world.store, owner) as owners, listening(world.store, other) as others:
        await world.store.add_request(owned.saga_id, "local", "c-1", "cancel")
        assert await next_hint(owners) == "request"
        await world.store.add_request(free.saga_id, "local", "c-2", "cancel")
        assert await next_hint(owners) == await next_hint(others) == "claimable"


async def test_a_node_that_leaves_wakes_the_others(world: World) -> None:
    leaving, staying = await world.node(), await world.node()
    await world.start(leaving)
    async with listening(world.store, staying) as hints:
        await world.store.release_node(leaving)
        assert await next_hint(hints) == "claimable"


async def test_a_lost_listener_connects_again_and_yields_both(world: World) -> None:
    node = await world.node()
    async with listening(world.store, node) as hints:
        for _ in range(2):
            await world.db.execute(KILL, "orchestrator listener")
            assert {await next_hint(hints), await next_hint(hints)} == {"claimable", "request"}


async def test_a_listener_proves_that_its_connection_lives(world: World) -> None:
    node = await world.node()
    async with PostgresStore(StorageSettings(world.url, listen_ping_s=0.01)) as store, listening(store, node) as hints:
        waiting = asyncio.ensure_future(next_hint(hints))
        query = "SELECT query FROM pg_stat_activity WHERE application_name = 'orchestrator listener'"
        async with asyncio.timeout(10):
            while await world.db.fetchval(query) != "SELECT 1":
                await asyncio.wait([waiting], timeout=0.01)
        await world.store.release_node(node)
        assert await waiting == "claimable"
