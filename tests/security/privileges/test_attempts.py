"""Everything that a role must not do is tried, on a real server, and refused by the server."""

import asyncpg
import pytest

from migrations.privileges import WITHHELD
from orchestrator.storage.tables import METADATA, SAGA
from tests.fixtures.postgres import connect
from tests.security.privileges.conftest import Roles

NEVER_CHANGES = (
    *("saga_id", "created_at", "definition_id", "request_hash", "caller", "request_id", "concurrency_scope"),
    *("concurrency_key", "input", "tenant"),
)
"""What a saga was started with."""

SCHEMA = (
    "CREATE TABLE mine ()",
    "CREATE TEMPORARY TABLE saga ()",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE mine",
    "SET session_replication_role = replica",
)
"""Of every database and every role."""

TABLES = (
    "TRUNCATE {table} CASCADE",
    "DROP TABLE {table} CASCADE",
    "ALTER TABLE {table} ADD COLUMN mine integer",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} OWNER TO CURRENT_USER",
    "CREATE INDEX mine ON {table} ((1))",
    "CREATE TRIGGER mine BEFORE DELETE ON {table} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "COPY {table} TO PROGRAM 'true'",
)
"""Of every table and every role."""

NODE = (
    *(f"UPDATE saga SET {column} = {column}" for column in NEVER_CHANGES),
    "DELETE FROM saga",
    "LOCK TABLE saga IN ACCESS EXCLUSIVE MODE",
    "LOCK TABLE saga_event, operator_audit IN SHARE MODE",
    "UPDATE saga_event SET attributes = ''",
    "UPDATE saga_event SET seq = seq + 1",
    "DELETE FROM saga_event",
    "SELECT * FROM saga_event FOR UPDATE",
    "UPDATE operator_audit SET caller = 'somebody else'",
    "DELETE FROM operator_audit",
    "UPDATE definition SET digest = ''",
    "DELETE FROM definition",
    "UPDATE saga_request SET kind = 'resolve'",
    "UPDATE saga_request SET caller = 'somebody else'",
    "UPDATE node SET name = 'mine'",
    "UPDATE node_fence SET node_id = gen_random_uuid()",
    "UPDATE store_incarnation SET incarnation = incarnation + 1",
    "DELETE FROM store_incarnation",
    "INSERT INTO store_incarnation VALUES (true, 1)",
    "UPDATE bulk SET query = ''",
    "DELETE FROM bulk",
    "UPDATE bulk_member SET saga_id = gen_random_uuid()",
    "DELETE FROM bulk_member",
    "UPDATE participant_hold SET reason = 'mine'",
    "UPDATE alembic_version SET version_num = '9999'",
    "DELETE FROM alembic_version",
    "SELECT * FROM migration_lock",
)

PARTICIPANTS = {
    "inventory": (
        "DELETE FROM saga_barrier",
        "UPDATE saga_barrier SET saga_id = gen_random_uuid()",
        "DELETE FROM stock",
        "UPDATE stock SET sku = 'mine'",
        "UPDATE receipt SET content_hash = ''",
        "DELETE FROM receipt",
        "UPDATE reservation SET order_id = 'mine'",
        "DELETE FROM reservation",
        "UPDATE reservation_line SET quantity = 1",
        "DELETE FROM reservation_line",
    ),
    "payment": (
        "DELETE FROM saga_barrier",
        "UPDATE payment SET authorized_minor = 0",
        "UPDATE payment SET payment_method = 'pm_mine'",
        "DELETE FROM payment",
    ),
    "shipping": (
        "DELETE FROM saga_barrier",
        "UPDATE shipment SET recipient = 'mine'",
        "DELETE FROM shipment",
        "UPDATE shipment_parcel SET quantity = 1",
        "DELETE FROM shipment_parcel",
    ),
}

WRITES = ("INSERT INTO {table} DEFAULT VALUES", "DELETE FROM {table}", "UPDATE {table} SET {column} = DEFAULT")

ALLOWED = (
    "SELECT input, request_id, failure_message FROM saga",
    "SELECT attributes FROM saga_event",
    "DELETE FROM node WHERE false",
    "DELETE FROM saga_request WHERE false",
    "UPDATE saga SET state = state WHERE false",
    "SELECT FROM node_fence FOR UPDATE",
    "LISTEN saga_claimable",
)
"""Or an attempt that is refused would say nothing."""


