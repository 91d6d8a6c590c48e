"""Engines on the real store, with played participants."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import asyncpg
from inventory.v1.inventory_pb2 import ReserveRequest

from orchestrator.core.state import SagaState, SagaStatus
from orchestrator.definitions.registry import Registry, load_sagas
from orchestrator.engine.engine import Engine, Sources
from orchestrator.engine.journal import step_names
from orchestrator.engine.ports import Started, Store
from orchestrator.engine.resume import replay
from orchestrator.engine.run import row_state
from orchestrator.engine.settings import EngineSettings
from orchestrator.engine.stored import StoredSaga
from orchestrator.storage.settings import StorageSettings
from orchestrator.storage.store import PostgresStore
from tests.fixtures.postgres import as_program
from tests.integration.engine import sagas
from tests.integration.engine.faulty import FaultyStore
from tests.integration.engine.played import Played, World

WAIT_S = 20.0
REGISTRY = load_sagas([sagas.line, sagas.fan, sagas.pivoted, sagas.single, sagas.brief])
_numbers = itertools.count(1)

Settings = dict[str, Any]
QUICK: Settings = {
    "lease_ttl_s": 30.0,
    "renew_interval_s": 0.05,
    "poll_interval_s": 0.05,
    "watch_interval_s": 0.02,
    "start_timeout_s": WAIT_S,
    "drain_grace_s": 5.0,
}


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Returns once the condition holds."""
    try:
        async with asyncio.timeout(WAIT_S):
            while True:  # what is waited for has no event of its own
                if condition():
                    return
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"still waiting after {WAIT_S} s: {what or condition}") from None


@dataclass
class SkewedClock:
    """A monotonic clock that a test pushes forward."""

    skew_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skew_s


@dataclass
class Node:
    """One engine, its own connections, and the hands on its clock and store."""

    name: str
    engine: Engine
    store: FaultyStore
    real_store: PostgresStore
    healthy: list[bool]
    clock: SkewedClock

    @property
    def node_id(self) -> UUID:
        found = self.engine.node_id
        assert found is not None, "the node holds a lease"
        return found

    async def start(self, name: str = "line", *, request_id: str | None = None, **order: Any) -> UUID:
        """A new saga."""
        started = await self.try_start(name, request_id=request_id, **order)
        assert started.conflict is None, started
        return started.saga_id

    async def try_start(self, name: str = "line", *, request_id: str | None = None, **order: Any) -> Started:
        found = REGISTRY.find(name)
        assert found is not None
        number = next(_numbers)
        order = {"order_id": f"order-{number}", "warehouse_id": f"w-{number}", **order}
        return await self.engine.start(
            found, ReserveRequest(**order), caller="local", request_id=request_id or f"request-{number}"
        )

    async def ends(self, saga_id: UUID, status: SagaStatus = SagaStatus.COMPLETED) -> None:
        """Waits for the saga's end, wherever it runs."""
        standing = await self.engine.wait(saga_id, WAIT_S)
        assert standing is not None
        assert standing.status is status, standing

    def held(self) -> dict[str, int]:
        """How much there is in each of the node's collections that sagas come and go in."""
        engine = self.engine
        dispatcher, writer = engine._dispatcher, engine._writer
        return {
            "runs": len(dispatcher.runs),
            "defects": len(dispatcher.defects),
            "waiting": len(dispatcher.calls._waiting_for_lease),
            "queued": sum(lane.queued + lane.blocked for lane in engine.participants()),
            "dirty": len(writer._dirty),
            "watches": len(engine._watches._watches),
            "side_tasks": len(engine._services._side_tasks),
        }


@dataclass
class Rig:
    """A database, the world of participants, and the nodes of a test."""

    url: str = field(repr=False)
    db: "asyncpg.Connection[asyncpg.Record]"
    world: World = field(default_factory=World)
    nodes: list[Node] = field(default_factory=list)

    async def node(self, *, registry: Registry = REGISTRY, **settings: Any) -> Node:
        """A node that has begun."""
        node = await self.prepare(registry=registry, **settings)
        await node.engine.begin()
        return node

    async def prepare(self, *, registry: Registry = REGISTRY, **settings: Any) -> Node:
        """A node that has not begun."""
        name = f"node-{len(self.nodes)}"
        store = PostgresStore(StorageSettings(as_program(self.url), pool_size=3))
        await store.open()
        faulty = FaultyStore(store)
        healthy: list[bool] = []
        clock = SkewedClock()
        engine = Engine(
            cast("Store", faulty),
            Played(self.world, name),
            registry,
            EngineSettings(**{**QUICK, "node_name": name, **settings}),
            sources=Sources(clock),
            on_health=healthy.append,
        )
        node = Node(name, engine, faulty, store, healthy, clock)
        self.nodes.append(node)
        return node

    async def lapse(self, node: Node) -> UUID:
        """The node's lease runs out in the database, and it does not get to renew it."""
        node.store.renewals_away = True
        await until(lambda: node.store.renewing == 0)
        node_id = node.node_id
        await self.db.execute(
            "UPDATE node SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE node_id = $1", node_id
        )
        return node_id

    async def kill(self, node: Node) -> None:
        """The node is gone without a word; its lease has lapsed."""
        await self.lapse(node)
        node.engine._dispatcher.drop_all()
        await node.engine._services.stop()

    async def stored(self, saga_id: UUID) -> StoredSaga:
        """The saga as it is in the database."""
        (found,) = await self.nodes[0].real_store.load([saga_id])
        return found

    async def check_explained(self, saga_id: UUID) -> SagaState:
        """I9: the journal has no gap and folds to the row's state."""
        stored = await self.stored(saga_id)
        assert [entry.seq for entry in stored.journal] == list(range(1, stored.last_seq + 1))
        epochs = [entry.epoch for entry in stored.journal]
        assert epochs == sorted(epochs)
        definition = REGISTRY.find_digest(stored.digest)
        assert definition is not None
        state = replay(definition, stored)
        assert row_state(state, step_names(definition.spec)) == stored.row
        return state

    def check_epochs(self) -> None:
        """No effect under an older epoch than one that was seen before, and none twice."""
        assert all(count == 1 for count in self.world.effects.values()), self.world.effects

    async def stop(self) -> None:
        """Stops every node and closes its store."""
        for node in self.nodes:
            node.store.away = node.store.renewals_away = False
            node.store.commit_gate.set()
        for gate in self.world.gates.values():
            gate.set()
        for node in self.nodes:
            await node.engine.stop()
            await node.real_store.close()
        assert self.world.running == 0, "no call outlives its node"
