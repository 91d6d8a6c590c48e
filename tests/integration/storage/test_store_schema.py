"""The schema: what the migrations leave agrees with the tables, and refuses what must never happen."""

import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from migrations import runner
from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.engine.ports import DefinitionChanged, SchemaUnknown
from orchestrator.engine.stored import Batch
from orchestrator.storage.journal import COMMIT
from orchestrator.storage.registry import KNOWN_REVISIONS
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from orchestrator.storage.tables import METADATA
from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.storage.sagas import World, checkpoint

CATALOGUE = {
    "columns": """
        SELECT table_name, ordinal_position, column_name, udt_name, is_nullable, column_default, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2
    """,
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    "options": """
        SELECT relname, reloptions FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1
    """,
}


async def catalogue(url: str) -> dict[str, list[tuple[Any, ...]]]:
    db = await connect(url)
    try:
        found = {}
        for part, query in CATALOGUE.items():
            rows = [tuple(row) for row in await db.fetch(query)]
            found[part] = [row for row in rows if not re.match("alembic_version|migration_lock", row[0])]
        return found
    finally:
        await db.close()


async def create_from_tables(url: str) -> None:
    db = await connect(url)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # the dialect modules are not annotated
    try:
        for table in METADATA.sorted_tables:
            await db.execute(str(CreateTable(table).compile(dialect=dialect)))
            for index in table.indexes:
                await db.execute(str(CreateIndex(index).compile(dialect=dialect)))
    finally:
        await db.close()


async def test_the_migrations_agree_with_the_tables_to_the_letter(fresh_database: DatabaseFactory) -> None:
    migrated, created = await fresh_database("orchestrator"), await fresh_database("")
    await create_from_tables(created)
    assert await catalogue(migrated) == await catalogue(created)
    assert await runner.compare(migrated, "orchestrator", METADATA) == []


async def test_an_upgrade_from_empty_is_known_to_the_program(world: World) -> None:
    assert runner.head("orchestrator") in KNOWN_REVISIONS
    await world.store.check_schema()


@pytest.mark.parametrize("revision", ["0000", "9999"])
async def test_a_schema_that_the_program_does_not_know_is_refused(world: World, revision: str) -> None:
    await world.db.execute("UPDATE alembic_version SET version_num = $1", revision)
    with pytest.raises(SchemaUnknown, match=f"{revision}.*orchestrator migrate"):
        await world.store.check_schema()


async def test_an_empty_database_is_refused(fresh_database: DatabaseFactory) -> None:
    async with PostgresStore(StorageSettings(await fresh_database(""))) as store:
        with pytest.raises(SchemaUnknown, match="orchestrator migrate"):
            await store.check_schema()


async def test_definitions_are_registered_once_and_never_changed(world: World) -> None:
    both = [("place-order", 1, b"digest"), ("place-order", 2, b"two")]
    ids = await world.store.register_definitions(both)
    assert await world.store.register_definitions(both) == ids
    assert ids["place-order", 1] == world.definition_id
    with pytest.raises(DefinitionChanged, match="place-order v2"):
        await world.store.register_definitions([("place-order", 2, b"other")])
    assert await world.store.register_definitions([]) == {}


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_an_ended_saga_never_changes(world: World, status: SagaStatus) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    assert await world.store.commit(node, Batch(checkpoints=(checkpoint(saga, 2, status),)))
    for change in ("state = 2, ended_at = NULL", "last_seq = 3", "failure_message = 'x'"):
        with pytest.raises(asyncpg.RestrictViolationError, match="an ended saga never changes"):
            await world.db.execute(f"UPDATE saga SET {change}")


FORBIDDEN = [
    ("UPDATE saga SET epoch = 0", "never fall"),
    ("UPDATE saga SET last_seq = 0", "never fall"),
    ("UPDATE saga SET saga_id = gen_random_uuid()", "never fall"),
    ("DELETE FROM saga", "live saga is never deleted"),
    ("UPDATE saga_event SET attributes = ''", "only appended to"),
    ("TRUNCATE saga_event CASCADE", "only appended to"),
    ("DELETE FROM saga_event", "live saga is never deleted"),
    ("UPDATE store_incarnation SET incarnation = -1", "never falls"),
    ("UPDATE saga SET state = 3", "saga_ended"),
    ("UPDATE saga SET state = 8", "saga_state"),
    ("UPDATE saga SET ended_at = now(), state = 3", "saga_ended_unowned"),
    ("UPDATE saga SET wake_at = now()", "saga_wake"),
    ("UPDATE saga SET owner = NULL, state = 6, wake_at = now()", "saga_wake"),
    ("UPDATE saga SET concurrency_key = 'k'", "saga_concurrency"),
    ("UPDATE saga SET concurrency_key = 'k', concurrency_scope = 'refund'", "saga_concurrency_scope"),
    ("UPDATE saga_request SET consumed_seq = 9", "saga_request_consumed"),
    ("INSERT INTO store_incarnation VALUES (false, 1)", "store_incarnation_only_row"),
    ("INSERT INTO saga_event SELECT gen_random_uuid(), 1, 1, 1, now(), ''", "saga_event_saga"),
]