async def refused(url: str, *statements: str) -> list[str]:
    """Tries each statement and undoes it; returns those that were not refused for want of a privilege."""
    connection = await connect(url)
    passed = []
    try:
        for statement in statements:
            transaction = connection.transaction()
            await transaction.start()
            try:
                await connection.execute(statement)
                passed.append(statement)
            except asyncpg.InsufficientPrivilegeError:
                pass
            except asyncpg.PostgresError as error:
                passed.append(f"{statement}: {error}")
            finally:
                await transaction.rollback()
    finally:
        await connection.close()
    return passed


async def columns(roles: Roles) -> dict[str, list[str]]:
    """By table, of what the migrations have made."""
    connection = await connect(roles.admin_url)
    query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    try:
        found: dict[str, list[str]] = {"migration_lock": []}
        for table, column in await connection.fetch(query):
            found.setdefault(table, []).append(column)
    finally:
        await connection.close()
    return found


async def test_a_node_changes_neither_what_was_nor_the_schema(databases: dict[str, Roles]) -> None:
    roles = databases["orchestrator"]
    url = roles.url(roles.program)
    assert await refused(url, *NODE, *SCHEMA, f"SET ROLE {roles.owner}") == []
    assert await refused(url, *ALLOWED) == list(ALLOWED)


@pytest.mark.parametrize("chain", sorted(PARTICIPANTS))
async def test_a_participant_changes_neither_what_was_nor_the_schema(databases: dict[str, Roles], chain: str) -> None:
    roles = databases[chain]
    assert await refused(roles.url(roles.program), *PARTICIPANTS[chain], *SCHEMA, f"SET ROLE {roles.owner}") == []
    assert await refused(roles.url(roles.program), "SELECT * FROM saga_barrier FOR UPDATE")


@pytest.mark.parametrize("chain", ["orchestrator", *sorted(PARTICIPANTS)])
async def test_no_table_is_truncated_locked_or_altered(databases: dict[str, Roles], chain: str) -> None:
    roles = databases[chain]
    attempts = [attempt.format(table=table) for table in await columns(roles) for attempt in TABLES]
    for role in (roles.program, roles.reader):
        assert await refused(roles.url(role), *attempts) == []


@pytest.mark.parametrize("chain", ["orchestrator", *sorted(PARTICIPANTS)])
async def test_a_reader_reads_and_that_without_payloads(databases: dict[str, Roles], chain: str) -> None:
    roles = databases[chain]
    tables = {table: names for table, names in (await columns(roles)).items() if names}
    attempts = [
        each.format(table=table, column=name) for table, names in tables.items() for name in names for each in WRITES
    ]
    withheld = [f"SELECT {name} FROM {table}" for table in tables for name in WITHHELD.get(table, ())]
    url = roles.url(roles.reader)
    assert withheld
    assert await refused(url, *attempts, *withheld, *SCHEMA, f"SET ROLE {roles.program}") == []
    shown = [
        f"SELECT {', '.join(name for name in names if name not in WITHHELD.get(table, ()))} FROM {table}"
        for table, names in tables.items()
    ]
    assert await refused(url, *shown) == shown


@pytest.mark.parametrize("chain", ["orchestrator", *sorted(PARTICIPANTS)])
async def test_no_column_of_bytes_is_shown_to_readers(databases: dict[str, Roles], chain: str) -> None:
    """Bytes are messages, or hashes of them."""
    connection = await connect(databases[chain].admin_url)
    query = """
        SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'bytea' AND (table_name, column_name) <> ('definition', 'digest')
    """
    try:
        for table, column in await connection.fetch(query):
            assert column in WITHHELD[table], f"{table}.{column}: withhold it in migrations/privileges.py"
    finally:
        await connection.close()


async def test_every_table_and_every_column_of_a_saga_has_its_rights(databases: dict[str, Roles]) -> None:
    """A column that a later revision adds is placed: it changes, or it belongs to what the saga was started with."""
    from migrations.privileges import PROGRAM

    assert set(METADATA.tables) <= set(PROGRAM)
    changes = set(PROGRAM["saga"][1])
    assert changes.isdisjoint(NEVER_CHANGES)
    assert {column.name for column in SAGA.columns} <= changes | set(NEVER_CHANGES)
    for roles in databases.values():
        assert set(await columns(roles)) - {"migration_lock"} <= set(PROGRAM)
