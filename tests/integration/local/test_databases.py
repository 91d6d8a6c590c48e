"""Roles of the local stack's databases: rows and nothing more."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from migrations import runner
from orchestrator.local.databases import provide
from orchestrator.local.postgres import EmbeddedPostgres
from tests.fixtures.postgres import execute


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "pg", end_with_process=True) as server:
        yield server


async def test_the_program_uses_rows_and_owns_nothing(server: EmbeddedPostgres) -> None:
    url = (await provide(server, "orchestrator")).url
    await execute(url, "SELECT count(*) FROM saga_event", "DELETE FROM node", "SELECT * FROM alembic_version")
    for forbidden in (
        "UPDATE saga_event SET seq = 1",
        "DELETE FROM saga_event",
        "CREATE TEMPORARY TABLE mine ()",
        "TRUNCATE saga_event",
        "CREATE TABLE mine ()",
        "DROP TABLE saga",
        "ALTER TABLE saga DISABLE TRIGGER ALL",
        "UPDATE alembic_version SET version_num = 'x'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execute(url, forbidden)


async def test_databases_are_closed_to_each_other(server: EmbeddedPostgres) -> None:
    inventory = await provide(server, "inventory")
    await provide(server, "payment")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await execute(inventory.url.replace("/inventory?", "/payment?"), "SELECT 1")


async def test_providing_again_changes_nothing(server: EmbeddedPostgres) -> None:
    first = await provide(server, "shipping")
    assert await provide(server, "shipping") == first
    assert await runner.current(first.owner_url, "shipping") == runner.head("shipping")


async def test_many_at_once_find_one_database(server: EmbeddedPostgres) -> None:
    found = await asyncio.gather(*(provide(server, "payment") for _ in range(4)))
    assert len(set(found)) == 1
