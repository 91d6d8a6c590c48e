"""The upgrade that brings tenants: a database in use at 0003, then at 0004 under programs old and new, then at 0005."""

import itertools
from typing import Any
from uuid import UUID

import pytest

from migrations import runner
from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import SchemaUnknown
from orchestrator.engine.stored import Batch, NewSaga, SagaFilter, Visibility
from orchestrator.operations.values import AuditFilter
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.storage.sagas import World, checkpoint, next_saga_id

CHAIN = "orchestrator"
_numbers = itertools.count(1)
# As the program before this revision starts a saga, looks a key up and lets a saga end.
OLD_START = """
    INSERT INTO saga (
        saga_id, definition_id, caller, request_id, request_hash, concurrency_scope, concurrency_key, input, owner,
        epoch, last_seq, state, deadline_at
    )
    VALUES ($1, $2, 'local', $3, '', 'place-order', $4, '', $5, 1, 1, 2, clock_timestamp() + interval '1 hour')
    ON CONFLICT DO NOTHING
    RETURNING saga_id
"""
OLD_KEY = (
    "SELECT saga_id FROM saga WHERE concurrency_scope = 'place-order' AND concurrency_key = $1 AND ended_at IS NULL"
)
OLD_END = "UPDATE saga SET state = 3, owner = NULL, last_seq = 2, ended_at = clock_timestamp() WHERE saga_id = $1"
FIRST_ROWS = """
    INSERT INTO operator_audit (action, outcome, caller, request_id, reason) VALUES (10, 2, 'ann', 'a-1', 'why');
    INSERT INTO bulk (bulk_id, rate_per_s, members, left_out, action, state, caller, request_id, reason, step,
        response_json, query)
    VALUES (gen_random_uuid(), 1, 0, 0, 6, 1, 'ann', 'b-1', 'why', '', '', '');
"""


class Old:
    """A program of before, on its own connection."""

    def __init__(self, db: Any, node: UUID, definition_id: int) -> None:
        self.db, self.node, self.definition_id = db, node, definition_id

    async def start(self, key: str) -> UUID | None:
        request_id = f"old-{next(_numbers)}"
        started: UUID | None = await self.db.fetchval(
            OLD_START, next_saga_id(), self.definition_id, request_id, key, self.node
        )
        return started


async def starts(world: World, key: str, tenant: str) -> NewSaga | None:
    """The saga that the new program starts, unless the key is held."""
    saga = world.new(key=key, tenant=tenant)
    return saga if await world.store.commit(world.nodes[0], Batch(new=(saga,))) else None


async def test_programs_old_and_new_share_keys_until_the_old_index_goes(fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    await runner.upgrade(url, CHAIN, "0003")
    db = await connect(url)
    async with PostgresStore(StorageSettings(url, pool_size=2)) as store:
        world = World(url, store, db)
        world.definition_id = (await store.register_definitions([("place-order", 1, b"digest")]))["place-order", 1]
        old = Old(db, await world.node(), world.definition_id)
        kept, gone = await old.start("kept"), await old.start("gone")
        await db.execute(FIRST_ROWS)
        assert kept is not None
        with pytest.raises(SchemaUnknown, match="0003"):
            await store.check_schema()

        await runner.upgrade(url, CHAIN, "0004")
        await store.check_schema()
        (stored,) = await store.load([kept])
        assert stored.tenant == ""
        assert await store.find_live_key("", "place-order", "kept") == kept
        assert await starts(world, "kept", "") is None
        assert await starts(world, "kept", "acme") is None, "the old index is across all tenants"
        assert await starts(world, "ours", "acme") is not None
        assert await old.start("ours") is None
        theirs = await starts(world, "theirs", "")
        assert theirs is not None
        assert await old.start("theirs") is None
        assert await db.fetchval(OLD_KEY, "theirs") == theirs.saga_id
        await db.execute(OLD_END, gone)
        assert await starts(world, "gone", "") is not None
        assert await old.start("late") is not None
        assert await starts(world, "late", "") is None

        await runner.upgrade(url, CHAIN, "0005")
        await store.check_schema()
        second = await starts(world, "kept", "acme")
        assert second is not None
        assert await starts(world, "kept", "acme") is None
        assert await starts(world, "kept", "") is None
        assert await old.start("theirs") is None, "an old program that lingers is guarded all the same"
        ended = checkpoint(second, 2, SagaStatus.COMPLETED)
        assert await store.commit(world.nodes[0], Batch(checkpoints=(ended,)))
        assert await starts(world, "kept", "acme") is not None
        assert await store.find_live_key("", "place-order", "kept") == kept

        nobodys, acmes = Visibility(("",)), Visibility(("acme",))
        assert len(await store.list_sagas(SagaFilter(visibility=nobodys), limit=9, before=None)) == 5
        assert len(await store.list_sagas(SagaFilter(visibility=acmes), limit=9, before=None)) == 3
        assert len(await store.list_audit(AuditFilter(visibility=nobodys), limit=9, before=None)) == 1
        assert await store.list_bulks(nobodys, limit=9, before=None) == [], "it may be on whatever comes"
        assert len(await store.list_bulks(Visibility(), limit=9, before=None)) == 1
    await db.close()


async def test_an_index_that_was_left_half_built_is_built_anew(fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    await runner.upgrade(url, CHAIN, "0004")
    db = await connect(url)
    try:
        await db.execute("UPDATE alembic_version SET version_num = '0003'")
        await db.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid::regclass::text LIKE '%tenant%'")
        await runner.upgrade(url, CHAIN, "0004")
        invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        assert await db.fetch(invalid) == []
        assert await runner.current(url, CHAIN) == "0004"
    finally:
        await db.close()
