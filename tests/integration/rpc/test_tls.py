"""TLS per target: the server proves its name, the node proves itself, and who cannot is not spoken to.

The certificates in ``tls/`` are throwaways: their authority's key was never kept.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from contracts.tls import ClientTls, ServerTls
from orchestrator.engine.ports import Answer, Call
from orchestrator.rpc.access.settings import AccessSettings
from orchestrator.rpc.participants import ParticipantChannels
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from orchestrator.rpc.targets import Target
from tests.integration.rpc.fakes import REGISTRY, FakeEngine, FakeQueries

FILES = Path(__file__).with_name("tls")
CA = FILES / "ca.pem"
HEALTH = "grpc.health.v1.Health"
MUTUAL = ClientTls(CA, FILES / "node.pem", FILES / "node.key", "participant.test")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    tls = ServerTls(FILES / "participant.pem", FILES / "participant.key", CA)
    server = RpcServer(RpcSettings("127.0.0.1:0", tls), FakeEngine(), FakeQueries(), REGISTRY)
    yield await server.start()
    await server.stop(0)


async def check(port: int, tls: ClientTls | None) -> Answer:
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
        ClientTls(CA, server_name="participant.test"),
        ClientTls(CA, FILES / "node.pem", FILES / "node.key", "another.test"),
        ClientTls(CA, FILES / "node.pem", FILES / "node.key"),
        ClientTls(None, FILES / "node.pem", FILES / "node.key", "participant.test"),
    ],
    ids=["in the clear", "without a certificate", "another name", "no name", "another authority"],
)
async def test_nothing_less_is_spoken_to(port: int, tls: ClientTls | None) -> None:
    assert (await check(port, tls)).code == 14


async def test_a_certificate_alone_lets_no_other_machine_in(tmp_path: Path) -> None:
    settings = RpcSettings("0.0.0.0:0", ServerTls(FILES / "participant.pem", FILES / "participant.key"))
    with pytest.raises(ValueError, match="a certificate and a policy"):
        RpcServer(settings, FakeEngine(), FakeQueries(), REGISTRY)
    inner = replace(settings, listen_address="127.0.0.1:0", token_listen_address="0.0.0.0:0")
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:0 is reached by other machines"):
        RpcServer(inner, FakeEngine(), FakeQueries(), REGISTRY)
    (tmp_path / "policy.toml").touch()
    access = AccessSettings(tmp_path / "policy.toml")
    with pytest.raises(ValueError, match="a certificate and a policy"):
        RpcServer(replace(settings, tls=None), FakeEngine(), FakeQueries(), REGISTRY, access=access)
    server = RpcServer(settings, FakeEngine(), FakeQueries(), REGISTRY, access=access)
    assert await server.start() > 0
    await server.stop(0)
