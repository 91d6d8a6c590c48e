"""Starts that are turned away at the door, over real gRPC."""

import asyncio
from typing import Any

import grpc
import pytest
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import retry_delay_s
from tests.integration.rpc.fakes import MAX_BYTES, SAGA_ID, an_order, failing, serving

Code = grpc.StatusCode
CALLS = 200


def a_start(request_id: str = "r-1") -> pb.StartSagaRequest:
    data = an_order(request_id).SerializeToString()
    return pb.StartSagaRequest(request_id=request_id, definition="place-order", version=1, input=data)


async def test_an_overloaded_node_turns_starts_away_and_says_when_to_come_again() -> None:
    async with serving() as served:
        served.engine.turned_away = 2.5
        orders, sagas = OrderServiceStub(served.channel), SagaServiceStub(served.channel)
        for call in (orders.PlaceOrder(an_order(), timeout=10), sagas.StartSaga(a_start(), timeout=10)):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is Code.RESOURCE_EXHAUSTED
            assert retry_delay_s(tuple(caught.value.trailing_metadata() or ())) == 2.5
        assert served.engine.starts == []
        await sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)  # other calls are served


async def test_what_is_turned_away_is_not_even_looked_at() -> None:
    async with serving() as served:
        served.engine.turned_away = 2.5
        place: Any = served.channel.unary_unary("/orders.v1.OrderService/PlaceOrder")
        code, info, _ = await failing(place(b"\xff\xff garbage", timeout=10))
        assert (code, info.reason) == (Code.RESOURCE_EXHAUSTED, "OVER_CAPACITY")


async def test_a_message_too_large_is_turned_away_unread() -> None:
    async with serving() as served:
        served.engine.turned_away = 2.5
        served.engine.known = {("local", "r-known")}
        order = an_order("r-known")
        order.customer_id = "c" * MAX_BYTES
        place: Any = served.channel.unary_unary("/orders.v1.OrderService/PlaceOrder")
        code, info, _ = await failing(place(order.SerializeToString(), timeout=10))
        assert (code, info.reason) == (Code.RESOURCE_EXHAUSTED, "OVER_CAPACITY")


async def test_who_asks_for_a_saga_that_is_in_memory_is_let_through() -> None:
    async with serving() as served:
        served.engine.turned_away = 2.5
        served.engine.known = {("local", "r-known")}
        await OrderServiceStub(served.channel).PlaceOrder(an_order("r-known"), timeout=10)
        await SagaServiceStub(served.channel).StartSaga(a_start("r-known"), timeout=10)
        assert [call.request_id for call in served.engine.starts] == ["r-known", "r-known"]


async def test_the_engine_is_told_how_long_calls_wait_for_a_handler() -> None:
    async with serving() as served:
        (wait_s,) = served.engine.delays
        place = OrderServiceStub(served.channel).PlaceOrder
        await place(an_order(), timeout=10)
        assert wait_s() == 0.0
        assert wait_s() == 0.0
        calls = [place(an_order(), timeout=10) for _ in range(CALLS)]
        waits: list[float] = []

        async def look() -> None:
            while len(waits) < 10_000:
                waits.append(wait_s())
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await asyncio.gather(*calls)
        looking.cancel()
        assert max(waits) > 0.0, "they came at once, and one after the other was taken"
        assert wait_s() == 0.0
