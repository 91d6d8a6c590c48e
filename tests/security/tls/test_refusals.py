"""Who is not spoken to: by a node and by a participant, and by their clients."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from inventory.v1.inventory_pb2 import ReserveRequest, StockLine
from inventory.v1.inventory_saga import InventoryService

from contracts.errors import error_info
from contracts.tls import ClientTls, ServerTls
from tests.fixtures.certificates import Authority
from tests.security.tls.ends import NODE, Files, channel, check, method, node_port, participant_port

Serve = Callable[[ServerTls], AbstractAsyncContextManager[int]]
SERVERS = pytest.mark.parametrize("serve", [node_port, participant_port], ids=["node", "participant"])


@SERVERS
async def test_both_ends_prove_who_they_are(serve: Serve, files: Files) -> None:
    async with serve(files.server()) as port, channel(port, files.client()) as connection:
        assert await check(connection) is grpc.StatusCode.OK


def _client_of(kind: str, files: Files) -> ClientTls | None:
    stranger = Authority("stranger")
    match kind:
        case "in the clear":
            return None
        case "no certificate":
            return ClientTls(files.ca)
        case "another authority":
            files.issue("other", uris=[NODE], authority=stranger)
            return files.client("other")
        case "another server name":
            return files.client(server_name="elsewhere.test")
        case _:
            (files.folder / "stranger.pem").write_bytes(stranger.certificate)
            return files.client(ca_file=files.folder / "stranger.pem")


@SERVERS
@pytest.mark.parametrize(
    "kind", ["in the clear", "no certificate", "another authority", "another server name", "a server of strangers"]
)
async def test_nothing_less_is_spoken_to(serve: Serve, kind: str, files: Files) -> None:
    async with serve(files.server()) as port, channel(port, _client_of(kind, files)) as connection:
        assert await check(connection) is grpc.StatusCode.UNAVAILABLE


@SERVERS
async def test_a_lapsed_client_certificate_gets_no_connection(serve: Serve, files: Files) -> None:
    lapsed = files.authority.issue(uris=[NODE], lifetime=timedelta(seconds=-1))
    credentials = grpc.ssl_channel_credentials(files.authority.certificate, lapsed.key, lapsed.certificate)
    async with serve(files.server()) as port, grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as connection:
        assert await check(connection) is grpc.StatusCode.UNAVAILABLE


HANGS_UP: dict[str, None] = {"UNEXPECTED_EOF_WHILE_READING": None, "TLSV1_ALERT_PROTOCOL_VERSION": None}
"""How a server ends a handshake; any other reason is this client's own, which then did not even ask."""


@SERVERS
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # that is what is tried
@pytest.mark.parametrize(
    ("version", "spoken"),
    [(ssl.TLSVersion.TLSv1_1, None), (ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
async def test_nothing_older_than_tls_1_2_is_spoken(
    serve: Serve, version: ssl.TLSVersion, spoken: str | None, files: Files
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this client itself would refuse what is old
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(files.ca)
    context.load_cert_chain(files.folder / "client.pem", files.folder / "client.key")

    def handshake(port: int) -> str | None:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            try:
                with context.wrap_socket(plain, server_hostname="localhost") as secured:
                    return secured.version()
            except ConnectionResetError:
                return None
            except ssl.SSLError as error:
                return HANGS_UP.get(error.reason, error.reason)

    async with serve(files.server()) as port:
        assert await asyncio.to_thread(handshake, port) == spoken


ALLOWED = [NODE, "spiffe://example.test/saga/other"]


@pytest.mark.parametrize(
    ("uris", "callers", "code", "reason"),
    [
        ([NODE], ALLOWED, grpc.StatusCode.INVALID_ARGUMENT, "MISSING_METADATA"),  # by the handler: it was let in
        ([], [], grpc.StatusCode.INVALID_ARGUMENT, "MISSING_METADATA"),
        (["spiffe://example.test/saga/stranger"], ALLOWED, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
        (["spiffe://example.test/saga"], ALLOWED, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
        ([], ALLOWED, grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"),
        ([NODE, ALLOWED[1]], ALLOWED, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        ([NODE, ALLOWED[1]], [], grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    ],
    ids=["allowed", "anyone", "stranger", "prefix", "nameless", "two names", "two names for anyone"],
)
async def test_a_participant_is_called_by_those_it_names(
    uris: list[str], callers: list[str], code: grpc.StatusCode, reason: str, files: Files
) -> None:
    files.issue("caller", uris=uris)
    request = ReserveRequest(order_id="o", warehouse_id="w", lines=[StockLine(sku="A-1", quantity=1)])
    async with (
        participant_port(files.server(), callers=callers) as port,
        channel(port, files.client("caller")) as connection,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(connection, InventoryService.Reserve.path)(request.SerializeToString(), timeout=20)
        assert refused.value.code() is code
        info = error_info(tuple(refused.value.trailing_metadata() or ()))
        assert info is not None
        assert (info.reason, info.domain) == (reason, "saga.v1")


async def test_a_stranger_with_a_certificate_may_ask_for_the_health(files: Files) -> None:
    files.issue("stranger", uris=["spiffe://example.test/monitoring"])
    async with (
        participant_port(files.server(), callers=[NODE]) as port,
        channel(port, files.client("stranger")) as connection,
    ):
        assert await check(connection) is grpc.StatusCode.OK
        watch = HealthStub(connection).Watch(HealthCheckRequest(), timeout=20)
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        watch.cancel()
