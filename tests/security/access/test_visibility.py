"""What a caller may not see is answered as what does not exist: every request that can name it, by every name."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from inventory.v1.inventory_pb2 import ReserveResponse
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as operator_pb
from saga.v1 import saga_service_pb2 as pb

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import Answer
from tests.security.access.served import CALL_S, Guarded, told
from tests.security.access.test_matrix import MATRIX, NOBODY, a_request, methods

RESERVED: Final = Answer(0, response=ReserveResponse(reservation_id="reserved").SerializeToString())
GUARDED: Final = {"saga_id", "bulk_id"}
"""Fields at the top of a request: the guard looks at them."""
FILTERS: Final = {"saga.v1.AuditFilter.saga_id", "saga.v1.AuditFilter.bulk_id", "saga.v1.SagaQuery.saga_ids"}
"""Fields that narrow down what a query finds, and that finds nothing hidden: tried below, one by one."""


def fields(descriptor: Descriptor) -> Iterator[FieldDescriptor]:
    for field in descriptor.fields:
        yield field
        if field.message_type is not None:
            yield from fields(field.message_type)


def test_every_field_that_can_name_a_saga_or_a_bulk_is_known() -> None:
    named = {
        (method.name, field.full_name, field in list(method.input_type.fields))
        for method in methods()
        for field in fields(method.input_type)
        if "saga_id" in field.name or "bulk_id" in field.name
    }
    assert {name for _, name, top in named if not top} == FILTERS
    assert {name.rpartition(".")[2] for _, name, top in named if top} == GUARDED


def naming(field: str) -> list[MethodDescriptor]:
    return [method for method in methods() if field in method.input_type.fields_by_name]


async def answer(guarded: Guarded, method: MethodDescriptor, who: str, **named: UUID) -> tuple[Any, ...]:
    """Everything that a caller can tell an answer by, with the id taken out."""
    request: Any = a_request(method)
    for field, value in named.items():
        setattr(request, field, str(value))
    stub = guarded.sagas() if method.containing_service.name == "SagaService" else guarded.operators()
    call = getattr(stub, method.name)(request, timeout=CALL_S, metadata=guarded.metadata(who))
    try:
        await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        status = told(error)
        (value,) = named.values()
        metadata = {key: text.replace(str(value), "ID") for key, text in status.metadata.items()}
        trailers = sorted(key for key, _ in error.trailing_metadata() or ())
        return status.code, status.reason, status.message.replace(str(value), "ID"), metadata, trailers
    return ("OK",)


@pytest.mark.parametrize("who", ["starter", "both", "reader", "operator"])
async def test_a_hidden_saga_is_one_that_does_not_exist(guarded: Guarded, who: str) -> None:
    hidden = [await guarded.start("stranger")]
    if who == "starter":
        hidden.append(await guarded.start("fellow"))
    for method in naming("saga_id"):
        if {"both": "starter"}.get(who, who) not in MATRIX[method.containing_service.name][method.name]:
            continue
        absent = await answer(guarded, method, who, saga_id=NOBODY)
        assert absent[:2] == (grpc.StatusCode.NOT_FOUND, "SAGA_NOT_FOUND"), method.name
        for saga_id in hidden:
            assert await answer(guarded, method, who, saga_id=saga_id) == absent, method.name
    for saga_id in hidden:  # nothing was asked of them
        assert [entry.kind for entry in (await guarded.rig.stored(saga_id)).journal if entry.kind in (15, 16)] == []


async def test_each_sees_what_is_its_own(guarded: Guarded) -> None:
    saga_id = await guarded.start("starter")
    await guarded.node.ends(saga_id)
    for method in naming("saga_id"):
        for who in ("starter", "operator", "admin"):
            if who in MATRIX[method.containing_service.name][method.name]:
                found = await answer(guarded, method, who, saga_id=saga_id)
                assert "NOT_FOUND" not in str(found[:2]) or found[1] == "STEP_NOT_FOUND", (method.name, who, found)


async def a_bulk(guarded: Guarded, saga_id: UUID, who: str) -> UUID:
    request = operator_pb.StartBulkRequest(
        request_id="bulk-1",
        query=op.SagaQuery(saga_ids=[str(saga_id)]),
        action=op.BulkAction(action=op.OPERATOR_ACTION_PAUSE),
        reason="a test",
    )
    return UUID((await guarded.call("StartBulk", request, who)).bulk.bulk_id)


async def test_a_hidden_bulk_is_one_that_does_not_exist(guarded: Guarded) -> None:
    guarded.rig.world.gates["charge/action"] = asyncio.Event()
    saga_id = await guarded.start("stranger")
    hidden = await a_bulk(guarded, saga_id, "warden")
    assert naming("bulk_id")
    for method in naming("bulk_id"):
        absent = await answer(guarded, method, "operator", bulk_id=NOBODY)
        assert absent[:2] == (grpc.StatusCode.NOT_FOUND, "BULK_NOT_FOUND"), method.name
        assert await answer(guarded, method, "operator", bulk_id=hidden) == absent, method.name
        seen = await answer(guarded, method, "warden", bulk_id=hidden)
        assert seen[:2] != absent[:2], method.name
    mine = await guarded.call("ListBulks", operator_pb.ListBulksRequest(), "operator")
    theirs = await guarded.call("ListBulks", operator_pb.ListBulksRequest(), "warden")
    assert ([], [str(hidden)]) == ([bulk.bulk_id for bulk in mine.bulks], [bulk.bulk_id for bulk in theirs.bulks])


async def test_filters_find_nothing_hidden(guarded: Guarded) -> None:
    guarded.rig.world.gates["charge/action"] = asyncio.Event()
    hidden, own = await guarded.start("stranger"), await guarded.start("starter")
    bulk_id = await a_bulk(guarded, hidden, "warden")
    query = op.SagaQuery(saga_ids=[str(hidden), str(own)])

    async def found(who: str) -> tuple[list[str], int, int, int]:
        searched = await guarded.call("SearchSagas", operator_pb.SearchSagasRequest(query=query), who)
        counted = await guarded.call("CountSagas", operator_pb.CountSagasRequest(query=query), who)
        rehearsed = await guarded.call(
            "StartBulk",
            operator_pb.StartBulkRequest(
                request_id="rehearsed",
                query=query,
                action=op.BulkAction(action=op.OPERATOR_ACTION_PAUSE),
                reason="a test",
                validate_only=True,
            ),
            who,
        )
        audits = 0
        for where in ({"saga_id": str(hidden)}, {"bulk_id": str(bulk_id), "bulk_members": True}):
            listing = operator_pb.ListAuditRequest(filter=operator_pb.AuditFilter(**where))
            audits += len((await guarded.call("ListAudit", listing, who)).entries)
        return [each.saga.saga_id for each in searched.sagas], counted.sagas, rehearsed.bulk.members, audits

    assert await found("operator") == ([str(own)], 1, 1, 0)
    sagas, counted, members, audits = await found("warden")
    assert (sagas, counted, members) == ([str(hidden)], 1, 1)
    assert audits > 0
    listed = await guarded.call("ListSagas", pb.ListSagasRequest(), "reader")
    assert [saga.saga_id for saga in listed.sagas] == [str(own)]


async def test_readers_see_sagas_and_not_what_is_in_them(guarded: Guarded) -> None:
    guarded.rig.world.answers["reserve/action"] = RESERVED
    saga_id = await guarded.start("starter")
    await guarded.node.ends(saga_id, SagaStatus.COMPLETED)

    async def seen(who: str) -> tuple[bool, bool]:
        """Whether results, and responses in the journal, are shown."""
        sagas = guarded.sagas()
        got = await guarded.call("GetSaga", pb.GetSagaRequest(saga_id=str(saga_id)), who)
        waited = await guarded.call("WaitSaga", pb.WaitSagaRequest(saga_id=str(saga_id)), who)
        watch = sagas.WatchSaga(
            pb.WatchSagaRequest(saga_id=str(saga_id)), timeout=CALL_S, metadata=guarded.metadata(who)
        )
        events = [answer.event async for answer in watch]
        assert bool(got.saga.result) == bool(waited.saga.result)
        return bool(got.saga.result), any(event.step_succeeded.response for event in events)

    assert [await seen(who) for who in ("starter", "operator", "admin", "reader")] == [
        (True, True),
        (True, True),
        (True, True),
        (False, False),
    ]
    for who, shown in (("operator", True), ("reader", False)):
        details = operator_pb.GetSagaDetailsRequest(saga_id=str(saga_id))
        answer = (await guarded.call("GetSagaDetails", details, who)).details
        assert bool(answer.input.json) == bool(answer.step_payloads) == bool(answer.result.json) == shown
        listing = pb.ListSagaEventsRequest(saga_id=str(saga_id))
        events = (await guarded.call("ListSagaEvents", listing, who)).events
        assert any(event.step_succeeded.response for event in events) == shown
        assert [event.step_succeeded.step for event in events if event.WhichOneof("attributes") == "step_succeeded"]


async def test_who_starts_and_reads_sees_its_own_whole_and_others_without_payloads(guarded: Guarded) -> None:
    guarded.rig.world.answers["reserve/action"] = RESERVED
    own, others = await guarded.start("both"), await guarded.start("starter")
    for saga_id in (own, others):
        await guarded.node.ends(saga_id)
    results = [
        (await guarded.call("GetSaga", pb.GetSagaRequest(saga_id=str(saga_id)), "both")).saga.result
        for saga_id in (own, others)
    ]
    assert bool(results[0])
    assert not results[1]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await guarded.call("CancelSaga", pb.CancelSagaRequest(saga_id=str(others), request_id="c"), "both")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
