"""Bad input at the real port: the right status with one ErrorInfo that says what to do, and nothing stored."""

from collections.abc import Awaitable
from typing import Any, Literal

import grpc
import pytest
from google.protobuf.message import Message
from orders.v1.orders_pb2 import PlaceOrderRequest
from saga.v1 import saga_service_pb2 as pb

from contracts.errors import Reason
from orchestrator.local.stack import StackSettings
from tests.system.harness import CALL_TIMEOUT_S, Shop, error_info, frozen
from tests.system.orders import new_request

PLACE_ORDER = "/orders.v1.OrderService/PlaceOrder"
UNKNOWN_SAGA = "01890000-0000-7000-8000-000000000000"
MIB = 1 << 20
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def stack_settings() -> StackSettings:
    """One node is enough."""
    return StackSettings(nodes=1)


def generic(method: str) -> str:
    return f"/saga.v1.SagaService/{method}"


def changed(**fields: object) -> bytes:
    """An order that is fine but for these fields."""
    order = new_request(999_999)
    for name, value in fields.items():
        setattr(order, name, value)
    return order.SerializeToString()


def without(field: Literal["request_id", "total", "lines", "ship_to"]) -> bytes:
    order = new_request(999_999)
    order.ClearField(field)
    return order.SerializeToString()


def bytes_of(message: Message) -> bytes:
    return message.SerializeToString()


def start(**fields: object) -> bytes:
    request = pb.StartSagaRequest(request_id="bad-1", definition="place-order", version=1, input=changed())
    for name, value in fields.items():
        setattr(request, name, value)
    return request.SerializeToString()


BAD = [
    pytest.param(PLACE_ORDER, b"\xff\xff\xff\xff", Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="garbage"),
    pytest.param(PLACE_ORDER, b"", Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="empty"),
    pytest.param(PLACE_ORDER, changed()[:-5], Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="cut off"),
    pytest.param(PLACE_ORDER, without("request_id"), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="no id"),
    pytest.param(PLACE_ORDER, without("total"), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="no total"),
    pytest.param(PLACE_ORDER, without("lines"), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="no lines"),
    pytest.param(
        PLACE_ORDER, changed(request_id="x" * 129), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="long id"
    ),
    pytest.param(PLACE_ORDER, changed(request_id="a\0b"), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="NUL"),
    pytest.param(PLACE_ORDER, changed(order_id="a\0b"), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="NUL in key"),
    pytest.param(
        PLACE_ORDER,
        changed(payment_method="4111111111111111"),
        Code.INVALID_ARGUMENT,
        Reason.INVALID_REQUEST,
        id="card",
    ),
    pytest.param(
        PLACE_ORDER, b"\x0a" + b"\xff" * 2 * MIB, Code.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE, id="oversize"
    ),
    pytest.param(generic("StartSaga"), b"\x08", Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="start garbage"),
    pytest.param(
        generic("StartSaga"), start(request_id=""), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="start no id"
    ),
    pytest.param(
        generic("StartSaga"), start(definition="teleport"), Code.NOT_FOUND, Reason.DEFINITION_NOT_FOUND, id="definition"
    ),
    pytest.param(generic("StartSaga"), start(version=77), Code.NOT_FOUND, Reason.DEFINITION_NOT_FOUND, id="version"),
    pytest.param(
        generic("StartSaga"), start(version=-1), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="negative version"
    ),
    pytest.param(
        generic("StartSaga"),
        start(input=b"\xff\xff"),
        Code.INVALID_ARGUMENT,
        Reason.INVALID_REQUEST,
        id="input garbage",
    ),
    pytest.param(
        generic("StartSaga"), start(input=without("ship_to")), Code.INVALID_ARGUMENT, Reason.INVALID_REQUEST, id="input"
    ),
    *(
        pytest.param(
            generic(method), bytes_of(request), Code.NOT_FOUND, Reason.SAGA_NOT_FOUND, id=f"{method} unknown saga"
        )
        for method, request in {
            "GetSaga": pb.GetSagaRequest(saga_id=UNKNOWN_SAGA),
            "WaitSaga": pb.WaitSagaRequest(saga_id=UNKNOWN_SAGA),
            "ListSagaEvents": pb.ListSagaEventsRequest(saga_id=UNKNOWN_SAGA),
            "CancelSaga": pb.CancelSagaRequest(saga_id=UNKNOWN_SAGA, request_id="bad-2"),
        }.items()
    ),
    *(
        pytest.param(
            generic(method),
            bytes_of(request),
            Code.INVALID_ARGUMENT,
            Reason.INVALID_REQUEST,
            id=f"{method} odd saga id",
        )
        for method, request in {
            "GetSaga": pb.GetSagaRequest(saga_id="' OR 1=1 --"),
            "WaitSaga": pb.WaitSagaRequest(),
            "ListSagaEvents": pb.ListSagaEventsRequest(saga_id="../../etc/passwd"),
            "CancelSaga": pb.CancelSagaRequest(saga_id=UNKNOWN_SAGA.upper().replace("0", "G"), request_id="bad-3"),
        }.items()
    ),
    pytest.param(
        generic("CancelSaga"),
        bytes_of(pb.CancelSagaRequest(saga_id=UNKNOWN_SAGA)),
        Code.INVALID_ARGUMENT,
        Reason.INVALID_REQUEST,
        id="cancel no id",
    ),
    pytest.param(
        generic("ListSagas"),
        bytes_of(pb.ListSagasRequest(page_size=-1)),
        Code.INVALID_ARGUMENT,
        Reason.INVALID_REQUEST,
        id="page size",
    ),
    pytest.param(
        generic("ListSagas"),
        bytes_of(pb.ListSagasRequest(page_token="forged")),
        Code.INVALID_ARGUMENT,
        Reason.PAGE_TOKEN,
        id="page token",
    ),
]


