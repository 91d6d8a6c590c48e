"""Stores on fresh databases."""

from collections.abc import AsyncIterator

import pytest

from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.fixtures.postgres import DatabaseFactory, as_program, connect
from tests.integration.storage.plans import FILL, noted_plans
from tests.integration.storage.sagas import World


@pytest.fixture
async def world(fresh_database: DatabaseFactory) -> AsyncIterator[World]:
    """An open store, the definition ``place-order`` v1, and a connection past the store."""
    url = await fresh_database("orchestrator")
    db = await connect(url)
    async with PostgresStore(StorageSettings(as_program(url), pool_size=4)) as store:
        world = World(url, store, db)
        ids = await store.register_definitions([("place-order", 1, b"digest")])
        world.definition_id = ids["place-order", 1]
        yield world
    await db.close()


@pytest.fixture
async def plans(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plans of the store's statements, over many sagas."""
    await world.db.execute(FILL, world.definition_id)
    await world.db.execute("ANALYZE saga")
    return noted_plans(world, monkeypatch)
