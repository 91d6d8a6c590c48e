"""The generic door against a scripted engine: starting, finding, waiting and cancelling."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from saga.v1 import saga_pb2
from saga.v1 import saga_service_pb2 as pb
from saga.v1.saga_service_pb2_grpc import SagaServiceStub

from contracts.errors import DETAILS_KEY
from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import RequestReused, Started, StoreUnavailable, TooManyRequests
from tests.integration.rpc.fakes import OTHER_ID, REGISTRY, SAGA_ID, Served, a_saga, an_order, failing, serving

if TYPE_CHECKING:  # the stubs' own name for what a channel of grpc.aio makes
    from saga.v1.saga_service_pb2_grpc import SagaServiceAsyncStub

Code = grpc.StatusCode


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as running:
        yield running


@pytest.fixture
def sagas(served: Served) -> "SagaServiceAsyncStub":
    return SagaServiceStub(served.channel)


def a_start(definition: str = "place-order", version: int = 0, **fields: bytes) -> pb.StartSagaRequest:
    order = an_order("")
    given = {"input": order.SerializeToString(), **fields}
    return pb.StartSagaRequest(request_id="r-1", definition=definition, version=version, **given)


async def test_start_describes_the_new_saga_without_reading(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.saga = AssertionError("no second look")
    response = await sagas.StartSaga(a_start(version=1), timeout=10)
    definition = REGISTRY.find("place-order", 1)
    assert definition is not None
    assert not response.already_started
    assert response.saga == saga_pb2.Saga(
        saga_id=str(SAGA_ID),
        definition="place-order",
        version=1,
        digest=definition.digest.hex(),
        state=saga_pb2.SAGA_STATE_RUNNING,
        caller="local",
        request_id="r-1",
        concurrency_key="o-1",
    )


async def test_version_0_is_the_newest(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    response = await sagas.StartSaga(a_start(), timeout=10)
    assert response.saga.version == 2
    assert served.engine.starts[0].definition.version == 2


async def test_both_doors_give_the_engine_the_same_input(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    order = an_order("another id", return_immediately=True)
    await sagas.StartSaga(a_start(input=order.SerializeToString()), timeout=10)
    expected = an_order()
    expected.ClearField("request_id")
    assert served.engine.starts[0].saga_input == expected
    assert served.engine.starts[0].request_id == "r-1"


async def test_a_saga_found_again_is_shown_as_stored(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.started = Started(SAGA_ID, already_started=True)
    served.engine.saga = a_saga(SagaStatus.COMPLETED)
    response = await sagas.StartSaga(a_start(), timeout=10)
    assert response.already_started
    assert (response.saga.version, response.saga.state) == (1, saga_pb2.SAGA_STATE_COMPLETED)


@pytest.mark.parametrize(("definition", "version"), [("place-order", 9), ("nothing", 0)])
async def test_an_unknown_definition(
    served: Served, sagas: "SagaServiceAsyncStub", definition: str, version: int
) -> None:
    code, info, message = await failing(sagas.StartSaga(a_start(definition, version), timeout=10))
    assert (code, info.reason) == (Code.NOT_FOUND, "DEFINITION_NOT_FOUND")
    assert definition in message
    assert ("v1, v2" in message) == (definition == "place-order")
    assert served.engine.starts == []


async def test_an_input_that_breaks_rules_names_its_fields(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    order = an_order()
    order.lines[0].quantity = 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await sagas.StartSaga(a_start(input=order.SerializeToString()), timeout=10)
    status = Status.FromString(dict(caught.value.trailing_metadata() or ())[DETAILS_KEY])
    broken = BadRequest()
    assert status.details[1].Unpack(broken)
    assert [violation.field for violation in broken.field_violations] == ["input.lines[0].quantity"]
    assert served.engine.starts == []


async def test_an_input_that_does_not_parse(sagas: "SagaServiceAsyncStub") -> None:
    code, info, message = await failing(sagas.StartSaga(a_start(input=b"\xff\xff"), timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert "orders.v1.PlaceOrderRequest" in message


async def test_the_same_request_id_with_another_payload(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.started = Started(OTHER_ID, conflict="request_id")
    code, info, _ = await failing(sagas.StartSaga(a_start(), timeout=10))
    assert (code, info.reason, info.metadata["saga_id"]) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", str(OTHER_ID))


@pytest.mark.parametrize("request_id", ["", "nul\0", "x" * 129])
async def test_a_request_id_that_cannot_be_kept(served: Served, sagas: "SagaServiceAsyncStub", request_id: str) -> None:
    start = a_start()
    start.request_id = request_id
    code, info, _ = await failing(sagas.StartSaga(start, timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    cancel = pb.CancelSagaRequest(saga_id=str(SAGA_ID), request_id=request_id)
    code, info, _ = await failing(sagas.CancelSaga(cancel, timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert not served.engine.starts
    assert not served.engine.cancels


async def test_get_shows_steps_and_result(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.saga = a_saga(SagaStatus.COMPLETED)
    saga = (await sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)).saga
    assert [step.name for step in saga.steps] == ["reserve", "charge", "ship"]
    assert saga.result == b"result"


async def test_an_unknown_saga_is_not_found_everywhere(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.saga = None
    served.engine.standing = None
    served.engine.cancelled = KeyError(SAGA_ID)
    named = str(SAGA_ID)
    calls = [
        sagas.GetSaga(pb.GetSagaRequest(saga_id=named), timeout=10),
        sagas.WaitSaga(pb.WaitSagaRequest(saga_id=named), timeout=10),
        sagas.CancelSaga(pb.CancelSagaRequest(saga_id=named, request_id="c-1"), timeout=10),
        sagas.ListSagaEvents(pb.ListSagaEventsRequest(saga_id=named), timeout=10),
        sagas.WatchSaga(pb.WatchSagaRequest(saga_id=named), timeout=10).read(),
    ]
    for call in calls:
        code, info, _ = await failing(call)
        assert (code, info.reason, info.metadata["saga_id"]) == (Code.NOT_FOUND, "SAGA_NOT_FOUND", named)


async def test_a_malformed_saga_id(sagas: "SagaServiceAsyncStub") -> None:
    code, info, _ = await failing(sagas.GetSaga(pb.GetSagaRequest(saga_id="42"), timeout=10))
    assert (code, info.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_wait_returns_before_the_deadline(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    response = await sagas.WaitSaga(pb.WaitSagaRequest(saga_id=str(SAGA_ID)), timeout=2)
    assert response.saga.state == saga_pb2.SAGA_STATE_RUNNING
    assert 0 < served.engine.waits[0] < 1.95


async def test_wait_takes_the_shortest_bound(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    for timeout in (Duration(nanos=20_000_000), Duration(seconds=-5), Duration(seconds=1 << 40)):
        await sagas.WaitSaga(pb.WaitSagaRequest(saga_id=str(SAGA_ID), timeout=timeout), timeout=200)
    assert served.engine.waits == [0.02, 0.0, 60.0]


async def test_cancel_returns_the_saga_as_it_turned_around(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.saga = a_saga(SagaStatus.COMPENSATING)
    request = pb.CancelSagaRequest(saga_id=str(SAGA_ID), request_id="c-1")
    response = await sagas.CancelSaga(request, timeout=10)
    assert response.saga.state == saga_pb2.SAGA_STATE_COMPENSATING
    assert served.engine.cancels == [("local", "c-1")]


@pytest.mark.parametrize(
    ("refusal", "reason", "instead"),
    [
        (Failure(0, "PAST_PIVOT", "it can only go forward"), "PAST_PIVOT", "WaitSaga"),
        (
            Failure(0, "SAGA_STATE", "it is stuck; only an operator can move it"),
            "SAGA_STATE",
            "operator",
        ),
        (Failure(0, "ELSE", "unheard of"), "SAGA_STATE", "GetSaga"),
    ],
)
async def test_a_refused_cancel_says_what_can_be_done(
    served: Served, sagas: "SagaServiceAsyncStub", refusal: Failure, reason: str, instead: str
) -> None:
    served.engine.cancelled = refusal
    request = pb.CancelSagaRequest(saga_id=str(SAGA_ID), request_id="c-1")
    code, info, message = await failing(sagas.CancelSaga(request, timeout=10))
    assert (code, info.reason) == (Code.FAILED_PRECONDITION, reason)
    assert refusal.message in message
    assert instead in message


async def test_a_cancel_under_a_used_request_id_is_refused(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.cancelled = RequestReused("c-1")
    request = pb.CancelSagaRequest(saga_id=str(SAGA_ID), request_id="c-1")
    code, info, _ = await failing(sagas.CancelSaga(request, timeout=10))
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_cancel_too_many_is_refused(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.cancelled = TooManyRequests(SAGA_ID)
    request = pb.CancelSagaRequest(saga_id=str(SAGA_ID), request_id="c-101")
    code, info, message = await failing(sagas.CancelSaga(request, timeout=10))
    assert (code, info.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_MANY_REQUESTS")
    assert "GetSaga" in message


async def test_an_undecided_cancel_is_to_be_repeated(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.cancelled = TimeoutError()
    request = pb.CancelSagaRequest(saga_id=str(SAGA_ID), request_id="c-1")
    code, info, message = await failing(sagas.CancelSaga(request, timeout=10))
    assert (code, info.reason) == (Code.DEADLINE_EXCEEDED, "OUTCOME_PENDING")
    assert "same request_id" in message


async def test_the_store_is_away(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    away = StoreUnavailable("secret")
    for name in ("started", "standing", "saga", "cancelled"):
        setattr(served.engine, name, away)
    served.queries.failure = away
    named = str(SAGA_ID)
    calls = [
        sagas.StartSaga(a_start(), timeout=10),
        sagas.GetSaga(pb.GetSagaRequest(saga_id=named), timeout=10),
        sagas.WaitSaga(pb.WaitSagaRequest(saga_id=named), timeout=10),
        sagas.CancelSaga(pb.CancelSagaRequest(saga_id=named, request_id="c-1"), timeout=10),
        sagas.ListSagas(pb.ListSagasRequest(), timeout=10),
        sagas.ListSagaEvents(pb.ListSagaEventsRequest(saga_id=named), timeout=10),
        sagas.WatchSaga(pb.WatchSagaRequest(saga_id=named), timeout=10).read(),
    ]
    for call in calls:
        code, info, message = await failing(call)
        assert (code, info.reason) == (Code.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert "secret" not in message
        assert "again" in message or "repeat" in message


async def test_a_definition_that_no_node_has_is_named(served: Served, sagas: "SagaServiceAsyncStub") -> None:
    served.engine.saga = replace(a_saga(), digest=b"gone", definition_loaded=False)
    saga = (await sagas.GetSaga(pb.GetSagaRequest(saga_id=str(SAGA_ID)), timeout=10)).saga
    assert saga.blocked_reason == "definition place-order v1 is loaded by no live node"
    assert not saga.steps
