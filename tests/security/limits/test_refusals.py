"""What a caller beyond its bounds is told, over the wire, at every door."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import retry_delay_s
from orchestrator.rpc.limits.callers import CallerPolicy
from tests.integration.rpc.fakes import SAGA_ID, Served, an_entry, an_order, failing, serving

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def calls(served: Served) -> list[Any]:
    """One at each kind of door."""
    sagas = SagaServiceStub(served.channel)
    return [
        OrderServiceStub(served.channel).PlaceOrder(an_order(), timeout=10),
        sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10),
    ]


def watchers(served: Served) -> list[Any]:
    sagas = SagaServiceStub(served.channel)
    return [
        sagas.WaitSaga(pb.WaitSagaRequest(saga_id=str(SAGA_ID)), timeout=10),
        sagas.WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=10).read(),
    ]


async def refused(call: Any, reason: str) -> float:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    _, info, text = await failing(_raise(caught.value))
    assert (caught.value.code(), info.reason) == (EXHAUSTED, reason)
    assert "repeat" in text
    delay_s = retry_delay_s(tuple(caught.value.trailing_metadata() or ()))
    assert delay_s is not None
    return delay_s


async def _raise(error: Exception) -> None:
    raise error


async def test_calls_and_watchers_beyond_their_number_are_refused_apart() -> None:
    async with serving(callers=CallerPolicy(max_calls=1, max_watchers=1)) as served:
        served.engine.hang = True
        first = OrderServiceStub(served.channel).PlaceOrder(an_order(), timeout=60)
        async with asyncio.timeout(5):
            await served.engine.waiting.wait()
        for call in calls(served):
            assert await refused(call, "TOO_MANY_CALLS") > 0
        served.engine.waiting.clear()
        waiting = SagaServiceStub(served.channel).WaitSaga(pb.WaitSagaRequest(saga_id=str(SAGA_ID)), timeout=60)
        async with asyncio.timeout(5):
            await served.engine.waiting.wait()
        for call in watchers(served):
            assert await refused(call, "TOO_MANY_CALLS") > 0
        await HealthStub(served.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        first.cancel()
        waiting.cancel()
        async with asyncio.timeout(5):
            await served.engine.wait_ended.wait()
            # Of this call alone: one that nobody awaits would take the place that was left.
            get = SagaServiceStub(served.channel).GetSaga
            while await ends(get(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)) is not None:
                pass


async def ends(call: Any) -> grpc.StatusCode | None:
    """None if it was answered."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return None


async def test_who_calls_too_often_is_told_when_to_come_again() -> None:
    async with serving(callers=CallerPolicy(max_calls_per_s=0.01)) as served:
        await SagaServiceStub(served.channel).GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)
        for call in (*calls(served), *watchers(served)):
            assert await refused(call, "RATE_LIMITED") >= 30, "the longest that anybody is told"


async def test_a_stream_that_is_not_read_ends_with_a_reason() -> None:
    async with serving(slow_reader_s=0.3, max_message_bytes=1 << 20) as served:
        served.queries.entries = [an_entry(seq, size=500_000) for seq in range(1, 60)]
        served.engine.growth.put_nowait(59)
        stream: Any = SagaServiceStub(served.channel).WatchSaga(pb.WatchSagaRequest(saga_id=str(SAGA_ID)), timeout=60)
        await stream.read()
        async with asyncio.timeout(10):
            await served.engine.follow_ended.wait()  # nothing is followed any more for a client that does not read
        code, info, _ = await failing(_drained(stream))
        assert (code, info.reason) == (EXHAUSTED, "SLOW_READER")


async def _drained(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass
