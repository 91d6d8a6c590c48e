"""A served probe and served participants, each on its own database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import Dialect, MetaData, make_url
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from migrations import runner
from orchestrator.local.postgres import SUPERUSER
from participants.kit import Participant, barrier_table
from participants.kit.server import ParticipantServer
from participants.kit.settings import Settings
from tests.fixtures.postgres import PROGRAM, DatabaseFactory, as_program, connect, execute
from tests.integration.participants.calls import Caller
from tests.integration.participants.probe import EFFECT_TABLE, Probe


@dataclass
class Served:
    """A participant that listens, and its database."""

    channel: grpc.aio.Channel
    url: str
    db: asyncpg.Connection
    address: str = ""

    def caller(self, step: str = "reserve", **fields: Any) -> Caller:
        """A step of a new saga, unless ``saga_id`` is given."""
        return Caller(self.channel, step=step, **fields)

    async def row(self, caller: Caller) -> dict[str, Any]:
        """The step's barrier row; empty if there is none."""
        query = "SELECT * FROM saga_barrier WHERE saga_id = $1 AND step = $2"
        record = await self.db.fetchrow(query, caller.saga_id, caller.step)
        return {} if record is None else dict(record)

    async def effects(self) -> list[str]:
        """What the probe did and kept."""
        return [record["kind"] for record in await self.db.fetch("SELECT kind FROM effect ORDER BY kind")]

    async def until_waiting(self, count: int) -> None:
        """Until so many sessions wait for a lock, as the server says."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        async with asyncio.timeout(10):
            while await self.db.fetchval(query) < count:  # noqa: ASYNC110  (the server offers no event to wait for)
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(participant: Participant, url: str, **settings: Any) -> AsyncIterator[Served]:
    """Serves a participant in this process, with its program's rights unless ``url`` names a role of its own."""
    own = url if make_url(url).username != SUPERUSER else as_program(url)
    server = ParticipantServer(
        participant, Settings.model_validate({"database_url": own, "shutdown_grace_s": 5, **settings})
    )
    port = await server.start()
    db = await connect(url)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(channel, url, db, f"127.0.0.1:{port}")
    finally:
        await server.stop()
        await db.close()


def _dialect() -> Dialect:
    return postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


async def probe_database(fresh_database: DatabaseFactory) -> str:
    """A database with the barrier and the probe's table."""
    url = await fresh_database("")
    barrier = CreateTable(barrier_table(MetaData())).compile(dialect=_dialect())
    await execute(url, str(barrier), EFFECT_TABLE)
    await runner.grant(url, PROGRAM)
    own = f"GRANT ALL ON effect TO {PROGRAM}", f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {PROGRAM}"
    await execute(url, *own)  # what a test makes beside the barrier
    return url


@pytest.fixture
def probe() -> Probe:
    """The probe of this test."""
    return Probe()


@pytest.fixture
async def served(probe: Probe, fresh_database: DatabaseFactory) -> AsyncIterator[Served]:
    """The probe, served."""
    async with serving(probe.participant(), await probe_database(fresh_database)) as found:
        yield found


async def schema_faults(fresh_database: DatabaseFactory, chain: str, metadata: MetaData) -> list[object]:
    """How a chain's migrated database differs from the tables in the code; checks and indexes included."""
    migrated, declared = await fresh_database(chain), await fresh_database("")
    statements: list[ExecutableDDLElement] = [CreateTable(table) for table in metadata.sorted_tables]
    statements += [CreateIndex(index) for table in metadata.sorted_tables for index in table.indexes]
    await execute(declared, *(str(each.compile(dialect=_dialect())) for each in statements))
    # Alembic's comparison does not look at checks, and those hold the business rules.
    found = [await _definitions(url) for url in (migrated, declared)]
    return [*(await runner.compare(migrated, chain, metadata)), *(found[0] ^ found[1])]


async def _definitions(url: str) -> set[tuple[str, str]]:
    query = """
        SELECT conrelid::regclass || '.' || conname AS name, pg_get_constraintdef(oid) AS definition
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    """
    connection = await connect(url)
    try:
        rows = await connection.fetch(query)
    finally:
        await connection.close()
    bookkeeping = tuple(runner.BOOKKEEPING_TABLES)
    return {(row["name"], row["definition"]) for row in rows if not row["name"].startswith(bookkeeping)}
