"""A node with the operators' service on it, called over gRPC; participants are played."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import grpc
import pytest
from google.rpc.status_pb2 import Status
from saga.v1 import operator_service_pb2 as pb
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub

from contracts.errors import DETAILS_KEY, RpcError, from_status
from orchestrator.operations.operators import Operators, OperatorSettings
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.postgres import DatabaseFactory, connect
from tests.integration.engine.harness import REGISTRY, Node, Rig

CALL_S = 30.0
_numbers = itertools.count(1)


@dataclass
class Door:
    """One node's service, and a stub to it."""

    rig: Rig
    node: Node
    operators: Operators
    server: RpcServer
    channel: grpc.aio.Channel
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = SagaOperatorServiceStub(self.channel)

    async def version(self, saga_id: UUID) -> int:
        return (await self.rig.stored(saga_id)).last_seq

    async def act(self, name: str, saga_id: UUID, *, seen: int | None = None, **more: Any) -> Any:
        """One action, by the name of its method."""
        version = await self.version(saga_id) if seen is None else seen
        request = getattr(pb, f"{name}Request")(
            request_id=more.pop("request_id", f"act-{next(_numbers)}"),
            saga_id=str(saga_id),
            expected_version=version,
            reason="a test",
            **more,
        )
        return await getattr(self.stub, name)(request, timeout=CALL_S)

    async def refusal(self, name: str, saga_id: UUID, **more: Any) -> tuple[grpc.StatusCode, str]:
        """Status and reason of an action that is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.act(name, saga_id, **more)
        return caught.value.code(), told(caught.value).reason


def told(error: grpc.aio.AioRpcError) -> RpcError:
    """What the trailers of an error say."""
    trailers = dict(error.trailing_metadata() or ())
    return from_status(Status.FromString(trailers[DETAILS_KEY]))


async def open_door(rig: Rig, node: Node) -> Door:
    """Serves a node's operators on a free port."""
    settings = RpcSettings(listen_address="127.0.0.1:0", max_wait_s=20.0)
    operators = Operators(
        node.engine,
        node.real_store,
        REGISTRY,
        OperatorSettings(blocked_attention_s=0.05, park_after_s=1.0),
        drain=node.engine.stop,
        addresses=frozenset(),
        new_id=node.engine.new_id,
    )
    server = RpcServer(settings, node.engine, node.real_store, REGISTRY, operators=operators)
    port = await server.start()
    operators.orders.start()
    return Door(rig, node, operators, server, grpc.aio.insecure_channel(f"127.0.0.1:{port}"))


async def close_door(door: Door) -> None:
    await door.operators.orders.stop()
    await door.channel.close()
    await door.server.stop(0.1)


@pytest.fixture
async def rig(fresh_database: DatabaseFactory) -> AsyncIterator[Rig]:
    """A fresh database and no node yet; what was started is stopped."""
    url = await fresh_database("orchestrator")
    db = await connect(url)
    rig = Rig(url, db)
    yield rig
    await rig.stop()
    await db.close()


@pytest.fixture
async def door(rig: Rig) -> AsyncIterator[Door]:
    """One node and its service."""
    door = await open_door(rig, await rig.node())
    yield door
    await close_door(door)
