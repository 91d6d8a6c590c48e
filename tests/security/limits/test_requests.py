"""What the doors make of requests that are misshapen, or hold what no contract knows."""

from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from inventory.v1.inventory_pb2 import ReleaseRequest, ReserveRequest
from inventory.v1.inventory_saga import InventoryService
from orders.v1.orders_pb2 import PlaceOrderRequest, PlaceOrderResponse
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.shape import MAX_DEPTH, MAX_ELEMENTS
from orchestrator.definitions.registry import load_sagas
from orchestrator.definitions.saga import Saga
from tests.integration.rpc.fakes import an_order, failing, serving

UNKNOWN = b"\xf2\x3f\x05hello"
"""Field 1022, which no message has."""

loose: Saga[struct_pb2.Struct, Any] = Saga("loose", version=1, input=struct_pb2.Struct)
"""Its input may nest as deep as its caller likes."""


@loose.step(InventoryService.Reserve)
def reserve(given: struct_pb2.Struct) -> ReserveRequest:
    return ReserveRequest(order_id="o")


@reserve.compensation
def release(given: struct_pb2.Struct) -> ReleaseRequest:
    return ReleaseRequest(order_id="o")


def nested(levels: int) -> bytes:
    given = struct_pb2.Struct()
    for _ in range(levels):
        outer = struct_pb2.Struct()
        outer.fields["in"].struct_value.CopyFrom(given)
        given = outer
    return given.SerializeToString()


def crowded() -> bytes:
    given = struct_pb2.Struct()
    given.fields["in"].list_value.extend([None] * (MAX_ELEMENTS + 1))
    return given.SerializeToString()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (nested(MAX_DEPTH), f"nests deeper than {MAX_DEPTH}"),
        (nested(200), "are no google.protobuf.Struct"),  # the parser's own bound
        (crowded(), f"more than {MAX_ELEMENTS} messages"),
    ],
)
async def test_the_input_of_a_saga_is_bounded_in_depth_and_in_number(data: bytes, told: str) -> None:
    async with serving(load_sagas([loose]), max_message_bytes=1 << 20) as served:
        sagas = SagaServiceStub(served.channel)
        request = pb.StartSagaRequest(request_id="r", definition="loose", version=1, input=data)
        code, info, text = await failing(sagas.StartSaga(request, timeout=10))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
        assert told in text
        assert served.engine.starts == []
        request.input = nested(3)
        await sagas.StartSaga(request, timeout=10)
        assert len(served.engine.starts) == 1


async def test_what_no_contract_knows_reaches_no_saga() -> None:
    """A later contract may know the field, and nothing has checked it."""
    async with serving() as served:
        data = an_order().SerializeToString()
        place: Any = served.channel.unary_unary(
            "/orders.v1.OrderService/PlaceOrder", response_deserializer=PlaceOrderResponse.FromString
        )
        await place(data + UNKNOWN, timeout=10)
        start = pb.StartSagaRequest(request_id="r-2", definition="place-order", version=1, input=data + UNKNOWN)
        await SagaServiceStub(served.channel).StartSaga(start, timeout=10)
        await OrderServiceStub(served.channel).PlaceOrder(an_order(), timeout=10)
        first, second, plain = (call.saga_input for call in served.engine.starts)
        assert first == second == plain
        assert UNKNOWN in PlaceOrderRequest.FromString(data + UNKNOWN).SerializeToString(), "else this proves nothing"
        assert all(b"hello" not in each.SerializeToString() for each in (first, second))
