"""Every case runs twice: on PostgreSQL, and on the store that the simulator puts in its place and that must not lie."""

import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from uuid import UUID

import pytest

from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import NewSaga, RowState
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.fixtures.postgres import DatabaseFactory, as_program, connect
from tests.integration.storage.sagas import NOW_US, World
from tests.simulation.database import Database
from tests.simulation.store import DirectLink, SimulatedStore

DEFINITIONS: Final = [("place-order", 1, b"digest")]


class SimulatedWorld(World):
    """The simulated store, and hands that reach past it."""

    def __init__(self) -> None:
        link, ticks = DirectLink(), itertools.count(NOW_US + 3600_000_000)
        self.database = Database(lambda: next(ticks), link.notify)
        # The cases use only what the port has; what is PostgreSQL's own is tested in tests/integration/storage.
        store = cast("PostgresStore", SimulatedStore(self.database, link))
        super().__init__("", store, cast("Any", None))

    async def lapse(self, node_id: UUID) -> None:
        self.database.nodes[node_id].lease_expires_us = self.database.now_us() - 1000

    async def make_pending(self, saga: NewSaga) -> None:
        row = self.database.sagas[saga.saga_id].row
        self.database.sagas[saga.saga_id].row = RowState(SagaStatus.PENDING, row.deadline_us)

    async def answer(self, number: int) -> None:
        self.database.waiting.pop(number).consumed_seq = 1

    async def raise_incarnation(self) -> None:
        self.database.raise_incarnation()

    async def saga(self, saga: NewSaga) -> Mapping[str, Any]:
        row = self.database.sagas[saga.saga_id]
        return {
            "owner": row.owner,
            "epoch": row.epoch,
            "last_seq": row.last_seq,
            "state": int(row.row.status),
            "stale_claims": row.stale_claims,
            "wake_at": row.wake_at_us,
            "updated_at": row.updated_us,
            "ended_at": row.ended_us,
        }

    async def seqs(self, saga: NewSaga) -> list[int]:
        found = self.database.sagas.get(saga.saga_id)
        return [] if found is None else [entry.seq for entry in found.journal]


@pytest.fixture(params=["postgres", "simulated"])
async def world(request: pytest.FixtureRequest, fresh_database: DatabaseFactory) -> AsyncIterator[World]:
    """An open store with the definition ``place-order`` v1."""
    if request.param == "simulated":
        yield await simulated()
        return
    async with on_postgres(await fresh_database("orchestrator")) as world:
        yield world


@pytest.fixture
async def worlds(fresh_database: DatabaseFactory) -> AsyncIterator[tuple[World, World]]:
    """PostgreSQL, and the store in its place, for what is done to both."""
    async with on_postgres(await fresh_database("orchestrator")) as world:
        yield world, await simulated()


async def simulated() -> World:
    world = SimulatedWorld()
    world.definition_id = (await world.store.register_definitions(DEFINITIONS))["place-order", 1]
    return world


@asynccontextmanager
async def on_postgres(url: str) -> AsyncIterator[World]:
    db = await connect(url)
    async with PostgresStore(StorageSettings(as_program(url), pool_size=4)) as store:
        world = World(url, store, db)
        world.definition_id = (await store.register_definitions(DEFINITIONS))["place-order", 1]
        yield world
    await db.close()
