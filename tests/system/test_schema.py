"""A node refuses a database whose schema it does not know."""

import asyncio
from pathlib import Path

import pytest

from orchestrator.local.processes import Child, ChildError
from tests.fixtures.postgres import DatabaseFactory, execute

START_TIMEOUT_S = 30.0


async def refuses(url: str, log: Path) -> str:
    """What a node says that ends with exit code 3 on this database."""
    environment = {"ORCHESTRATOR_DATABASE_URL": url, "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0"}
    node = Child("node", ["-m", "orchestrator.cli.server", "serve"], environment, log)
    with pytest.raises(ChildError):
        await node.start(START_TIMEOUT_S)
    assert await node.wait(START_TIMEOUT_S) == 3
    return await asyncio.to_thread(log.read_text)


async def test_a_database_that_was_never_migrated(fresh_database: DatabaseFactory, tmp_path: Path) -> None:
    said = await refuses(await fresh_database(""), tmp_path / "node.log")
    assert "orchestrator migrate" in said


async def test_a_database_of_an_unknown_revision(fresh_database: DatabaseFactory, tmp_path: Path) -> None:
    url = await fresh_database("orchestrator")
    await execute(url, "UPDATE alembic_version SET version_num = '9999'")
    said = await refuses(url, tmp_path / "node.log")
    assert "9999" in said
    assert "orchestrator migrate" in said
