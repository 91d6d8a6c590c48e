"""Both ends of channels with TLS: a node and a participant that serve, and clients of every kind."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import grpc

from contracts.tls import ClientTls, ServerTls
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from participants.inventory.handlers import participant as inventory
from participants.kit.server import ParticipantServer
from participants.kit.settings import Settings as ParticipantSettings
from tests.fixtures.certificates import Authority, replace
from tests.integration.rpc.fakes import REGISTRY, FakeEngine, FakeQueries

Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"

NODE: Final = "spiffe://example.test/saga/node"
HEALTH: Final = "grpc.health.v1.Health"
CHECK: Final = f"/{HEALTH}/Check"
NOWHERE: Final = "postgresql://nobody@127.0.0.1:1/none"


@dataclass
class Files:
    """A folder of PEM files, and the authority that signed them."""

    folder: Path
    authority: Authority = field(default_factory=Authority)

    def __post_init__(self) -> None:
        self.trust(self.authority)
        self.issue("server", "localhost", "127.0.0.1")
        self.issue("client", uris=[NODE])

    @property
    def ca(self) -> Path:
        """Whom both ends trust."""
        return self.folder / "ca.pem"

    def trust(self, *authorities: Authority) -> None:
        """Replaces the authorities that both ends trust."""
        replace(self.ca, b"".join(each.certificate for each in authorities))

    def issue(self, who: str, *names: str, **given: Any) -> float:
        """Replaces a pair; returns when it lapses, in seconds since 1970."""
        authority = given.pop("authority", self.authority)
        pair = authority.issue(*names, **given)
        pair.write(self.folder, who)
        return float(pair.expires_at.timestamp())

    def server(self) -> ServerTls:
        """Of a server that demands certificates."""
        return ServerTls(self.folder / "server.pem", self.folder / "server.key", self.ca)

    def client(self, who: str = "client", **given: Any) -> ClientTls:
        """Of a client with a certificate."""
        given = {"ca_file": self.ca, **given}
        return ClientTls(cert_file=self.folder / f"{who}.pem", key_file=self.folder / f"{who}.key", **given)


@asynccontextmanager
async def node_port(tls: ServerTls | None, **settings: Any) -> AsyncIterator[int]:
    """The port of a node's server on the loopback."""
    server = RpcServer(RpcSettings("127.0.0.1:0", tls, **settings), FakeEngine(), FakeQueries(), REGISTRY)
    try:
        yield await server.start()
    finally:
        await server.stop(0)


@asynccontextmanager
async def participant_port(tls: ServerTls, **settings: Any) -> AsyncIterator[int]:
    """The port of the inventory on the loopback. It has no database: what reaches a handler is refused there."""
    files = {"tls_cert_file": tls.cert_file, "tls_key_file": tls.key_file, "tls_client_ca_file": tls.client_ca_file}
    given = {"database_url": NOWHERE, "shutdown_grace_s": 0.1, **files, **settings}
    server = ParticipantServer(inventory(), ParticipantSettings.model_validate(given))
    try:
        yield await server.start()
    finally:
        await server.stop()


@asynccontextmanager
async def channel(port: int, tls: ClientTls | None) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own."""
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    if tls is None:
        opened = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
    else:
        target = f"127.0.0.1:{port}"
        opened = grpc.aio.secure_channel(target, tls.credentials(), options=[*options, *tls.options()])
    async with opened:
        yield opened


def method(connection: grpc.aio.Channel, path: str = CHECK) -> Method:
    """A method that takes and gives bytes."""
    found: Method = connection.unary_unary(path)
    return found


async def check(connection: grpc.aio.Channel) -> grpc.StatusCode:
    """How a health check ends."""
    try:
        await method(connection)(b"", timeout=20)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
