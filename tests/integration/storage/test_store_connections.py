"""What the engine sees when the database goes away, hangs or stops answering."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import pytest

from orchestrator.engine.ports import StoreUnavailable
from orchestrator.engine.stored import Batch
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.fixtures.postgres import connect
from tests.integration.storage.sagas import LEASE_S, World, checkpoint

KILL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database()
"""


@asynccontextmanager
async def locked(world: World, saga_id: object) -> AsyncIterator[None]:
    """Another transaction holds the saga's row."""
    blocker = await connect(world.url)
    async with blocker.transaction():
        await blocker.execute("SELECT FROM saga WHERE saga_id = $1 FOR UPDATE", saga_id)
        yield
    await blocker.close()


async def test_a_lost_answer_is_unknown_and_the_next_call_connects_again(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    batch = Batch(checkpoints=(checkpoint(saga, 2),))
    async with locked(world, saga.saga_id):
        commit = asyncio.create_task(world.store.commit(node, batch))
        await world.waits_for_lock("writer")
        await world.db.execute(KILL, "orchestrator writer")
        with pytest.raises(StoreUnavailable):
            await commit
    assert await world.store.commit(node, batch) == {saga.saga_id}
    assert await world.seqs(saga) == [1, 2]


async def test_a_batch_that_meets_its_lost_twin_in_flight_writes_once(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    batch = Batch(new=(world.new(),), checkpoints=(checkpoint(saga, 2),))
    async with PostgresStore(StorageSettings(world.url)) as twin:
        async with locked(world, saga.saga_id):
            first = asyncio.create_task(world.store.commit(node, batch))
            await world.waits_for_lock("writer")
            second = asyncio.create_task(twin.commit(node, batch))
            await world.waits_for_lock("writer", 2)
        written = await asyncio.gather(first, second)
    assert sorted(map(len, written)) == [0, 2]
    assert await world.seqs(saga) == [1, 2]


async def test_a_cancelled_caller_does_not_cancel_the_commit(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    async with locked(world, saga.saga_id):
        commit = asyncio.create_task(world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2),))))
        await world.waits_for_lock("writer")
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
    await world.store.commits_ended()
    assert await world.seqs(saga) == [1, 2]


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    settings = StorageSettings(world.url, statement_timeout_s=0.1, lock_timeout_s=0.1)
    async with PostgresStore(settings) as store, locked(world, saga.saga_id):
        with pytest.raises(StoreUnavailable):
            await store.commit(node, Batch(checkpoints=(checkpoint(saga, 2),)))
    assert await world.seqs(saga) == [1]


async def test_a_deadlock_is_written_again(world: World) -> None:
    node = await world.node()
    first, second = await world.start(node, 2)
    rival = await connect(world.url)
    await rival.execute("SET deadlock_timeout = '60s'")  # so that the server picks the batch
    lock = "SELECT FROM saga WHERE saga_id = $1 FOR UPDATE"
    async with rival.transaction():
        await rival.execute(lock, second.saga_id)
        batch = Batch(checkpoints=(checkpoint(first, 2), checkpoint(second, 2)))
        commit = asyncio.create_task(world.store.commit(node, batch))
        await world.waits_for_lock("writer")
        await rival.execute(lock, first.saga_id)
    assert await commit == {first.saga_id, second.saga_id}
    await rival.close()


async def test_a_full_pool_is_unavailable_in_time_and_the_lease_goes_on(world: World) -> None:
    node = await world.node()
    settings = StorageSettings(world.url, pool_size=1, pool_wait_timeout_s=0.05)
    async with PostgresStore(settings) as store, store._connections.pooled("waiting"):
        with pytest.raises(StoreUnavailable):
            await store.incarnation()
        assert await store.renew(node, LEASE_S) > 0
        assert len(await store.commit(node, Batch(new=(world.new(),)))) == 1


async def test_what_the_session_promises(world: World) -> None:
    await world.db.execute(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$"
    )
    settings = "SELECT current_setting($1)"
    async with PostgresStore(StorageSettings(world.url)) as store:
        for _ in range(2):  # also after a connection went back to the pool
            async with store._connections.pooled("looking") as connection:
                assert await connection.fetchval(settings, "synchronous_commit") == "on"
                assert await connection.fetchval(settings, "statement_timeout") == "3s"
                assert await connection.fetchval(settings, "lock_timeout") == "2s"
                assert await connection.fetchval(settings, "idle_in_transaction_session_timeout") == "3s"
                assert await connection.fetchval(settings, "transaction_isolation") == "read committed"
        on = await store._connections.writer.run("looking", lambda c: c.fetchval(settings, "synchronous_commit"))
        assert on == "on"


async def test_open_and_close_may_be_called_twice(world: World) -> None:
    store = PostgresStore(StorageSettings(world.url))
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.incarnation()
    for _ in range(2):
        await store.open()
    assert await store.incarnation() == 0
    for _ in range(2):
        await store.close()
    await store.open()
    assert await store.incarnation() == 0
    await store.close()


async def test_a_database_that_is_away_is_unavailable() -> None:
    store = PostgresStore(StorageSettings("postgresql://nobody:secret@127.0.0.1:1/none", connect_timeout_s=1.0))
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as raised:
            await store.open()
        assert "secret" not in str(raised.value)
    with pytest.raises(StoreUnavailable):
        await store.commit(uuid4(), Batch())
    with pytest.raises(StoreUnavailable):
        await store.renew(uuid4(), LEASE_S)
    await store.close()
    assert "secret" not in repr(StorageSettings("postgresql://nobody:secret@host/none"))


async def test_every_connection_comes_back(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    await world.store.renew(node, LEASE_S)
    for purpose in ("writer", "renewer", "pool"):
        await world.db.execute(KILL, f"orchestrator {purpose}")
    with suppress(StoreUnavailable):  # the driver may not have noticed yet
        await world.store.positions([])
    assert set(await world.store.positions([saga.saga_id])) == {saga.saga_id}
    with suppress(StoreUnavailable):
        await world.store.renew(node, LEASE_S)
    await world.store.renew(node, LEASE_S)
    with suppress(StoreUnavailable):
        await world.store.commit(node, Batch())
    await world.start(node)


@pytest.mark.parametrize(
    "bounds",
    [
        {"statement_timeout_s": 4.0},
        {"lock_timeout_s": 3.5},
        {"pool_size": 0},
        {"reconnect_min_s": 9.0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        StorageSettings("postgresql://host/name", **bounds)  # type: ignore[arg-type]  # the wrong values are the point
