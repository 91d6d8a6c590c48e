"""Real processes with a proxy on every connection: PostgreSQL, participants and nodes, each one's ways its own."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import make_url

from orchestrator.local.databases import Database, provide
from orchestrator.local.health import wait_until_serving
from orchestrator.local.postgres import EmbeddedPostgres
from orchestrator.local.processes import Child, ChildError
from orchestrator.local.stack import SERVICES
from tests.chaos.audit import AUDITS
from tests.chaos.proxy import Address, Proxy
from tests.fixtures.postgres import connect

LEASE_TTL_S: Final = 3.0
START_S: Final = 60.0
HERE: Final = Path(__file__).parent
PYTHONPATH: Final = [str(HERE / "packages"), *map(os.path.abspath, filter(None, sys.path))]
NODE_SETTINGS: Final = {
    "ORCHESTRATOR_LEASE_TTL_S": f"{LEASE_TTL_S:g}",
    "ORCHESTRATOR_RENEW_INTERVAL_S": "0.75",
    "ORCHESTRATOR_STATEMENT_TIMEOUT_S": "1.5",
    "ORCHESTRATOR_COMMAND_TIMEOUT_S": "2",
    "ORCHESTRATOR_BLOCKED_RETRY_S": "2",
    "ORCHESTRATOR_MAX_STALE_CLAIMS": "1000",  # deaths are many here, and none is a saga's fault
    "ORCHESTRATOR_DEFINITIONS": '["orchestrator.definitions.shipped", "chaos_sagas.brisk"]',
    "ORCHESTRATOR_LOG_LEVEL": "warning",
}


@dataclass(eq=False)
class Actor:
    """A process under test, its proxies, and what its failpoints told."""

    name: str
    child: Child
    database: Proxy
    failpoints: Path
    address: str = ""
    participants: dict[str, Proxy] = field(default_factory=dict)
    node_id: str = ""
    """Of a node, the incarnation that was last seen."""

    @property
    def is_running(self) -> bool:
        return self.child.is_running()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)

    def fired(self) -> list[dict[str, Any]]:
        """What its failpoints did."""
        if not self.failpoints.exists():
            return []
        return [json.loads(line) for line in self.failpoints.read_text().splitlines()]

    async def died(self, timeout_s: float) -> bool:
        """Whether the process ended by SIGKILL within the time: seen from outside, by its exit code."""
        with suppress(TimeoutError):
            return await self.child.wait(timeout_s) == -signal.SIGKILL
        return False


class World:
    """An asynchronous context manager; use it from the main thread. ``planted`` names a defect of the children."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        planted: str = "",
        postgres: Mapping[str, str] | None = None,
        split: bool = False,
    ) -> None:
        self.directory = directory
        self.seed = seed
        self.draw = random.Random(seed)
        self.planted = planted
        self.postgres = EmbeddedPostgres(
            directory / "postgres", listen_port=0, end_with_process=True, settings=dict(postgres or {})
        )
        self.successor: EmbeddedPostgres | None = None
        """What took the place of ``postgres`` in a failover."""
        self.second = EmbeddedPostgres(directory / "second", listen_port=0, end_with_process=True) if split else None
        """Where the participants' databases are, if not beside the store."""
        self.databases: dict[str, Database] = {}
        self.participants: dict[str, Actor] = {}
        self.nodes: list[Actor] = []
        self._count = 0

    async def __aenter__(self) -> Self:
        try:
            self.postgres.start()
            if self.second is not None:
                self.second.start()
            for chain in ("orchestrator", *SERVICES):
                self.databases[chain] = await provide(self._server_of(chain), chain)
                await self.sql(chain, AUDITS[chain])
            await asyncio.gather(*(self.start_participant(name) for name in SERVICES))
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_failure: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends every process, whatever state it is in."""
        for actor in (*self.nodes, *self.participants.values()):
            if actor.is_running:
                actor.signal(signal.SIGCONT)
        await asyncio.gather(*(node.child.kill() for node in self.nodes))
        await asyncio.gather(*(each.child.kill() for each in self.participants.values()))
        for actor in (*self.nodes, *self.participants.values()):
            for proxy in (actor.database, *actor.participants.values()):
                await proxy.stop()
        self.postgres.stop()
        if self.second is not None:
            self.second.stop()

    @property
    def live(self) -> list[Actor]:
        """Nodes that run, oldest first."""
        return [node for node in self.nodes if node.is_running and node.address]

    async def start_node(self, environment: Mapping[str, str] | None = None, *, failpoints: str = "") -> Actor:
        """One more node. Raises ``ChildError``."""
        return await self.boot(await self.prepare_node(environment, failpoints=failpoints))

    async def prepare_node(self, environment: Mapping[str, str] | None = None, *, failpoints: str = "") -> Actor:
        """A node with its proxies, not started yet."""
        self._count += 1
        name = f"node-{self._count}"
        database = await self._database_proxy("orchestrator")
        ways: dict[str, Proxy] = {}
        for participant in SERVICES:
            ways[participant] = Proxy(self._address_of(participant), record=True)
            await ways[participant].start()
        url = self._through(self.databases["orchestrator"].url, database.port)
        log = self.directory / f"{name}.failpoints"
        settings = {
            **NODE_SETTINGS,
            "PYTHONPATH": self._pythonpath(),
            "PLANTED": self.planted,
            "DATABASE_URL": url,
            "ORCHESTRATOR_DATABASE_URL": url,
            "ORCHESTRATOR_NODE_NAME": name,
            "ORCHESTRATOR_LISTEN_ADDRESS": "127.0.0.1:0",
            "ORCHESTRATOR_PARTICIPANTS": json.dumps(
                {service: [f"127.0.0.1:{ways[each].port}"] for each, service in SERVICES.items()}
            ),
            "ORCHESTRATOR_FAILPOINTS": failpoints,
            "ORCHESTRATOR_FAILPOINTS_LOG": str(log),
            "ORCHESTRATOR_ALLOW_FAILPOINTS": "true",
            **(environment or {}),
        }
        child = Child(name, ["-m", "orchestrator.cli.server", "serve"], settings, self.directory / f"{name}.log")
        actor = Actor(name, child, database, log, participants=ways)
        self.nodes.append(actor)
        return actor

    async def boot(self, node: Actor) -> Actor:
        """Starts a prepared node and waits until it serves. Raises ``ChildError``."""
        await node.child.start(START_S)
        node.address = str(node.child.announcement["address"])
        node.node_id = str(node.child.announcement["node_id"])
        await node.child.until(wait_until_serving(node.address, START_S))
        return node

    async def start_participant(
        self, name: str, *, failpoints: str = "", environment: Mapping[str, str] | None = None
    ) -> Actor:
        """Starts a participant, at its former port if it had one."""
        former = self.participants.get(name)
        database = former.database if former else await self._database_proxy(name)
        log = self.directory / f"{name}.failpoints"
        settings = {
            "PYTHONPATH": self._pythonpath(),
            "PLANTED": self.planted,
            "PARTICIPANT_DATABASE_URL": self._through(self.databases[name].url, database.port),
            "PARTICIPANT_LISTEN_ADDRESS": former.address if former else "127.0.0.1:0",
            "PARTICIPANT_STATEMENT_TIMEOUT_S": "3",
            "PARTICIPANT_FAILPOINTS": failpoints,
            "PARTICIPANT_FAILPOINTS_LOG": str(log),
            "PARTICIPANT_ALLOW_FAILPOINTS": "true",
            "PARTICIPANT_LOG_LEVEL": "warning",
            **(environment or {}),
        }
        child = Child(name, ["-m", f"participants.{name}", "serve"], settings, self.directory / f"{name}.log")
        actor = self.participants[name] = Actor(name, child, database, log)
        if former is not None:
            actor.address = former.address
        await child.start(START_S)
        actor.address = f"127.0.0.1:{child.announcement['port']}"
        await child.until(wait_until_serving(actor.address, START_S))
        return actor

    async def restart_participant(self, name: str, *, failpoints: str = "") -> Actor:
        """Kills it if it runs, and starts it again."""
        await self.participants[name].child.kill()
        return await self.start_participant(name, failpoints=failpoints)

    async def heal(self, nodes: int = 2) -> None:
        """Everything passes, everything runs, and ``nodes`` nodes that serve, none of them armed."""
        for actor in (*self.nodes, *self.participants.values()):
            if actor.is_running:
                actor.signal(signal.SIGCONT)
            for proxy in (actor.database, *actor.participants.values()):
                proxy.heal()
        for name, participant in list(self.participants.items()):
            if not participant.is_running:
                await self.start_participant(name)
        while True:
            while len(self.live) < nodes:
                await self.start_node()
            try:
                for node in self.live:
                    await node.child.until(wait_until_serving(node.address, START_S))
                return
            except ChildError:
                continue  # it was dying already, and only now its end is known

    async def sql(self, database: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """As the owner of the database, past every proxy."""
        address = make_url(self._server_of(database).url())
        url = make_url(self.databases[database].owner_url).set(query=address.query)
        connection = await connect(url.render_as_string(hide_password=False))
        try:
            if not arguments:
                if statement.lstrip().upper().startswith("SELECT"):
                    return list(await connection.fetch(statement))
                await connection.execute(statement)
                return []
            return list(await connection.fetch(statement, *arguments))
        finally:
            await connection.close()

    async def admin(self, statement: str) -> list[asyncpg.Record]:
        """As the superuser."""
        connection = await connect(self.postgres.url())
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    def postgres_address(self) -> tuple[str, int]:
        """Where the store's server listens now."""
        return _listens(self.successor or self.postgres)

    def _server_of(self, chain: str) -> EmbeddedPostgres:
        if chain != "orchestrator" and self.second is not None:
            return self.second
        return self.successor or self.postgres

    async def _database_proxy(self, chain: str) -> Proxy:
        proxy = Proxy(lambda: _listens(self._server_of(chain)))
        await proxy.start()
        return proxy

    def _address_of(self, participant: str) -> Any:
        def address() -> Address:
            host, _, port = self.participants[participant].address.rpartition(":")
            return (host, int(port))

        return address

    def _through(self, url: str, port: int) -> str:
        way = make_url(url).set(host="127.0.0.1", port=port, query={})
        return way.render_as_string(hide_password=False)

    def _pythonpath(self) -> str:
        planted = [str(HERE / "planted")] if self.planted else []
        return os.pathsep.join([*planted, *PYTHONPATH])


def _listens(server: EmbeddedPostgres) -> tuple[str, int]:
    port = make_url(server.url(tcp=True)).port
    assert port is not None
    return ("127.0.0.1", port)
