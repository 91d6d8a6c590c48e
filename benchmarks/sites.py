"""The processes under test: one PostgreSQL, and for each kind of participants these and a node of its own."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy import make_url

from benchmarks.scenarios import Site
from orchestrator.local.health import wait_until_serving
from orchestrator.local.processes import Child
from orchestrator.local.stack import SERVICES, Stack, StackSettings

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 60.0
DATABASE: Final = "orchestrator"
DEFINITIONS: Final = ["orchestrator.definitions.shipped.place_order_v1"]
"""Alone, so that the front door starts version 1."""


@dataclass(frozen=True, slots=True)
class RunningSite:
    """Where the participants and the node of one site serve, and their process ids."""

    site: Site
    addresses: dict[str, str]
    participant_pids: Sequence[int]
    node_address: str
    node_pid: int


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that runs. ``database`` is a superuser's connection."""

    sites: dict[Site, RunningSite]
    postgres_pid: int
    database: asyncpg.Connection


@asynccontextmanager
async def running(directory: Path, sites: Sequence[Site]) -> AsyncIterator[Bench]:
    """Starts all of it in an empty directory, and ends it. Raises what :class:`Stack` raises."""
    async with AsyncExitStack() as stack:
        # With its real participants, and without nodes: these need other settings for each site.
        local = await stack.enter_async_context(Stack(StackSettings(directory, nodes=0)))
        dsn = make_url(local.postgres.url()).set(drivername="postgresql").render_as_string(hide_password=False)
        database = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
        stack.push_async_callback(database.close, timeout=CONNECT_TIMEOUT_S)
        found: dict[Site, RunningSite] = {}
        for site in sites:
            # A database of its own, or one node would take over what another node has left to do.
            name = f"{DATABASE}_{site}"
            await database.execute(f'CREATE DATABASE "{name}" TEMPLATE "{DATABASE}" OWNER "{DATABASE}_owner"')
            url = make_url(local.databases[DATABASE].url).set(database=name).render_as_string(hide_password=False)
            addresses, pids = await _participants(stack, local, site, directory)
            node = await _node(stack, site, addresses, url, directory)
            found[site] = replace(node, participant_pids=pids)
        yield Bench(found, local.postgres.pid, database)


async def _participants(
    stack: AsyncExitStack, local: Stack, site: Site, directory: Path
) -> tuple[dict[str, str], list[int]]:
    if site is Site.REAL:
        members = local.participants
        return (
            {service: members[name].address for name, service in SERVICES.items()},
            [member.child.pid for member in members.values()],
        )
    child = await _child(stack, "trivial", ["-m", "benchmarks.trivial"], {}, directory)
    address = f"127.0.0.1:{child.announcement['port']}"
    return dict.fromkeys(SERVICES.values(), address), [child.pid]


async def _node(stack: AsyncExitStack, site: Site, addresses: dict[str, str], url: str, directory: Path) -> RunningSite:
    environment = {
        "DATABASE_URL": url,
        "ORCHESTRATOR_DATABASE_URL": url,
        "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0",
        "ORCHESTRATOR_DEFINITIONS": json.dumps(DEFINITIONS),
        "ORCHESTRATOR_PARTICIPANTS": json.dumps({service: [address] for service, address in addresses.items()}),
    }
    child = await _child(stack, f"node-{site}", ["-m", "orchestrator.cli.server", "serve"], environment, directory)
    address = str(child.announcement["address"])
    await wait_until_serving(address, START_TIMEOUT_S)
    return RunningSite(site, addresses, (), address, child.pid)


async def _child(
    stack: AsyncExitStack, name: str, arguments: list[str], environment: dict[str, str], directory: Path
) -> Child:
    child = Child(name, arguments, environment, directory / "log" / f"{name}.log")
    stack.push_async_callback(child.stop, STOP_TIMEOUT_S)
    return await child.start(START_TIMEOUT_S)
