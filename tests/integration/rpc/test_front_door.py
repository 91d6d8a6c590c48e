"""A typed front door, served from its option alone: every way that a call can end."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from orders.v1.orders_pb2 import PlaceOrderResponse
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1 import saga_pb2

from contracts.errors import DETAILS_KEY, retry_delay_s
from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus
from orchestrator.definitions.errors import BuilderError, ConcurrencyKeyError
from orchestrator.engine.api import Draining, OverCapacity, Standing
from orchestrator.engine.ports import NodeFenced, Started, StoreUnavailable
from tests.integration.rpc.fakes import OTHER_ID, SAGA_ID, Served, an_order, failing, serving

if TYPE_CHECKING:  # the stubs' own name for what a channel of grpc.aio makes
    from orders.v1.orders_pb2_grpc import OrderServiceAsyncStub

Code = grpc.StatusCode


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.fixture
def orders(served: Served) -> "OrderServiceAsyncStub":
    return OrderServiceStub(served.channel)


async def test_completed_is_ok_with_the_result(served: Served, orders: "OrderServiceAsyncStub") -> None:
    result = PlaceOrderResponse(reservation_id="res", payment_id="pay", tracking_number="T1")
    served.engine.standing = Standing(SAGA_ID, SagaStatus.COMPLETED, result=result)
    response = await orders.PlaceOrder(an_order(), timeout=10)
    assert (response.saga_id, response.state) == (str(SAGA_ID), saga_pb2.SAGA_STATE_COMPLETED)
    assert (response.reservation_id, response.payment_id, response.tracking_number) == ("res", "pay", "T1")
    assert not result.saga_id, "the engine's own message stays as it was"


async def test_the_newest_version_starts_with_an_input_free_of_the_call(
    served: Served, orders: "OrderServiceAsyncStub"
) -> None:
    await orders.PlaceOrder(an_order("r-7", return_immediately=True), timeout=10)
    start = served.engine.starts[0]
    assert (start.definition.label, start.caller, start.request_id) == ("place-order v2", "local", "r-7")
    expected = an_order()
    expected.ClearField("request_id")
    assert start.saga_input == expected


async def test_return_immediately_does_not_wait(served: Served, orders: "OrderServiceAsyncStub") -> None:
    response = await orders.PlaceOrder(an_order(return_immediately=True), timeout=10)
    assert (response.saga_id, response.state) == (str(SAGA_ID), saga_pb2.SAGA_STATE_RUNNING)
    assert served.engine.waits == []


async def test_found_again_at_once_tells_where_it_stands(served: Served, orders: "OrderServiceAsyncStub") -> None:
    served.engine.started = Started(SAGA_ID, already_started=True)
    served.engine.standing = Standing(SAGA_ID, SagaStatus.STUCK)
    response = await orders.PlaceOrder(an_order(return_immediately=True), timeout=10)
    assert response.state == saga_pb2.SAGA_STATE_STUCK
    assert served.engine.waits == [0.0]


async def test_still_under_way_is_ok_before_the_deadline(served: Served, orders: "OrderServiceAsyncStub") -> None:
    served.engine.hang = True
    response = await orders.PlaceOrder(an_order(), timeout=2)
    assert (response.saga_id, response.state) == (str(SAGA_ID), saga_pb2.SAGA_STATE_RUNNING)
    assert 0 < served.engine.waits[0] < 1.95


async def test_without_a_deadline_the_server_bounds_the_wait() -> None:
    async with serving(max_wait_s=0.01) as served:
        served.engine.hang = True
        response = await OrderServiceStub(served.channel).PlaceOrder(an_order())
        assert response.state == saga_pb2.SAGA_STATE_RUNNING
        assert served.engine.waits == [0.01]


async def test_a_caller_that_leaves_ends_the_wait(served: Served, orders: "OrderServiceAsyncStub") -> None:
    served.engine.hang = True
    call = orders.PlaceOrder(an_order(), timeout=60)
    async with asyncio.timeout(5):
        await served.engine.waiting.wait()
        call.cancel()
        await served.engine.wait_ended.wait()


async def test_compensated_names_the_step_and_its_reason(served: Served, orders: "OrderServiceAsyncStub") -> None:
    failure = Failure(9, "CARD_DECLINED", "the card was declined" + "x" * 5000)
    served.engine.standing = Standing(SAGA_ID, SagaStatus.COMPENSATED, "charge", failure)
    code, info, message = await failing(orders.PlaceOrder(an_order(), timeout=10))
    assert (code, info.reason) == (Code.FAILED_PRECONDITION, "SAGA_COMPENSATED")
    assert dict(info.metadata) == {
        "saga_id": str(SAGA_ID),
        "failed_step": "charge",
        "failure_reason": "CARD_DECLINED",
    }
    assert "step charge failed with CARD_DECLINED (the card was declined" in message
    assert len(message) < 500


async def test_compensated_by_cancellation_has_no_failed_step(served: Served, orders: "OrderServiceAsyncStub") -> None:
    served.engine.standing = Standing(SAGA_ID, SagaStatus.COMPENSATED, None, Failure(0, "CANCELLED", "cancelled"))
    _, info, message = await failing(orders.PlaceOrder(an_order(), timeout=10))
    assert (info.metadata["failed_step"], info.metadata["failure_reason"]) == ("", "CANCELLED")
    assert message == f"saga {SAGA_ID} was undone: CANCELLED (cancelled)"


@pytest.mark.parametrize("status", [SagaStatus.STUCK, SagaStatus.COMPENSATING, SagaStatus.RESOLVED])
async def test_other_states_are_ok_with_the_state(
    served: Served, orders: "OrderServiceAsyncStub", status: SagaStatus
) -> None:
    served.engine.standing = Standing(SAGA_ID, status)
    response = await orders.PlaceOrder(an_order(), timeout=10)
    assert (response.saga_id, response.state) == (str(SAGA_ID), status.value)


@pytest.mark.parametrize(
    ("conflict", "reason"),
    [("request_id", "REQUEST_ID_REUSED"), ("concurrency_key", "CONCURRENCY_KEY_HELD")],
)
async def test_conflicts_name_the_saga(
    served: Served, orders: "OrderServiceAsyncStub", conflict: str, reason: str
) -> None:
    served.engine.started = Started(OTHER_ID, conflict=conflict)
    code, info, message = await failing(orders.PlaceOrder(an_order(), timeout=10))
    assert (code, info.reason, info.metadata["saga_id"]) == (Code.ALREADY_EXISTS, reason, str(OTHER_ID))
    assert str(OTHER_ID) in message


@pytest.mark.parametrize(
    ("raised", "code", "reason", "advice"),
    [
        (StoreUnavailable("secret"), Code.UNAVAILABLE, "STORE_UNAVAILABLE", "repeat the call with the same request_id"),
        (NodeFenced("secret"), Code.UNAVAILABLE, "STORE_UNAVAILABLE", "repeat the call with the same request_id"),
        (Draining("secret"), Code.UNAVAILABLE, "NODE_DRAINING", "another node with the same request_id"),
        (OverCapacity(2.5), Code.RESOURCE_EXHAUSTED, "OVER_CAPACITY", "nothing was stored"),
        (ConcurrencyKeyError("no usable key"), Code.INVALID_ARGUMENT, "INVALID_REQUEST", "no usable key"),
        (BuilderError("place-order v2", "", "concurrency key", "secret"), Code.INTERNAL, "INTERNAL", "place-order v2"),
        (ZeroDivisionError("secret"), Code.INTERNAL, "INTERNAL", "log"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_start_that_fails(served: Served, raised: Exception, code: Code, reason: str, advice: str) -> None:
    served.engine.started = raised
    got, info, message = await failing(OrderServiceStub(served.channel).PlaceOrder(an_order(), timeout=10))
    assert (got, info.reason) == (code, reason)
    assert advice in message
    assert "secret" not in message


@pytest.mark.parametrize(("raised", "delay_s"), [(StoreUnavailable(), 1.0), (OverCapacity(2.5), 2.5)])
async def test_retryable_errors_carry_a_delay(
    served: Served, orders: "OrderServiceAsyncStub", raised: Exception, delay_s: float
) -> None:
    served.engine.started = raised
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await orders.PlaceOrder(an_order(), timeout=10)
    assert retry_delay_s(tuple(caught.value.trailing_metadata() or ())) == delay_s


async def test_a_store_lost_while_waiting_names_the_saga(served: Served, orders: "OrderServiceAsyncStub") -> None:
    served.engine.standing = StoreUnavailable()
    code, info, message = await failing(orders.PlaceOrder(an_order(), timeout=10))
    assert (code, info.reason, info.metadata["saga_id"]) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE", str(SAGA_ID))
    assert "the saga is durable" in message


async def test_a_broken_rule_is_named_and_nothing_starts(served: Served, orders: "OrderServiceAsyncStub") -> None:
    order = an_order()
    order.lines[0].quantity = 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await orders.PlaceOrder(order, timeout=10)
    assert caught.value.code() is Code.INVALID_ARGUMENT
    status = Status.FromString(dict(caught.value.trailing_metadata() or ())[DETAILS_KEY])
    broken = BadRequest()
    assert status.details[1].Unpack(broken)
    assert [violation.field for violation in broken.field_violations] == ["lines[0].quantity"]
    assert served.engine.starts == []


@pytest.mark.parametrize("request_id", ["", "x" * 129, "nul\0"])
async def test_the_request_id_is_required_and_bounded(
    served: Served, orders: "OrderServiceAsyncStub", request_id: str
) -> None:
    code, info, message = await failing(orders.PlaceOrder(an_order(request_id), timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "request_id" in message
    assert served.engine.starts == []


async def test_malformed_and_oversize_requests(served: Served) -> None:
    raw: Any = served.channel.unary_unary("/orders.v1.OrderService/PlaceOrder")
    code, info, _ = await failing(raw(b"\xff\xff\xff", timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    code, info, _ = await failing(raw(b"x" * 30_000, timeout=10))
    assert (code, info.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert served.engine.starts == []
