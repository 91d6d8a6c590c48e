"""Callers that are known by their certificates, on real connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_service_pb2

from contracts.tls import ServerTls
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.certificates import LOOPBACK, Authority, replace
from tests.fixtures.tokens import bearer
from tests.integration.engine.harness import Rig
from tests.security.access.served import CALL_S, Guarded, guarded_node, told

SHOP = "spiffe://example.test/shop"


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def secured(rig: Rig, tmp_path: Path, authority: Authority) -> AsyncIterator[Guarded]:
    """One node that speaks mutual TLS, with the policy of these tests."""
    certificate, key = authority.issue(*LOOPBACK).write(tmp_path, "node")
    tls = ServerTls(certificate, key, replace(tmp_path / "ca.pem", authority.certificate))
    rpc = RpcSettings(listen_address="127.0.0.1:0", tls=tls, max_wait_s=20.0)
    async with guarded_node(rig, tmp_path, rpc=rpc) as node:
        yield node


@asynccontextmanager
async def connected(
    secured: Guarded, authority: Authority, *uris: str, lifetime: timedelta = timedelta(hours=1)
) -> AsyncIterator[grpc.aio.Channel]:
    pair = authority.issue("client.test", uris=uris, lifetime=lifetime)
    credentials = grpc.ssl_channel_credentials(authority.certificate, pair.key, pair.certificate)
    async with grpc.aio.secure_channel(f"127.0.0.1:{secured.port}", credentials) as channel:
        yield channel


async def identity(secured: Guarded, channel: grpc.aio.Channel, metadata: Any = ()) -> pb.GetIdentityResponse:
    answer: pb.GetIdentityResponse = await secured.operators(channel).GetIdentity(
        pb.GetIdentityRequest(), timeout=CALL_S, metadata=metadata
    )
    return answer


async def refusal(secured: Guarded, channel: grpc.aio.Channel, metadata: Any = ()) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await identity(secured, channel, metadata)
    error = told(caught.value)
    assert error.reason == error.code.name
    return error.code


async def test_a_spiffe_id_names_the_caller(secured: Guarded, authority: Authority) -> None:
    async with connected(secured, authority, SHOP) as channel:
        answer = await identity(secured, channel)
    assert (answer.name, list(answer.roles)) == (SHOP, ["operator", "starter"])
    assert answer.expire_time.seconds > 0


@pytest.mark.parametrize(
    ("uris", "code"),
    [
        (["spiffe://example.test/shop2"], grpc.StatusCode.PERMISSION_DENIED),
        (["spiffe://example.test/shop/x"], grpc.StatusCode.PERMISSION_DENIED),
        ([SHOP, "spiffe://example.test/other"], grpc.StatusCode.UNAUTHENTICATED),
        ([SHOP, SHOP], grpc.StatusCode.UNAUTHENTICATED),
        (["spiffe://example.test/../shop"], grpc.StatusCode.UNAUTHENTICATED),
        (["https://example.test/shop"], grpc.StatusCode.UNAUTHENTICATED),
        ([], grpc.StatusCode.UNAUTHENTICATED),
    ],
)
async def test_any_other_certificate_lets_nobody_in(
    secured: Guarded, authority: Authority, uris: list[str], code: grpc.StatusCode
) -> None:
    async with connected(secured, authority, *uris) as channel:
        assert await refusal(secured, channel) is code


async def test_a_token_decides_alone(secured: Guarded, authority: Authority) -> None:
    async with connected(secured, authority, SHOP) as channel:
        assert (await identity(secured, channel, secured.metadata("reader"))).name == "login/reader"
        bad = bearer(secured.issuer.token("reader", lifetime_s=-5))
        assert await refusal(secured, channel, bad) is grpc.StatusCode.UNAUTHENTICATED
        stranger = bearer(secured.issuer.token("unknown"))
        assert await refusal(secured, channel, stranger) is grpc.StatusCode.PERMISSION_DENIED
        assert (await identity(secured, channel)).name == SHOP
    async with connected(secured, authority) as channel:
        assert (await identity(secured, channel, secured.metadata("reader"))).name == "login/reader"


async def test_a_certificate_that_lapses_ends_calls_and_streams_on_an_open_connection(
    secured: Guarded, authority: Authority
) -> None:
    gate = secured.rig.world.gates["reserve/action"] = asyncio.Event()
    async with connected(secured, authority, SHOP) as other:
        saga_id = await _start(secured, other)
        async with connected(secured, authority, SHOP, lifetime=timedelta(seconds=4)) as channel:
            request = saga_service_pb2.WatchSagaRequest(saga_id=saga_id)
            stream = aiter(secured.sagas(channel).WatchSaga(request, timeout=CALL_S))
            assert (await anext(stream)).event.seq == 1
            async with asyncio.timeout(10):
                with pytest.raises(grpc.aio.AioRpcError) as ended:
                    async for _ in stream:
                        pass
            assert told(ended.value).code is grpc.StatusCode.UNAUTHENTICATED
            assert await refusal(secured, channel) is grpc.StatusCode.UNAUTHENTICATED
        assert (await identity(secured, other)).name == SHOP
    gate.set()


async def _start(secured: Guarded, channel: grpc.aio.Channel) -> str:
    request = saga_service_pb2.StartSagaRequest(request_id="r", definition="line", input=secured.an_input())
    started = await secured.sagas(channel).StartSaga(request, timeout=CALL_S)
    saga_id: str = started.saga.saga_id
    return saga_id
