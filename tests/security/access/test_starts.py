"""Who starts what: by the generic door and by typed ones, before anything else is looked at."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.engine.stored import Visibility
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from tests.fixtures.tokens import TokenIssuer, bearer
from tests.integration.rpc.fakes import REGISTRY, FakeEngine, FakeQueries, an_order, failing
from tests.security.access.served import CALL_S, POLICY, access_settings

START = "/saga.v1.SagaService/StartSaga"
POLICY_HERE = (
    POLICY.replace('definitions = ["line"]', 'definitions = ["place-order", "line"]')
    + """
[[identity]]
issuer = "login"
subject = "another"
roles = ["starter"]
definitions = ["pay-on-dispatch"]
"""
)


@asynccontextmanager
async def door(folder: Path, **settings: Any) -> AsyncIterator[tuple[FakeEngine, grpc.aio.Channel, TokenIssuer]]:
    """A server with the shipped definitions, and an engine that only writes down what it is asked."""
    issuer, engine = TokenIssuer(), FakeEngine()
    issuer.publish(folder / "jwks.json")
    (folder / "policy.toml").write_text(POLICY_HERE)
    rpc = RpcSettings(listen_address="127.0.0.1:0", **settings)
    server = RpcServer(rpc, engine, FakeQueries(), REGISTRY, access=access_settings(folder))
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield engine, channel, issuer
    assert await server.stop(0)


def who(issuer: TokenIssuer, subject: str) -> Any:
    return {"timeout": CALL_S, "metadata": bearer(issuer.token(subject))}


async def test_a_front_door_takes_the_right_to_start_its_definition(tmp_path: Path) -> None:
    async with door(tmp_path) as (engine, channel, issuer):
        place = OrderServiceStub(channel).PlaceOrder
        for subject in ("starter", "stranger", "admin"):
            await place(an_order(f"r-{subject}"), **who(issuer, subject))
        assert [start.caller for start in engine.starts] == ["login/starter", "login/stranger", "login/admin"]
        for subject in ("another", "reader", "unknown"):
            code, info, _ = await failing(place(an_order(), **who(issuer, subject)))
            assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        code, _, _ = await failing(place(an_order(), timeout=CALL_S))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert len(engine.starts) == 3


async def test_the_generic_door_does_too_and_looks_at_nothing_but_the_name(tmp_path: Path) -> None:
    async with door(tmp_path) as (engine, channel, issuer):
        engine.turned_away = 1.0  # a full node says so, but not to those who may not start
        start = SagaServiceStub(channel).StartSaga
        may_not = pb.StartSagaRequest(request_id="r", definition="place-order", input=b"\xff\xff")
        code, _, _ = await failing(start(may_not, **who(issuer, "another")))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        code, _, _ = await failing(start(may_not, **who(issuer, "starter")))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        code, _, _ = await failing(start(pb.StartSagaRequest(definition=""), **who(issuer, "starter")))
        assert code is grpc.StatusCode.PERMISSION_DENIED, "no name is none that it may start"


@pytest.mark.parametrize("subject", ["another", "starter"])
async def test_no_request_says_one_name_and_means_another(tmp_path: Path, subject: str) -> None:
    """Of a field that comes twice the last one counts, for whoever parses."""
    async with door(tmp_path) as (engine, channel, issuer):
        raw = channel.unary_unary(
            START, request_serializer=bytes, response_deserializer=pb.StartSagaResponse.FromString
        )
        names = ("pay-on-dispatch", "place-order")
        twice = b"".join(pb.StartSagaRequest(request_id="r", definition=name).SerializeToString() for name in names)
        allowed = subject == "starter"
        twice += pb.StartSagaRequest(input=an_order().SerializeToString()).SerializeToString()
        if allowed:
            await raw(twice, **who(issuer, subject))
            assert [start.definition.name for start in engine.starts] == ["place-order"]
        else:
            code, _, _ = await failing(raw(twice, **who(issuer, subject)))
            assert code is grpc.StatusCode.PERMISSION_DENIED
        code, _, _ = await failing(raw(b"\xff" * 10, **who(issuer, subject)))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_handler_serves_the_caller_as_the_policy_has_it(tmp_path: Path) -> None:
    seen = []

    class Queries(FakeQueries):
        async def visible(self, saga_ids: Any, visibility: Visibility) -> frozenset[Any]:
            seen.append(visibility)
            return frozenset()

    issuer = TokenIssuer()
    issuer.publish(tmp_path / "jwks.json")
    (tmp_path / "policy.toml").write_text(POLICY_HERE)
    server = RpcServer(
        RpcSettings(listen_address="127.0.0.1:0"), FakeEngine(), Queries(), REGISTRY, access=access_settings(tmp_path)
    )
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        get = SagaServiceStub(channel).GetSaga
        request = pb.GetSagaRequest(saga_id="01900000-0000-7000-8000-000000000001")
        code, _, _ = await failing(get(request, **who(issuer, "both")))
        assert code is grpc.StatusCode.NOT_FOUND
        await get(request, **who(issuer, "admin"))
    await server.stop(0)
    assert seen == [Visibility(("acme",), "login/both"), Visibility(("acme",))], "nobody is asked where all is seen"


async def test_health_is_open_and_reflection_is_for_readers(tmp_path: Path) -> None:
    async with door(tmp_path, reflection=True) as (_, channel, issuer):
        await HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        question = reflection_pb2.ServerReflectionRequest(list_services="")

        async def listed(**call: Any) -> list[str]:
            stream = ask(iter([question]), **call)
            return [each.name for each in (await stream.read()).list_services_response.service]

        assert "saga.v1.SagaService" in await listed(**who(issuer, "reader"))
        for call in (who(issuer, "starter"), who(issuer, "unknown"), {"timeout": CALL_S}):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await listed(**call)
            assert refused.value.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)


async def test_what_is_not_served_is_unimplemented(tmp_path: Path) -> None:
    async with door(tmp_path) as (_, channel, issuer):
        for path in ("/saga.v1.SagaService/DropSaga", "/nobody.v1.NobodyService/Do"):
            call = channel.unary_unary(path, Empty.SerializeToString, Empty.FromString)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(Empty(), **who(issuer, "admin"))
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
