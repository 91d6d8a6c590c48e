"""``migrate`` sets roles up: again and again, taking back what is too much, refusing a role that has more anyhow."""

import asyncio
import os
import sys

import asyncpg
import pytest
from sqlalchemy import make_url

from contracts.starting import StartError
from migrations import runner
from orchestrator.local.postgres import EmbeddedPostgres
from tests.fixtures.postgres import execute
from tests.security.privileges.conftest import Roles, drop_database, new_database

WAIT_S = 60.0


async def refuses(url: str, *statements: str) -> None:
    for statement in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(url, statement)


async def test_what_was_granted_by_hand_is_taken_back(own_database: Roles) -> None:
    roles = own_database
    database = make_url(roles.admin_url).database
    for role in (roles.program, roles.reader):
        await execute(
            roles.url(roles.owner),
            f"GRANT ALL ON saga_event, saga, operator_audit TO {role}",
            f"GRANT UPDATE (input) ON saga TO {role}",
            f"GRANT CREATE ON SCHEMA public TO {role}",
            f"GRANT CREATE, TEMPORARY ON DATABASE {database} TO {role}",
        )
    await execute(
        roles.url(roles.owner),
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        f"GRANT TEMPORARY ON DATABASE {database} TO PUBLIC",
    )
    for _ in range(2):
        await roles.migrate()
        for role in (roles.program, roles.reader):
            await refuses(
                roles.url(role),
                *("DELETE FROM saga_event", "UPDATE saga SET input = ''", "TRUNCATE operator_audit"),
                *("CREATE TABLE mine ()", "CREATE TEMPORARY TABLE mine ()", "CREATE SCHEMA mine"),
            )
    await execute(roles.url(roles.program), "SELECT input FROM saga")
    await execute(roles.url(roles.reader), "SELECT count(*) FROM saga_event")


@pytest.mark.parametrize(
    ("excess", "undo", "named"),
    [
        ("ALTER ROLE {program} SUPERUSER", "ALTER ROLE {program} NOSUPERUSER", "CREATE on the database"),
        ("GRANT {owner} TO {program}", "REVOKE {owner} FROM {program}", "CREATE on the database"),
        ("GRANT pg_write_all_data TO {program}", "REVOKE pg_write_all_data FROM {program}", "DELETE on the table"),
        # What takes a SET ROLE first is as good as given.
        (
            "GRANT {owner} TO {program} WITH INHERIT FALSE, SET TRUE",
            "REVOKE {owner} FROM {program}",
            "CREATE on the database",
        ),
        (
            "GRANT pg_execute_server_program TO {program}",
            "REVOKE pg_execute_server_program FROM {program}",
            "pg_execute_server_program",
        ),
        ("GRANT pg_maintain TO {program}", "REVOKE pg_maintain FROM {program}", "pg_maintain"),
        ("ALTER ROLE {program} CREATEROLE", "ALTER ROLE {program} NOCREATEROLE", "CREATEROLE"),
        ("ALTER ROLE {program} REPLICATION", "ALTER ROLE {program} NOREPLICATION", "REPLICATION"),
        ("GRANT DELETE ON saga_event TO PUBLIC", "REVOKE DELETE ON saga_event FROM PUBLIC", "DELETE on the table"),
        ("GRANT UPDATE (input) ON saga TO PUBLIC", "REVOKE UPDATE (input) ON saga FROM PUBLIC", "UPDATE on the table"),
    ],
)
async def test_a_role_that_may_do_more_all_the_same_is_refused(
    own_database: Roles, excess: str, undo: str, named: str
) -> None:
    roles = own_database
    names = {"owner": roles.owner, "program": roles.program}
    await execute(roles.admin_url, excess.format(**names))
    with pytest.raises(StartError, match=f"--grant-to: the role '{roles.program}' .*{named}"):
        await roles.migrate()
    await execute(roles.admin_url, undo.format(**names))
    await roles.migrate()


async def test_the_owner_keeps_its_tables(own_database: Roles) -> None:
    roles = own_database
    with pytest.raises(StartError, match="owns"):
        await roles.migrate(program=roles.owner)
    await execute(roles.url(roles.owner), "UPDATE store_incarnation SET incarnation = incarnation + 1")


async def test_a_reader_that_writes_is_refused(own_database: Roles) -> None:
    roles = own_database
    await execute(roles.admin_url, f"GRANT {roles.program} TO {roles.reader}")
    with pytest.raises(StartError, match="--grant-read-to: "):
        await roles.migrate()


async def test_names_of_roles_are_names(own_database: Roles) -> None:
    with pytest.raises(StartError, match="there is no role"):
        await own_database.migrate(reader='x"; DROP TABLE saga; --')
    await execute(own_database.url(own_database.program), "SELECT count(*) FROM saga")


@pytest.mark.parametrize(
    ("module", "variable", "chain"),
    [
        ("orchestrator.cli.server", "ORCHESTRATOR_DATABASE_URL", "orchestrator"),
        ("participants.inventory", "PARTICIPANT_DATABASE_URL", "inventory"),
    ],
)
async def test_the_commands_take_both_roles(
    postgres_server: EmbeddedPostgres, admin_url: str, module: str, variable: str, chain: str
) -> None:
    roles = await new_database(postgres_server, admin_url, chain)
    try:
        table = "saga" if chain == "orchestrator" else "stock"
        taken = f"REVOKE ALL ON {table} FROM {roles.program}, {roles.reader}"
        await execute(roles.url(roles.owner), taken, f"REVOKE SELECT ON {table} FROM {roles.reader}")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, "migrate", "--grant-to", roles.program, "--grant-read-to", roles.reader),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), variable: roles.url(roles.owner)},
        )
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == 0
        for role in (roles.program, roles.reader):
            await execute(roles.url(role), f"SELECT count(*) FROM {table}")
            await refuses(roles.url(role), f"DELETE FROM {table}")
    finally:
        await drop_database(admin_url, roles)
    assert runner.head(chain)
