"""Every RPC that there is, called by everybody: who gets through is written out here, and nowhere computed."""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from orders.v1 import orders_pb2
from saga.v1 import operator_service_pb2, options_pb2, saga_service_pb2

from orchestrator.rpc.access.errors import PermissionMissing
from orchestrator.rpc.access.permissions import METHODS, Permission, check_complete
from tests.security.access.served import CALL_S, Guarded, told

NOBODY: Final = UUID("01900000-0000-7000-8000-00000000dead")
EVERYBODY: Final = (None, "unknown", "starter", "reader", "operator", "admin")
KNOWN: Final = {"starter", "reader", "operator", "admin"}
MATRIX: Final = {
    "SagaService": {
        "StartSaga": {"starter", "admin"},
        "GetSaga": KNOWN,
        "WaitSaga": KNOWN,
        "WatchSaga": KNOWN,
        "ListSagas": {"reader", "operator", "admin"},
        "ListSagaEvents": {"reader", "operator", "admin"},
        "CancelSaga": {"starter", "operator", "admin"},
    },
    "SagaOperatorService": {
        "SearchSagas": {"reader", "operator", "admin"},
        "CountSagas": {"reader", "operator", "admin"},
        "GetSagaDetails": {"reader", "operator", "admin"},
        "ExplainSaga": {"reader", "operator", "admin"},
        "GetOverview": {"reader", "operator", "admin"},
        "RetryNow": {"operator", "admin"},
        "RetryCompensation": {"operator", "admin"},
        "SkipStep": {"operator", "admin"},
        "ForceCompensation": {"operator", "admin"},
        "ResolveSaga": {"operator", "admin"},
        "PauseSaga": {"operator", "admin"},
        "ResumeSaga": {"operator", "admin"},
        "StartBulk": {"operator", "admin"},
        "GetBulk": {"reader", "operator", "admin"},
        "WatchBulk": {"reader", "operator", "admin"},
        "ListBulks": {"reader", "operator", "admin"},
        "ListBulkMembers": {"reader", "operator", "admin"},
        "CancelBulk": {"operator", "admin"},
        "ListAudit": {"reader", "operator", "admin"},
        "ListParticipants": {"reader", "operator", "admin"},
        "HoldParticipant": {"admin"},
        "ReleaseParticipant": {"admin"},
        "ListNodes": {"reader", "operator", "admin"},
        "DrainNode": {"admin"},
        "ListDefinitions": {"reader", "operator", "admin"},
        "GetIdentity": KNOWN,
    },
}
SERVICES: Final = [
    service
    for file in (saga_service_pb2.DESCRIPTOR, operator_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
]


def methods() -> Iterator[MethodDescriptor]:
    for service in SERVICES:
        yield from service.methods


def test_the_matrix_names_every_rpc_and_none_that_there_is_not() -> None:
    assert {service.name: {method.name for method in service.methods} for service in SERVICES} == {
        service: set(row) for service, row in MATRIX.items()
    }


def a_request(method: MethodDescriptor) -> Message:
    """The least that the contract's rules let through: it asks for what there is not."""
    request: Any = GetMessageClass(method.input_type)()
    for field in method.input_type.fields:
        rules = field.GetOptions().Extensions[options_pb2.rules]
        if field.name == "definition" and method.name == "StartSaga":
            request.definition = "line"
        elif rules.pattern:
            setattr(request, field.name, str(NOBODY))
        elif field.name == "expected_version":
            request.expected_version = 1
        elif field.name == "query" and method.name == "StartBulk":
            request.query.definition = "line"
            request.action.action = 1
        elif rules.required and field.message_type is None:
            setattr(request, field.name, "x")
    least: Message = request
    return least


async def status_of(guarded: Guarded, method: MethodDescriptor, who: str | None) -> tuple[grpc.StatusCode, str]:
    path = f"/{method.containing_service.full_name}/{method.name}"
    open_call = guarded.channel.unary_stream if method.server_streaming else guarded.channel.unary_unary
    parse = GetMessageClass(method.output_type).FromString
    call: Any = open_call(path, type(a_request(method)).SerializeToString, parse)(
        a_request(method), timeout=CALL_S, metadata=guarded.metadata(who)
    )
    try:
        await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        return error.code(), told(error).reason
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("who", EVERYBODY, ids=str)
async def test_everybody_calls_everything(guarded: Guarded, who: str | None) -> None:
    answers = {}
    for method in methods():
        code, reason = await status_of(guarded, method, who)
        assert code not in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED), method
        let_in = code not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
        assert let_in or reason == code.name
        answers[method.containing_service.name, method.name] = let_in, code
    expected = {(service, name): who in allowed for service, row in MATRIX.items() for name, allowed in row.items()}
    assert {key: let_in for key, (let_in, _) in answers.items()} == expected
    refused = {code for let_in, code in answers.values() if not let_in}
    assert refused <= {grpc.StatusCode.UNAUTHENTICATED if who is None else grpc.StatusCode.PERMISSION_DENIED}


def test_a_served_rpc_without_a_permission_keeps_the_server_from_starting() -> None:
    check_complete(SERVICES, ())
    orders = orders_pb2.DESCRIPTOR.services_by_name["OrderService"]
    with pytest.raises(PermissionMissing, match=r"/orders\.v1\.OrderService/PlaceOrder"):
        check_complete([orders], ())
    check_complete([orders], ["/orders.v1.OrderService/PlaceOrder"])


def test_nothing_but_health_is_open() -> None:
    assert {path for path, permission in METHODS.items() if permission is Permission.OPEN} == {
        f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch", "List")
    }
