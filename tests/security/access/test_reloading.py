"""The policy and its keys change while the node runs."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from saga.v1 import operator_service_pb2 as pb

from orchestrator.rpc.access.errors import PolicyError
from orchestrator.rpc.access.sources import MAX_JWKS_BYTES, SourceError, UrlSource
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.certificates import LOOPBACK, Authority, replace
from tests.fixtures.tokens import TokenIssuer, bearer, new_key
from tests.integration.engine.harness import Rig, until
from tests.integration.rpc.fakes import REGISTRY, FakeEngine, FakeQueries
from tests.security.access.served import CALL_S, POLICY, Guarded, access_settings, guarded_node, told

Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


async def code(guarded: Guarded, token: str) -> grpc.StatusCode:
    """How a call of the token's bearer ends."""
    try:
        await guarded.operators().GetIdentity(pb.GetIdentityRequest(), timeout=CALL_S, metadata=bearer(token))
    except grpc.aio.AioRpcError as error:
        return told(error).code
    return grpc.StatusCode.OK


def callers(guarded: Guarded) -> Any:
    return guarded.server._access.interceptor.callers  # type: ignore[union-attr]  # the fixture gives one


async def test_a_changed_policy_holds_and_a_bad_one_does_not(
    guarded: Guarded, capfd: pytest.CaptureFixture[str]
) -> None:
    token = guarded.issuer.token("reader")
    assert await code(guarded, token) is grpc.StatusCode.OK
    before = callers(guarded)
    guarded.rewrite(POLICY.replace('subject = "reader"', 'subject = "nobody"'))
    await until(lambda: callers(guarded) is not before, "the policy is read anew")
    assert await code(guarded, token) is grpc.StatusCode.PERMISSION_DENIED, "also of a token that was seen before"
    now = callers(guarded)
    logged = ""

    def refused() -> bool:
        nonlocal logged
        logged += "".join(capfd.readouterr())
        return "policy_refused" in logged

    guarded.rewrite(POLICY + "\nroels = 1")
    await until(refused, "the bad one is told of")
    assert "roels" in logged
    (guarded.folder / "policy.toml").unlink()
    logged = ""
    await until(refused, "so is one that is gone")
    assert callers(guarded) is now
    guarded.rewrite(POLICY)
    await until(lambda: callers(guarded) is not now, "the good one is read")
    assert await code(guarded, token) is grpc.StatusCode.OK


async def test_a_policy_counts_as_soon_as_what_it_lacked_is_there(
    guarded: Guarded, capfd: pytest.CaptureFixture[str]
) -> None:
    """Or whom it drops would stay in, for want of a second change to the file."""
    token = guarded.issuer.token("reader")
    names_a_file = POLICY.replace('jwks = "jwks.json"', 'jwks = "https://localhost:1/keys"\nca_file = "late.pem"', 1)
    guarded.rewrite(names_a_file.replace('subject = "reader"', 'subject = "nobody"'))
    logged = ""

    def refused() -> bool:
        nonlocal logged
        logged += "".join(capfd.readouterr())
        return "policy_refused" in logged

    await until(refused, "the policy is refused")
    before = callers(guarded)
    (guarded.folder / "late.pem").write_bytes(Authority().certificate)
    await until(lambda: callers(guarded) is not before, "the policy is read again")
    assert await code(guarded, token) is not grpc.StatusCode.OK
    refused()
    assert logged.count("policy_refused") == 1, "the same is said once"


def test_no_server_without_a_policy_that_can_be_read(tmp_path: Path) -> None:
    async def serve() -> None:
        RpcServer(RpcSettings(), FakeEngine(), FakeQueries(), REGISTRY, access=access_settings(tmp_path))

    with pytest.raises(PolicyError, match="cannot be read"):
        asyncio.run(serve())
    (tmp_path / "policy.toml").write_text("[[identity]]")
    with pytest.raises(PolicyError, match="number 1, roles"):
        asyncio.run(serve())


async def test_keys_in_a_file_rotate(guarded: Guarded) -> None:
    old = guarded.issuer.token("reader")
    assert await code(guarded, old) is grpc.StatusCode.OK
    guarded.issuer.rotate("second")
    new = guarded.issuer.token("reader")
    assert await code(guarded, new) is grpc.StatusCode.UNAUTHENTICATED, "signed before it is published"
    await guarded.publish()
    assert [await code(guarded, token) for token in (old, new)] == [grpc.StatusCode.OK] * 2
    guarded.issuer.keys = guarded.issuer.keys[1:]
    await guarded.publish()
    assert [await code(guarded, token) for token in (old, new)] == [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.OK]
    keys = callers(guarded)._tokens._keys["login"]
    replace(guarded.folder / "jwks.json", b"{")
    await keys.read()
    (guarded.folder / "jwks.json").unlink()
    await keys.read()
    assert await code(guarded, new) is grpc.StatusCode.OK, "the last good ones count"


