"""The server around its services: health, capacity, addresses, reflection, stopping."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from orchestrator.definitions.registry import Registry
from orchestrator.rpc.server import RpcServer
from orchestrator.rpc.settings import RpcSettings
from tests.integration.rpc.fakes import REGISTRY, SAGA_ID, FakeEngine, FakeQueries, an_order, failing, serving

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("saga.v1.SagaService", "orders.v1.OrderService")


async def test_health_follows_the_switch() -> None:
    async with serving() as served:
        check = HealthStub(served.channel).Check

        async def states() -> set[int]:
            names = ("", *SERVICES)
            return {(await check(health_pb2.HealthCheckRequest(service=name), timeout=10)).status for name in names}

        assert served.server.services == SERVICES
        assert await states() == {NOT_SERVING}
        for serving_now, state in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            await served.server.set_serving(serving_now)
            assert await states() == {state}


async def test_a_full_server_refuses_and_stays_healthy() -> None:
    async with serving(max_concurrent_rpcs=1) as served:
        served.engine.hang = True
        first = OrderServiceStub(served.channel).PlaceOrder(an_order(), timeout=60)
        async with asyncio.timeout(5):
            await served.engine.waiting.wait()
        sagas = SagaServiceStub(served.channel)
        for call in (
            sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10),
            sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=10).read(),
        ):
            code, info, _ = await failing(call)
            assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVER_CAPACITY")
        await HealthStub(served.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        first.cancel()
        async with asyncio.timeout(5):
            await served.engine.wait_ended.wait()
        await sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)  # its place is free again


async def test_stopping_waits_for_the_handlers_it_aborts() -> None:
    async with serving() as served:
        served.engine.hang = True
        call = OrderServiceStub(served.channel).PlaceOrder(an_order(), timeout=60)
        async with asyncio.timeout(5):
            await served.engine.waiting.wait()
            assert await served.server.stop(0)
            assert served.engine.wait_ended.is_set()
            assert await served.server.stop(0), "twice is once"
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_callers_that_leave_as_the_server_stops_are_all_answered() -> None:
    """``grpc.aio`` alone ends some of the calls that come during its stop with CANCELLED and no reason."""
    async with serving() as served:
        under_load, still_under_load, told_to_leave = asyncio.Event(), asyncio.Event(), asyncio.Event()
        sagas = SagaServiceStub(served.channel)
        answered = 0

        async def caller() -> None:
            nonlocal answered
            while not told_to_leave.is_set():
                await sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)
                answered += 1
                (under_load if answered < 200 else still_under_load).set()

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            for _ in range(16):
                tasks.create_task(caller())
            await under_load.wait()
            stopping = tasks.create_task(served.server.stop(5))
            await still_under_load.wait()
            told_to_leave.set()
            assert await stopping


async def test_a_caller_that_never_leaves_does_not_hold_the_server_up() -> None:
    async with serving() as served:
        sagas = SagaServiceStub(served.channel)

        async def caller() -> None:
            while True:
                await sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)

        calling = asyncio.create_task(caller())
        async with asyncio.timeout(10):
            assert await served.server.stop(5)
            with pytest.raises(grpc.aio.AioRpcError):
                await calling


async def test_a_call_in_flight_ends_within_the_grace() -> None:
    async with serving(max_wait_s=0.2) as served:
        served.engine.hang = True
        call = OrderServiceStub(served.channel).PlaceOrder(an_order())
        async with asyncio.timeout(5):
            await served.engine.waiting.wait()
            assert await served.server.stop(30)
        assert (await call).saga_id == str(SAGA_ID)


async def test_two_servers_share_a_port_only_if_asked() -> None:
    async with serving(reuse_port=True) as first:
        async with serving(reuse_port=True, listen_address=f"127.0.0.1:{first.port}") as second:
            assert first.port == second.port
        with pytest.raises(RuntimeError):
            async with serving(listen_address=f"127.0.0.1:{first.port}"):
                pass


async def test_reflection_lists_the_services_only_if_asked() -> None:
    async def listed(channel: grpc.aio.Channel) -> set[str]:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        stream = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
        answers = [answer async for answer in stream]
        return {service.name for service in answers[0].list_services_response.service}

    async with serving(reflection=True) as served:
        assert set(SERVICES) < await listed(served.channel)
    async with serving() as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(served.channel)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "node.example:0"])
async def test_other_machines_are_not_served_in_the_clear(address: str) -> None:
    with pytest.raises(ValueError, match="allow_insecure"):
        RpcServer(RpcSettings(listen_address=address), FakeEngine(), FakeQueries(), REGISTRY)
    allowed = RpcServer(RpcSettings(listen_address=address, allow_insecure=True), FakeEngine(), FakeQueries(), REGISTRY)
    await allowed.stop(0)


async def test_a_node_without_definitions_serves_the_generic_door() -> None:
    async with serving(Registry(())) as served:
        assert served.server.services == ("saga.v1.SagaService",)
        request = pb.StartSagaRequest(request_id="r", definition="place-order")
        code, info, _ = await failing(SagaServiceStub(served.channel).StartSaga(request, timeout=10))
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "DEFINITION_NOT_FOUND")