async def call(shop: Shop, path: str, request: bytes) -> bytes:
    """Any bytes to any method."""
    method: Any = shop.channel(shop.stack.nodes[0].address).unary_unary(path)  # no serializers: bytes in, bytes out
    answer: bytes = await method(request, timeout=CALL_TIMEOUT_S)
    return answer


async def stored(shop: Shop) -> tuple[int, ...]:
    """How many rows there are of everything that a call could leave behind."""
    return tuple([await shop.count(table) for table in ("saga", "saga_event", "saga_request", "definition")])


async def refused(made: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await made
    return caught.value


@pytest.mark.parametrize(("path", "request_bytes", "code", "reason"), BAD)
async def test_bad_requests_are_refused_and_leave_nothing(
    shop: Shop, path: str, request_bytes: bytes, code: grpc.StatusCode, reason: str
) -> None:
    before = await stored(shop)
    error = await refused(call(shop, path, request_bytes))
    assert error.code() is code
    info = error_info(error)
    assert (info.domain, info.reason) == ("saga.v1", reason)
    assert error.details()
    assert await stored(shop) == before


async def test_far_oversize_and_unknown_methods_end_with_the_transports_own_status(shop: Shop) -> None:
    before = await stored(shop)
    assert (await refused(call(shop, PLACE_ORDER, b"\x0a" * 5 * MIB))).code() is Code.RESOURCE_EXHAUSTED
    assert (await refused(call(shop, generic("DropAll"), b""))).code() is Code.UNIMPLEMENTED
    assert await stored(shop) == before


async def test_a_stream_of_an_unknown_saga_is_refused(shop: Shop) -> None:
    request = pb.WatchSagaRequest(saga_id=UNKNOWN_SAGA)
    stream = shop.sagas_at(shop.stack.nodes[0]).WatchSaga(request, timeout=CALL_TIMEOUT_S)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stream:
            pass
    assert caught.value.code() is Code.NOT_FOUND
    assert error_info(caught.value).reason == Reason.SAGA_NOT_FOUND


async def test_a_request_id_belongs_to_one_payload(shop: Shop) -> None:
    (order,) = shop.new_orders(1, versions=(2,), faults=("",))
    other = PlaceOrderRequest()
    other.CopyFrom(order.request)
    other.total.amount_minor += 1
    made = shop.orders_at(shop.stack.nodes[0])
    first = await made.PlaceOrder(order.request, timeout=CALL_TIMEOUT_S)
    before = await stored(shop)
    error = await refused(made.PlaceOrder(other, timeout=CALL_TIMEOUT_S))
    assert error.code() is Code.ALREADY_EXISTS
    info = error_info(error)
    assert (info.reason, info.metadata["saga_id"]) == (Reason.REQUEST_ID_REUSED, first.saga_id)
    again = await made.PlaceOrder(order.request, timeout=CALL_TIMEOUT_S)
    assert again == first
    assert await stored(shop) == before


async def test_a_concurrency_key_belongs_to_one_live_saga(shop: Shop) -> None:
    (order,) = shop.new_orders(1, versions=(2,), faults=("",))
    rival = PlaceOrderRequest()
    rival.CopyFrom(order.request)
    rival.request_id = "rival"
    made = shop.orders_at(shop.stack.nodes[0])
    with frozen(shop.stack.participants["shipping"].child):
        (saga_id,) = await shop.start(shop.stack.nodes[0], [order])
        await shop.until_all(shop.stack.nodes[0], [saga_id], lambda saga: saga.last_seq >= 3, 10, "held")
        before = await stored(shop)
        error = await refused(made.PlaceOrder(rival, timeout=CALL_TIMEOUT_S))
        assert error.code() is Code.ALREADY_EXISTS
        info = error_info(error)
        assert (info.reason, info.metadata["saga_id"]) == (Reason.CONCURRENCY_KEY_HELD, saga_id)
        assert await stored(shop) == before
    await shop.until_ended(shop.stack.nodes[0], [saga_id], 20)
    await shop.check_sums(shop.stack.nodes[0])
