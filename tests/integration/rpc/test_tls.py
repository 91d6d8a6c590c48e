"""TLS per target: the server proves its name, the node proves itself, and who cannot is not spoken to.

The certificates in ``tls/`` are throwaways: their authority's key was never kept.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from orchestrator.engine.ports import Answer, Call
from orchestrator.rpc.participants import ParticipantChannels
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from orchestrator.rpc.targets import Target, Tls
from tests.integration.rpc.fakes import REGISTRY, FakeEngine, FakeQueries

FILES = Path(__file__).with_name("tls")
CA = FILES / "ca.pem"
HEALTH = "grpc.health.v1.Health"
MUTUAL = Tls(CA, FILES / "node.pem", FILES / "node.key", "participant.test")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    pair = ((FILES / "participant.key").read_bytes(), (FILES / "participant.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], CA.read_bytes(), require_client_auth=True)
    settings = RpcSettings(listen_address="127.0.0.1:0")
    server = RpcServer(settings, FakeEngine(), FakeQueries(), REGISTRY, credentials=credentials)
    yield await server.start()
    await server.stop(0)


async def check(port: int, tls: Tls | None) -> Answer:
    channels = ParticipantChannels({HEALTH: [Target(f"127.0.0.1:{port}", tls)]})
    answer = await channels.call(Call(HEALTH, f"/{HEALTH}/Check", b"", 10.0, ()))
    await channels.close()
    return answer


async def test_mutual_tls(port: int) -> None:
    answer = await check(port, MUTUAL)
    assert answer.code == 0
    status = health_pb2.HealthCheckResponse.FromString(answer.response).status
    assert status == health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize(
    "tls",
    [
        None,
        Tls(CA, server_name="participant.test"),
        Tls(CA, FILES / "node.pem", FILES / "node.key", "another.test"),
        Tls(CA, FILES / "node.pem", FILES / "node.key"),
        Tls(None, FILES / "node.pem", FILES / "node.key", "participant.test"),
    ],
    ids=["in the clear", "without a certificate", "another name", "no name", "another authority"],
)
async def test_nothing_less_is_spoken_to(port: int, tls: Tls | None) -> None:
    assert (await check(port, tls)).code == 14


async def test_with_a_certificate_any_address_may_be_served() -> None:
    pair = ((FILES / "participant.key").read_bytes(), (FILES / "participant.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair])
    settings = RpcSettings(listen_address="0.0.0.0:0")
    server = RpcServer(settings, FakeEngine(), FakeQueries(), REGISTRY, credentials=credentials)
    assert await server.start() > 0
    await server.stop(0)
