"""Whole nodes and a participant in this process, on PostgreSQL, and a collector that they tell."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import pytest
from saga.v1 import saga_pb2
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.app import Node
from orchestrator.settings import Settings
from tests.fixtures.collector import Collector, collecting
from tests.fixtures.postgres import DatabaseFactory, as_program, connect
from tests.integration.participants.conftest import probe_database, serving
from tests.integration.participants.probe import Probe, reserve_request

CALL_S = 20.0
ENDED = {saga_pb2.SAGA_STATE_COMPLETED, saga_pb2.SAGA_STATE_COMPENSATED, saga_pb2.SAGA_STATE_STUCK}
QUICK: dict[str, Any] = {
    "definitions": ("tests.integration.telemetry.sagas",),
    "listen_address": "127.0.0.1:0",
    "renew_interval_s": 0.05,
    "poll_interval_s": 0.06,
    "lease_ttl_s": 5.0,
    "blocked_retry_s": 0.05,
    "traces_interval_s": 0.05,
    "traces_timeout_s": 2.0,
}
_numbers = itertools.count(1)


@dataclass
class Stage:
    """A database, a participant that does what the test says, and the nodes of a test."""

    url: str
    probe: Probe
    participant: str
    stack: AsyncExitStack
    nodes: list[Node] = field(default_factory=list)

    async def node(self, **settings: Any) -> Node:
        """A node that serves."""
        participants = {"inventory.v1.InventoryService": [self.participant]}
        name = f"node-{len(self.nodes)}"
        given = {**QUICK, "node_name": name, "participants": participants, **settings}
        node = Node(Settings.model_validate(given), as_program(self.url))
        self.stack.push_async_callback(node.stop)
        self.nodes.append(node)
        await node.start()
        return node

    async def channel(self, node: Node) -> grpc.aio.Channel:
        """Closed with the test."""
        return await self.stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{node.port}"))

    async def start(self, node: Node, traceparent: str | None = None, **order: Any) -> UUID:
        """A new saga by the node's RPC."""
        stub = SagaServiceStub(await self.channel(node))
        number = next(_numbers)
        packed = reserve_request(**{"order_id": f"order-{number}", **order}).SerializeToString()
        request = pb.StartSagaRequest(request_id=f"request-{number}", definition="pair", version=1, input=packed)
        metadata = [] if traceparent is None else [("traceparent", traceparent)]
        started = await stub.StartSaga(request, timeout=CALL_S, metadata=metadata)
        return UUID(started.saga.saga_id)

    async def ends(self, node: Node, saga_id: UUID) -> int:
        """The state in which it ended, or is stuck."""
        stub = SagaServiceStub(await self.channel(node))
        found = await stub.WaitSaga(pb.WaitSagaRequest(saga_id=str(saga_id)), timeout=CALL_S)
        assert found.saga.state in ENDED, found.saga
        return int(found.saga.state)

    async def kill(self, node: Node) -> None:
        """The node is gone without a word, and its lease has lapsed."""
        node_id = node.engine.node_id
        assert node_id is not None
        engine = node.engine
        await engine._services.stop()  # it renews no more
        engine._dispatcher.drop_all()
        db = await connect(self.url)
        try:
            lapse = "UPDATE node SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE node_id = $1"
            await db.execute(lapse, node_id)
        finally:
            await db.close()


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Returns once the condition holds, which no event announces."""
    try:
        async with asyncio.timeout(CALL_S):
            while not condition():  # noqa: ASYNC110  (as said)
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"still waiting: {what or condition}") from None


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """One that takes everything."""
    async with collecting() as found:
        yield found


@pytest.fixture
async def stage(fresh_database: DatabaseFactory, collector: Collector) -> AsyncIterator[Stage]:
    """No node yet; the participant tells the collector."""
    probe = Probe()
    traces = {"traces_endpoint": collector.url, "traces_interval_s": 0.05, "traces_timeout_s": 2.0}
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            serving(probe.participant(), await probe_database(fresh_database), **traces)
        )
        url = await fresh_database("orchestrator")
        yield Stage(url, probe, served.address, stack)