async def test_the_database_refuses_what_must_never_happen(world: World) -> None:
    node = await world.node()
    (saga,) = await world.start(node)
    await world.store.add_request(saga.saga_id, "local", "c-1", "cancel")
    for statement, reason in FORBIDDEN:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=reason):
            await world.db.execute(statement)
    assert await world.seqs(saga) == [1]


async def test_a_role_without_rights_on_the_schema_is_enough(world: World) -> None:
    role = f"node_{uuid4().hex}"
    await world.db.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    try:
        await runner.grant(world.url, role)
        url = make_url(world.url).set(username=role, password="secret").render_as_string(hide_password=False)
        async with PostgresStore(StorageSettings(url)) as store:
            least = World(url, store, world.db, world.definition_id)
            await store.check_schema()
            await store.register_definitions([("refund", 1, b"r")])
            node, dead = await least.node(), await least.node()
            saga, other = await least.start(node), await least.start(dead)
            number = await store.add_request(saga[0].saga_id, "local", "c-1", "cancel")
            item = checkpoint(saga[0], 2, kind=15, consumed=(number,))
            assert await store.commit(node, Batch(checkpoints=(item,)))
            await least.lapse(dead)
            assert await store.fence_expired(node) == [dead]
            assert await least.claim(node, dead) == {other[0].saga_id}
            assert await store.missing_definitions() == []
            assert await store.release_node(node) == 2
    finally:
        await world.db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_an_ended_saga_can_be_removed_whole(world: World) -> None:
    node = await world.node()
    ended, live = await world.start(node, 2)
    await world.store.commit(node, Batch(checkpoints=(checkpoint(ended, 2, SagaStatus.COMPLETED),)))
    await world.db.execute("DELETE FROM saga_event WHERE saga_id = $1", ended.saga_id)
    await world.db.execute("DELETE FROM saga WHERE saga_id = $1", ended.saga_id)
    assert set(await world.store.positions([ended.saga_id, live.saga_id])) == {live.saga_id}


def nodes_of(plan: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", ()) for node in nodes_of(child))]


@pytest.mark.parametrize(("sagas", "live"), [(0, True), (3000, True), (3000, False)])
async def test_a_batch_looks_its_rows_up_by_key_whenever_it_was_planned(world: World, sagas: int, live: bool) -> None:
    """On an empty table, one full of the node's own sagas, and one whose statistics know no owner."""
    node = await world.node()
    fill = """
        INSERT INTO saga (saga_id, definition_id, state, epoch, last_seq, deadline_at, owner, ended_at, request_hash,
            caller, request_id, input)
        SELECT gen_random_uuid(), $1, CASE WHEN $4 THEN 2 ELSE 3 END, 1, 1, now(), CASE WHEN $4 THEN $2::uuid END,
            CASE WHEN NOT $4 THEN now() END, '', 'local', number::text, ''
        FROM generate_series(1, $3::integer) AS number
    """
    await world.db.execute(fill, world.definition_id, node, sagas, live)
    await world.db.execute("ANALYZE saga")

    async def explain(connection: Any) -> str:
        statement = await connection.prepare(COMMIT)
        values = ", ".join("NULL" for _ in statement.get_parameters())
        return str(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {statement.get_name()} ({values})"))

    (plan,) = json.loads(await world.store._connections.writer.run("explaining", explain))
    scans = {
        (node["Relation Name"], node["Node Type"], node.get("Index Name"))
        for node in nodes_of(plan["Plan"])
        if "Relation Name" in node and "Scan" in node["Node Type"]
    }
    assert scans == {
        ("node_fence", "Index Scan", "node_fence_pkey"),
        ("saga", "Index Scan", "saga_pkey"),
        ("saga_request", "Index Scan", "saga_request_pkey"),
        *[scan for scan in scans if scan[0] == "definition" and "Index" in scan[1]],
    }
