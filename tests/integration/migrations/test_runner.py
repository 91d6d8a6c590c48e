"""The runner on small chains of its own, on a real server."""

import asyncio
from pathlib import Path

import pytest
from alembic.util import CommandError
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.exc import DBAPIError

from migrations import runner
from tests.fixtures.postgres import DatabaseFactory, connect

REVISION = """
import sqlalchemy as sa
from alembic import op
revision = "{revision}"
down_revision = {down!r}
branch_labels = None
depends_on = None
def upgrade() -> None:
    {body}
"""
CREATE = 'op.create_table("thing", sa.Column("thing_id", sa.Integer, primary_key=True))'
SLOW_INSERT = 'op.execute("INSERT INTO thing SELECT count(*) FROM thing, pg_sleep(0.2)")'
TABLES = MetaData()
Table("thing", TABLES, Column("thing_id", Integer, primary_key=True))


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a chain named ``small``, with one revision."""
    monkeypatch.setattr(runner, "VERSIONS", tmp_path)
    folder = tmp_path / "small"
    folder.mkdir()
    add_revision(folder, "0001", None, CREATE)
    return folder


def add_revision(folder: Path, revision: str, down: str | None, body: str) -> None:
    (folder / f"{revision}_expand.py").write_text(REVISION.format(revision=revision, down=down, body=body))


async def count_things(url: str) -> int:
    connection = await connect(url)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM thing"))
    finally:
        await connection.close()


async def test_upgrade_from_empty_agrees_with_the_tables(chain: Path, fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    assert await runner.current(url, "small") is None
    await runner.upgrade(url, "small")
    assert await runner.current(url, "small") == runner.head("small") == "0001"
    assert await runner.compare(url, "small", TABLES) == []


async def test_compare_names_a_difference(chain: Path, fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    await runner.upgrade(url, "small")
    (difference,) = await runner.compare(url, "small", MetaData())
    assert difference[0] == "remove_table"


async def test_upgrades_at_once_take_turns(chain: Path, fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    add_revision(chain, "0002", "0001", SLOW_INSERT)
    await asyncio.gather(*(runner.upgrade(url, "small") for _ in range(4)))
    assert await runner.current(url, "small") == "0002"
    assert await count_things(url) == 1


async def test_a_failing_revision_leaves_nothing_and_keeps_the_ones_before(
    chain: Path, fresh_database: DatabaseFactory
) -> None:
    url = await fresh_database("")
    add_revision(chain, "0002", "0001", 'op.execute("INSERT INTO thing VALUES (1)"); op.execute("SELECT 1 / 0")')
    with pytest.raises(DBAPIError, match="division by zero"):
        await runner.upgrade(url, "small")
    assert await runner.current(url, "small") == "0001"
    assert await count_things(url) == 0


async def test_a_revision_may_build_an_index_concurrently(chain: Path, fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    body = 'with op.get_context().autocommit_block(): op.execute("CREATE INDEX CONCURRENTLY i ON thing (thing_id)")'
    add_revision(chain, "0002", "0001", body)
    await runner.upgrade(url, "small")
    assert await runner.current(url, "small") == "0002"


async def test_a_database_of_another_chain_is_refused(chain: Path, fresh_database: DatabaseFactory) -> None:
    url = await fresh_database("")
    await runner.upgrade(url, "small")
    other = chain.parent / "other"
    other.mkdir()
    add_revision(other, "x001", None, CREATE)
    with pytest.raises(CommandError, match="0001"):
        await runner.upgrade(url, "other")


async def test_offline_sql_bounds_its_waits(chain: Path) -> None:
    sql = runner.offline_sql("small")
    assert "SET lock_timeout" in sql
    assert "CREATE TABLE thing" in sql


async def test_an_unknown_chain_is_named() -> None:
    with pytest.raises(runner.UnknownChainError, match="nonesuch"):
        runner.head("nonesuch")
