"""SIGTERM: a node hands its sagas over. The lease is so long here that waiting for it would show."""

import asyncio
import os
import signal
import time

import grpc
import pytest
from orders.v1.orders_pb2 import PlaceOrderResponse
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED, SAGA_STATE_RUNNING

from contracts.errors import Reason
from orchestrator.local.orders import Order
from orchestrator.local.stack import Member, StackSettings
from tests.system.harness import Shop, check_fencing, claims, error_info, frozen, report, until

LEASE_TTL_S = 30.0
DRAIN_GRACE_S = 3.0
WELL_BELOW_S = 15.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """Leases of half a minute."""
    return StackSettings(
        node_environment={
            "ORCHESTRATOR_LEASE_TTL_S": f"{LEASE_TTL_S:g}",
            "ORCHESTRATOR_RENEW_INTERVAL_S": "5",
            "ORCHESTRATOR_DRAIN_GRACE_S": f"{DRAIN_GRACE_S:g}",
        }
    )


async def place(shop: Shop, node: Member, order: Order) -> PlaceOrderResponse | grpc.aio.AioRpcError:
    try:
        return await shop.orders_at(node).PlaceOrder(order.request, timeout=40)
    except grpc.aio.AioRpcError as error:
        return error


async def stop(node: Member) -> float:
    """Asks the node to end; returns how long it took. Its exit code must be 0."""
    asked_at = time.monotonic()
    os.kill(node.child.pid, signal.SIGTERM)
    assert await node.child.wait(30) == 0
    return time.monotonic() - asked_at


async def test_sagas_that_wait_for_a_slow_participant_are_handed_over(shop: Shop) -> None:
    leaving, staying = await shop.two_nodes()
    orders = shop.new_orders(40, versions=(2,), faults=("",))
    with frozen(shop.stack.participants["shipping"].child):
        callers = [asyncio.create_task(place(shop, leaving, order)) for order in orders]

        async def are_in_flight() -> bool:
            sagas = await shop.sagas(staying)
            return sum(saga.state == SAGA_STATE_RUNNING and saga.last_seq >= 3 for saga in sagas) == len(orders)

        await until(are_in_flight, 30, "in flight")
        asked_at = time.monotonic()
        report("a node with 40 sagas in flight ended after SIGTERM", await stop(leaving))
    answers = await asyncio.gather(*callers)
    requested = {order.request.request_id for order in orders}
    saga_ids = [saga.saga_id for saga in await shop.sagas(staying) if saga.request_id in requested]
    ends = await shop.until_ended(staying, saga_ids, 60)
    took_s = time.monotonic() - asked_at
    report("40 sagas of a stopped node ended after SIGTERM", took_s)
    assert ends == {SAGA_STATE_COMPLETED: len(orders)}
    assert took_s < WELL_BELOW_S

    answered = 0
    for order, answer in zip(orders, answers, strict=True):
        again = await place(shop, staying, order)
        assert isinstance(again, PlaceOrderResponse)
        assert again.state == SAGA_STATE_COMPLETED
        assert again.tracking_number
        if isinstance(answer, PlaceOrderResponse):
            assert answer.saga_id == again.saga_id
            assert answer.state == SAGA_STATE_RUNNING
            answered += 1
        else:
            assert answer.code() is grpc.StatusCode.UNAVAILABLE
    assert answered, "nobody who waited on the stopping node was told where the saga stands"
    for journal in (await shop.journals(staying, saga_ids)).values():
        check_fencing(journal)
        (claim,) = claims(journal)
        assert not claim.saga_claimed.crashed
    await shop.check_sums(staying)


async def test_a_restart_under_load_costs_no_lease_wait(shop: Shop) -> None:
    leaving, staying = await shop.two_nodes()
    stopped = asyncio.Event()
    slowest_s = 0.0

    async def customer(first: Order) -> list[PlaceOrderResponse | grpc.aio.AioRpcError]:
        """Places orders at the leaving node until it does not answer; repeats the last one at the other node."""
        nonlocal slowest_s
        answers: list[PlaceOrderResponse | grpc.aio.AioRpcError] = []
        order = first
        while True:
            answer = await place(shop, leaving, order)
            answers.append(answer)
            if not isinstance(answer, PlaceOrderResponse) or stopped.is_set():
                repeated_at = time.monotonic()
                again = await place(shop, staying, order)
                slowest_s = max(slowest_s, time.monotonic() - repeated_at)
                assert isinstance(again, PlaceOrderResponse)
                assert again.state == SAGA_STATE_COMPLETED
                if isinstance(answer, PlaceOrderResponse):
                    assert again.saga_id == answer.saga_id
                return answers
            (order,) = shop.new_orders(1, versions=(2,), faults=("",))

    customers = [asyncio.create_task(customer(order)) for order in shop.new_orders(24, versions=(2,), faults=("",))]

    async def under_load() -> bool:
        return len(shop.ledger) > 150

    await until(under_load, 30, "under load")
    report("a node under load ended after SIGTERM", await stop(leaving))
    stopped.set()
    answers = [answer for each in await asyncio.gather(*customers) for answer in each]
    report("the slowest order that was repeated at the other node ended after", slowest_s)
    assert slowest_s < WELL_BELOW_S

    saga_ids = {saga.saga_id for saga in await shop.sagas(staying)}
    assert set(await shop.until_ended(staying, saga_ids, 30)) == {SAGA_STATE_COMPLETED}
    for answer in answers:
        if isinstance(answer, PlaceOrderResponse):
            assert answer.saga_id in saga_ids
        else:
            assert answer.code() is grpc.StatusCode.UNAVAILABLE
            if answer.trailing_metadata():  # a connection that is refused carries no details
                assert error_info(answer).reason in {Reason.NODE_DRAINING, Reason.STORE_UNAVAILABLE}
    await shop.check_sums(staying)
