"""What is up during the whole benchmark: one PostgreSQL with a database for each contender, and the real services."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy import make_url

from benchmarks.guarding import Guards, guards
from benchmarks.scenarios import Feature, Scenario
from orchestrator.local.databases import Database, provide
from orchestrator.local.postgres import EmbeddedPostgres
from orchestrator.local.stack import SERVICES, Stack, StackSettings

CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 60.0
DATABASE: Final = "orchestrator"


@dataclass(frozen=True, slots=True)
class Bench:
    """``connection`` is a superuser's. ``real``: the real participants' addresses by full name of service, and pids."""

    directory: Path
    postgres: EmbeddedPostgres
    template: Database
    connection: asyncpg.Connection
    real: dict[str, str]
    real_pids: tuple[int, ...]
    guards: Guards

    async def node_database(self, scenario: Scenario) -> str:
        """URL of the migrated database that nodes use in such scenarios: nodes that share one share their sagas."""
        name = f"{DATABASE}_{scenario.site.name}_{scenario.feature.name}".lower()
        if not await self._exists(name):
            await self.connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{DATABASE}" OWNER "{DATABASE}_owner"')
        return _to_database(self.template.url, name)

    async def peer_database(self, name: str) -> str:
        """URL of a database of a peer's own, at first empty, for the role that owns it."""
        if not await self._exists(name):
            await self.connection.execute(f'CREATE DATABASE "{name}" OWNER "{DATABASE}_owner"')
        return _to_database(self.template.owner_url, name)

    async def _exists(self, name: str) -> bool:
        return bool(await self.connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name))


def _to_database(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@asynccontextmanager
async def running(directory: Path, *, with_real: bool) -> AsyncIterator[Bench]:
    """Starts it in an empty directory, and ends it. Raises what :class:`Stack` raises."""
    async with AsyncExitStack() as stack:
        if with_real:
            # Without nodes: each scenario starts its own.
            local = await stack.enter_async_context(Stack(StackSettings(directory, nodes=0)))
            postgres, template = local.postgres, local.databases[DATABASE]
            members = {service: local.participants[name] for name, service in SERVICES.items()}
            real = {service: member.address for service, member in members.items()}
            pids = tuple(member.child.pid for member in members.values())
        else:
            postgres = stack.enter_context(
                EmbeddedPostgres(directory / "postgres", listen_port=0, end_with_process=True)
            )
            template, real, pids = await provide(postgres, DATABASE), {}, ()
        dsn = make_url(postgres.url()).set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
        stack.push_async_callback(connection.close, timeout=CONNECT_TIMEOUT_S)
        yield Bench(directory, postgres, template, connection, real, pids, guards(directory / "guards"))


def definitions_of(feature: Feature) -> list[str]:
    """The modules that a node loads: one definition each, so that the front door starts that one."""
    return {
        Feature.SIDE_BY_SIDE: ["benchmarks.definitions.side_by_side"],
        Feature.SIX_STEPS: ["orchestrator.definitions.shipped.place_order_v2"],
    }.get(feature, ["orchestrator.definitions.shipped.place_order_v1"])
