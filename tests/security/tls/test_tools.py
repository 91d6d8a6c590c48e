"""The tools of operators over TLS: the console, towards browsers and towards its own node, and sagactl."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from saga.v1 import operator_service_pb2 as pb
from saga.v1.operator_service_pb2_grpc import add_SagaOperatorServiceServicer_to_server

from contracts.following import Follower
from contracts.serving import ServingInterceptor
from contracts.tls import ServerTls, connection_age
from orchestrator.cli.sagactl.exits import ExitCode
from orchestrator.console.server import ConsoleServer
from orchestrator.console.settings import ConsoleSettings
from tests.console.standin import FullStandIn
from tests.fixtures.sagactl import sagactl
from tests.security.tls.ends import NODE, Files

TOKEN = "eyJhbGciOi.J9.c2lnbmVk"


class Listening(FullStandIn):
    """Knows over which connections it was called, by whom and with what tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.connections: list[str] = []
        self.callers: list[str] = []
        self.tokens: list[str] = []

    async def ListNodes(self, request: pb.ListNodesRequest, context: Any) -> pb.ListNodesResponse:  # noqa: N802
        self.connections.append(context.peer())
        self.callers += [each.decode() for each in context.auth_context().get("peer_spiffe_id", ())]
        self.tokens += [value for key, value in context.invocation_metadata() if key == "authorization"]
        return await super().ListNodes(request, context)


@asynccontextmanager
async def listening(tls: ServerTls | None, age_s: float = 3600) -> AsyncIterator[tuple[Listening, str]]:
    """Serves on a free port of the loopback; yields what listens, and the address."""
    service = Listening()
    server = grpc.aio.server(interceptors=[ServingInterceptor(1 << 20)], options=connection_age(age_s, 5))
    add_SagaOperatorServiceServicer_to_server(service, server)
    address = "127.0.0.1:0"
    port = server.add_secure_port(address, tls.credentials(tls.follow())) if tls else server.add_insecure_port(address)
    await server.start()
    try:
        yield service, f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def console_tls(files: Files) -> ServerTls:
    """What browsers are served with."""
    return ServerTls(files.folder / "console.pem", files.folder / "console.key", prefix="CONSOLE_TLS_")


@asynccontextmanager
async def browsing(url: str, files: Files) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that trusts the authority, with connections of its own."""
    async with httpx.AsyncClient(base_url=url, verify=ssl.create_default_context(cafile=files.ca)) as browser:
        yield browser


async def test_the_console_is_served_over_tls_and_reaches_a_node_that_demands_certificates(files: Files) -> None:
    files.issue("server", "node.example.test", uris=[NODE])
    files.issue("console", "localhost", "127.0.0.1")
    follower = Follower(3600)
    async with listening(files.server(), age_s=0.2) as (service, address):
        console = ConsoleServer(
            "127.0.0.1:0", ConsoleSettings(), tls=console_tls(files), node_tls=files.server(), follower=follower
        )
        url = await console.start(address)
        assert url.startswith("https://127.0.0.1:")
        async with browsing(url, files) as browser:
            assert (await browser.get("/nodes")).status_code == 200
        # All is renewed: the page, the node, and how the one reaches the other.
        serial = files.issue("console", "localhost", "127.0.0.1", lifetime=timedelta(hours=5))
        files.issue("server", "node.example.test", uris=[NODE])
        await follower.run_once()
        async with browsing(url, files) as browser:
            page = await browser.get("/nodes")
            assert page.status_code == 200
            stream = page.extensions["network_stream"]
            shown = stream.get_extra_info("ssl_object").getpeercert()["notAfter"]
            assert ssl.cert_time_to_seconds(shown) == serial
        with pytest.raises(httpx.RemoteProtocolError):
            async with httpx.AsyncClient() as plain:
                await plain.get(url.replace("https", "http"))
        await console.stop()
    assert service.callers == [NODE, NODE]
    assert len(set(service.connections)) == 2


async def test_sagactl_proves_who_it_is_by_certificate_and_token(files: Files, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    files.issue("client", uris=["spiffe://example.test/ada"])
    trust = ("--ca-file", str(files.ca))
    own = ("--cert-file", str(files.folder / "client.pem"), "--key-file", str(files.folder / "client.key"))
    async with listening(files.server()) as (service, address):
        result = await sagactl(address, "nodes", *trust, *own, "--token-file", str(token))
        assert (result.exit_code, result.stderr) == (0, "")
        assert service.callers == ["spiffe://example.test/ada"]
        assert service.tokens == [f"Bearer {TOKEN}"]
        for options in (trust, own, ()):
            refused = await sagactl(address, "nodes", *options, "--timeout-s", "5")
            assert refused.exit_code == ExitCode.NO_ANSWER
            assert len(refused.stderr.splitlines()) == 1


async def test_sagactl_sends_a_token_to_this_machine_in_the_clear(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    async with listening(None) as (service, address):
        assert (await sagactl(address, "nodes", "--token-file", str(token))).exit_code == 0
    assert service.tokens == [f"Bearer {TOKEN}"]


@pytest.mark.parametrize("address", ["node.example.test:7233", "10.0.0.7:7233", "dns:///localhost:7233"])
async def test_sagactl_sends_no_token_in_the_clear_anywhere_else(address: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    result = await sagactl(address, "nodes", "--token-file", str(token))
    assert result.exit_code == ExitCode.USAGE
    assert "in the clear" in result.stderr
    assert TOKEN not in result.stderr


@pytest.mark.parametrize("content", ["", "\n", "two words", "a\nb", "t\u00f6ken", "x" * 8193])
async def test_what_is_no_token_is_told_and_not_shown(content: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    result = await sagactl("127.0.0.1:1", "nodes", "--token-file", str(token))
    assert result.exit_code == ExitCode.USAGE
    assert "holds no token" in result.stderr
    assert not content.strip() or content not in result.stderr


async def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    result = await sagactl("127.0.0.1:1", "nodes", "--token-file", str(tmp_path / "none"))
    assert result.exit_code == ExitCode.USAGE
    assert "none cannot be read: No such file" in result.stderr
