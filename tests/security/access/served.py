"""A node with a policy: the real server, engine and store; participants are played."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import grpc
from google.rpc.status_pb2 import Status
from inventory.v1.inventory_pb2 import ReserveRequest, StockLine
from saga.v1 import saga_service_pb2 as pb
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceStub
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import DETAILS_KEY, RpcError, from_status
from orchestrator.operations.operators import Operators, OperatorSettings
from orchestrator.rpc.access.settings import AccessSettings
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.certificates import replace
from tests.fixtures.tokens import AUDIENCE, ISSUER, TokenIssuer, bearer
from tests.integration.engine.harness import REGISTRY, Node, Rig, until

CALL_S: Final = 30.0
POLICY: Final = f"""
[[issuer]]
name = "login"
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
jwks = "jwks.json"

[[identity]]
issuer = "login"
subject = "starter"
roles = ["starter"]
definitions = ["line"]
tenant = "acme"

[[identity]]
issuer = "login"
subject = "fellow"
roles = ["starter"]
definitions = ["line"]
tenant = "acme"

[[identity]]
issuer = "login"
subject = "stranger"
roles = ["starter"]
definitions = ["*"]
tenant = "globex"

[[identity]]
issuer = "login"
subject = "reader"
roles = ["reader"]
tenants = ["acme"]

[[identity]]
issuer = "login"
subject = "both"
roles = ["starter", "reader"]
definitions = ["line"]
tenant = "acme"

[[identity]]
issuer = "login"
subject = "warden"
roles = ["operator"]
tenants = ["globex"]

[[identity]]
issuer = "login"
claims = {{ groups = "saga-operators" }}
roles = ["operator"]
tenants = ["acme"]

[[identity]]
issuer = "login"
subject = "admin"
roles = ["admin"]

[[identity]]
spiffe = "spiffe://example.test/shop"
roles = ["starter", "operator"]
definitions = ["line"]
tenant = "acme"
"""
_numbers = itertools.count(1)


@dataclass
class Guarded:
    """The server, whoever calls it, and the files that it reads."""

    rig: Rig
    node: Node
    server: RpcServer
    port: int
    channel: grpc.aio.Channel
    issuer: TokenIssuer
    folder: Path

    def metadata(self, who: str | None) -> tuple[tuple[str, str], ...]:
        """Of a call by one of the policy's subjects; ``operator`` is known by its group, None says nothing."""
        if who is None:
            return ()
        groups = ["staff", "saga-operators"] if who == "operator" else []
        return bearer(self.issuer.token(who, groups=groups))

    def sagas(self, channel: grpc.aio.Channel | None = None) -> Any:
        return SagaServiceStub(channel or self.channel)

    def operators(self, channel: grpc.aio.Channel | None = None) -> Any:
        return SagaOperatorServiceStub(channel or self.channel)

    async def call(self, method: str, request: Any, who: str | None) -> Any:
        """One unary call, by the method's name."""
        stub = self.sagas() if hasattr(self.sagas(), method) else self.operators()
        return await getattr(stub, method)(request, timeout=CALL_S, metadata=self.metadata(who))

    def an_input(self) -> bytes:
        """What the definitions of these tests take."""
        number = next(_numbers)
        lines = [StockLine(sku="SKU-1", quantity=1)]
        return ReserveRequest(order_id=f"o-{number}", warehouse_id=f"w-{number}", lines=lines).SerializeToString()

    async def start(self, who: str = "starter", definition: str = "line") -> UUID:
        """A saga that somebody starts."""
        request = pb.StartSagaRequest(request_id=f"r-{next(_numbers)}", definition=definition, input=self.an_input())
        return UUID((await self.call("StartSaga", request, who)).saga.saga_id)

    async def publish(self) -> None:
        """The issuer's keys as they are now; returns once the node has them."""
        self.issuer.publish(self.folder / "jwks.json")
        access = self.server._access
        assert access is not None
        (keys,) = access._keys.values()
        await until(lambda: set(keys._keys) == {key.kid for key in self.issuer.keys}, "the keys are read")

    def rewrite(self, policy: str) -> None:
        """The policy file, replaced in one step."""
        replace(self.folder / "policy.toml", policy.encode())


def access_settings(folder: Path, **settings: Any) -> AccessSettings:
    """Quick ones."""
    given = {"reload_interval_s": 0.05, "token_leeway_s": 0.0, "jwks_refetch_interval_s": 0.0, **settings}
    return AccessSettings(folder / "policy.toml", **given)


@asynccontextmanager
async def guarded_node(
    rig: Rig,
    folder: Path,
    *,
    policy: str = POLICY,
    rpc: RpcSettings | None = None,
    **settings: Any,
) -> AsyncIterator[Guarded]:
    """Serves on a free loopback port until the block ends."""
    issuer = TokenIssuer()
    issuer.publish(folder / "jwks.json")
    (folder / "policy.toml").write_text(policy)
    node = await rig.node()
    operators = Operators(
        node.engine,
        node.real_store,
        REGISTRY,
        OperatorSettings(),
        drain=node.engine.stop,
        addresses=frozenset(),
        new_id=node.engine.new_id,
    )
    server = RpcServer(
        rpc or RpcSettings(listen_address="127.0.0.1:0", max_wait_s=20.0),
        node.engine,
        node.real_store,
        REGISTRY,
        operators=operators,
        access=access_settings(folder, **settings),
    )
    port = await server.start()
    operators.orders.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Guarded(rig, node, server, port, channel, issuer, folder)
    await operators.orders.stop()
    await node.engine.stop()
    await server.stop(0.1)


def told(error: grpc.aio.AioRpcError) -> RpcError:
    """What the trailers of an error say."""
    trailers = dict(error.trailing_metadata() or ())
    return from_status(Status.FromString(trailers[DETAILS_KEY]))