class KeyServer:
    """Answers HTTP requests as a test says."""

    def __init__(self) -> None:
        self.issuer = TokenIssuer()
        self.requests = 0
        self.respond: Respond = self.keys
        self.gate = asyncio.Event()
        self.gate.set()
        self._server: asyncio.Server | None = None

    async def start(self, context: ssl.SSLContext | None = None) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self.gate.set()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            await self.gate.wait()
            await self.respond(writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def keys(self, writer: asyncio.StreamWriter) -> None:
        self.answer(writer, self.issuer.jwks())

    @staticmethod
    def answer(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", head: str = "") -> None:
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{head}connection: close\r\n\r\n".encode() + body
        )


@asynccontextmanager
async def key_server(context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[KeyServer, int]]:
    server = KeyServer()
    port = await server.start(context)
    yield server, port
    await server.stop()


def policy_of(url: str) -> str:
    return POLICY.replace('jwks = "jwks.json"', f'jwks = "{url}"')


async def test_keys_at_a_url_rotate_with_one_fetch_for_all(rig: Rig, tmp_path: Path) -> None:
    async with key_server() as (server, port):
        policy = policy_of(f"http://127.0.0.1:{port}/keys")
        async with guarded_node(rig, tmp_path, policy=policy, jwks_refresh_interval_s=3600.0) as guarded:
            assert await code(guarded, server.issuer.token("reader")) is grpc.StatusCode.OK
            assert server.requests == 1
            server.issuer.rotate("second")
            server.gate.clear()
            token = server.issuer.token("reader")
            async with asyncio.TaskGroup() as tasks:
                waiting = [tasks.create_task(code(guarded, token)) for _ in range(20)]
                await until(lambda: server.requests == 2, "the new key is fetched")
                server.gate.set()
            assert {task.result() for task in waiting} == {grpc.StatusCode.OK}
            assert server.requests == 2


async def test_unknown_keys_cause_few_fetches(rig: Rig, tmp_path: Path) -> None:
    async with key_server() as (server, port):
        policy = policy_of(f"http://127.0.0.1:{port}/keys")
        async with guarded_node(rig, tmp_path, policy=policy, jwks_refetch_interval_s=3600.0) as guarded:
            for number in range(50):
                forged = server.issuer.token("admin", key=new_key(f"forged-{number}"))
                assert await code(guarded, forged) is grpc.StatusCode.UNAUTHENTICATED
            assert server.requests == 1
            assert await code(guarded, server.issuer.token("reader")) is grpc.StatusCode.OK


async def test_without_keys_nobody_is_let_in_and_nobody_is_blamed(rig: Rig, tmp_path: Path) -> None:
    async with key_server() as (server, port):
        policy = policy_of(f"http://127.0.0.1:{port}/keys")
        server.gate.clear()
        async with guarded_node(rig, tmp_path, policy=policy, jwks_timeout_s=0.2) as guarded:
            token = server.issuer.token("reader")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await guarded.operators().GetIdentity(pb.GetIdentityRequest(), timeout=CALL_S, metadata=bearer(token))
            error = told(refused.value)
            assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "KEYS_UNAVAILABLE")
            assert error.retry_delay_s
            server.gate.set()
            assert await code(guarded, token) is grpc.StatusCode.OK


async def redirect(writer: asyncio.StreamWriter) -> None:
    KeyServer.answer(writer, b"", "302 Found", "location: http://127.0.0.1:9/keys\r\n")


async def error(writer: asyncio.StreamWriter) -> None:
    KeyServer.answer(writer, b"secret", "500 Oh")


async def huge(writer: asyncio.StreamWriter) -> None:
    KeyServer.answer(writer, b"x" * (MAX_JWKS_BYTES + 1))


async def packed(writer: asyncio.StreamWriter) -> None:
    KeyServer.answer(writer, b"secret", head="content-encoding: gzip\r\n")


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(MAX_JWKS_BYTES // 1000):
        writer.write(b"7d0\r\n" + b"x" * 2000 + b"\r\n")
        await writer.drain()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"secret\r\n\r\n")


@pytest.mark.parametrize("respond", [redirect, error, huge, packed, endless, nonsense])
async def test_what_a_url_answers_is_bounded_and_not_quoted(respond: Respond) -> None:
    async with key_server() as (server, port):
        server.respond = respond
        source = UrlSource(f"http://127.0.0.1:{port}/keys", None, 300.0, 10.0, 5.0)
        with pytest.raises(SourceError) as refused:
            await source.read()
        assert "secret" not in str(refused.value)
        assert f"http://127.0.0.1:{port}/keys" in str(refused.value)
        assert server.requests == 1


async def test_over_tls_the_server_must_be_who_it_says(tmp_path: Path) -> None:
    authority, other = Authority(), Authority()
    certificate, key = authority.issue(*LOOPBACK).write(tmp_path, "keys")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with key_server(context) as (server, port):
        url = f"https://127.0.0.1:{port}/keys"

        async def read(ca: bytes | None) -> bytes | None:
            file = None if ca is None else replace(tmp_path / "ca.pem", ca)
            return await UrlSource(url, file, 300.0, 10.0, 5.0).read()

        assert await read(authority.certificate) == server.issuer.jwks()
        for ca in (other.certificate, None):
            with pytest.raises(SourceError, match="did not answer: ConnectError"):
                await read(ca)
    with pytest.raises(SourceError, match="ca_file"):
        UrlSource(url, tmp_path / "absent.pem", 300.0, 10.0, 5.0)
