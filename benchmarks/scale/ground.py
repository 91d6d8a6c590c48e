"""What is up during a run: one PostgreSQL with a database for each state of fill, trivial participants, and nodes."""

import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg
from sqlalchemy import make_url

from orchestrator.local.databases import Database, provide
from orchestrator.local.health import wait_until_serving
from orchestrator.local.postgres import EmbeddedPostgres
from orchestrator.local.processes import Child
from orchestrator.local.stack import SERVICES

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 900.0
CHAIN: Final = "orchestrator"
DEFINITIONS: Final = ["orchestrator.definitions.shipped.place_order_v1"]
"""Alone, so that the front door starts version 1."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node process and where it serves."""

    child: Child
    address: str

    @property
    def node_id(self) -> str:
        """Its first incarnation."""
        return str(self.child.announcement["node_id"])


@dataclass(slots=True)
class Ground:
    """Makes databases and nodes; all of it ends with :func:`standing`."""

    directory: Path
    postgres: EmbeddedPostgres
    template: Database
    participants: Child
    stack: AsyncExitStack
    nodes: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Of the participants."""
        return f"127.0.0.1:{self.participants.announcement['port']}"

    def freeze(self) -> None:
        """The participants answer nothing until :meth:`thaw`."""
        os.kill(self.participants.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on. May be called twice."""
        os.kill(self.participants.pid, signal.SIGCONT)

    async def connect(self, database: str) -> asyncpg.Connection:
        """A superuser's connection, closed at the end."""
        dsn = make_url(self.postgres.url(database)).set(drivername="postgresql")
        connection = await asyncpg.connect(
            dsn.render_as_string(hide_password=False), timeout=CONNECT_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
        )
        self.stack.push_async_callback(connection.close, timeout=CONNECT_TIMEOUT_S)
        return connection

    async def database(self, name: str) -> asyncpg.Connection:
        """A new, empty, migrated database; returns a superuser's connection to it."""
        admin = await self.connect("postgres")
        await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{CHAIN}" OWNER "{CHAIN}_owner"')
        connection = await self.connect(name)
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        return connection

    async def node(self, database: str, environment: Mapping[str, str] | None = None) -> Node:
        """Starts a node on a database and waits until it serves. Raises ``ChildError``."""
        url = make_url(self.template.url).set(database=database).render_as_string(hide_password=False)
        name = f"node-{len(self.nodes) + 1}-{database}"
        child = Child(
            name,
            ["-m", "orchestrator.cli.server", "serve"],
            {
                "DATABASE_URL": url,
                "ORCHESTRATOR_DATABASE_URL": url,
                "ORCHESTRATOR_NODE_NAME": name,
                "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0",
                "ORCHESTRATOR_DEFINITIONS": json.dumps(DEFINITIONS),
                "ORCHESTRATOR_PARTICIPANTS": json.dumps({service: [self.address] for service in SERVICES.values()}),
                **(environment or {}),
            },
            self.directory / "log" / f"{name}.log",
        )
        self.stack.push_async_callback(child.stop, STOP_TIMEOUT_S)
        await child.start(START_TIMEOUT_S)
        node = Node(child, str(child.announcement["address"]))
        self.nodes.append(node)
        await wait_until_serving(node.address, START_TIMEOUT_S)
        return node


@asynccontextmanager
async def standing(directory: Path) -> AsyncIterator[Ground]:
    """Starts PostgreSQL, with every setting at its default but the view of statements, and the participants."""
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(
            EmbeddedPostgres(
                directory / "postgres",
                end_with_process=True,
                settings={"shared_preload_libraries": "pg_stat_statements"},
            )
        )
        template = await provide(postgres, CHAIN)
        child = Child("participants", ["-m", "benchmarks.trivial"], {}, directory / "log" / "participants.log")
        stack.push_async_callback(child.stop, STOP_TIMEOUT_S)
        await child.start(START_TIMEOUT_S)
        yield Ground(directory, postgres, template, child, stack)
