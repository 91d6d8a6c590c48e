"""``saga.v1.SagaService``: start, find and cancel sagas of any definition; see the contract for each method."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final, cast
from uuid import UUID

from google.protobuf.message import Message
from saga.v1 import saga_pb2
from saga.v1 import saga_service_pb2 as pb
from saga.v1 import saga_service_pb2_grpc as pb_grpc

from contracts.rules import violations
from contracts.shape import misshapen
from orchestrator.core.state import SagaStatus
from orchestrator.definitions.model import Definition, clear_request_fields
from orchestrator.definitions.registry import Registry
from orchestrator.engine.api import SagaEngine
from orchestrator.engine.ports import QueryStore, Started
from orchestrator.rpc.calls import Context, caller_of, note_saga, tenant_of, trace_of, visibility_of, wait_budget_s
from orchestrator.rpc.error_mapping import (
    CANCELLING,
    READING,
    STARTING,
    cancel_refused,
    definition_not_found,
    engine_errors,
    invalid,
    invalid_input,
    outcome_pending,
    refuse_nul,
    saga_not_found,
    start_conflict,
)
from orchestrator.rpc.listing import first_that_fit, page_size, saga_filter
from orchestrator.rpc.messages import event_message, saga_message, view_message
from orchestrator.rpc.page_tokens import decode_token, encode_token
from orchestrator.rpc.settings import RpcSettings
from orchestrator.rpc.watching import watch

_UUID_BYTES: Final = 16
_SEQ_BYTES: Final = 8


class SagaService(pb_grpc.SagaServiceServicer):
    """Serves the generic door. Requests were checked against their contract's rules before they come here."""

    def __init__(self, engine: SagaEngine, queries: QueryStore, registry: Registry, settings: RpcSettings) -> None:
        self._engine: Final = engine
        self._queries: Final = queries
        self._registry: Final = registry
        self._settings: Final = settings

    async def StartSaga(self, request: pb.StartSagaRequest, context: Context) -> pb.StartSagaResponse:  # noqa: N802  (the contract's name, as below)
        """A saga that is new is described by what is known of it, without another look into the store."""
        refuse_nul("request_id", request.request_id)
        definition = self._definition(request.definition, request.version)
        with engine_errors(STARTING):
            saga_input = _checked_input(definition, request)
            caller, tenant = caller_of(context), tenant_of(context)
            started = await self._engine.start(
                definition,
                saga_input,
                caller=caller,
                tenant=tenant,
                request_id=request.request_id,
                trace=trace_of(context),
            )
        note_saga(started.saga_id)
        if started.conflict is not None:
            start_conflict(started.conflict, started.saga_id)
        if started.already_started:
            saga = await self._view(started.saga_id)
        else:
            saga = _new_saga(definition, saga_input, started, caller, request.request_id)
            saga.tenant = tenant
        return pb.StartSagaResponse(saga=saga, already_started=started.already_started)

    async def GetSaga(self, request: pb.GetSagaRequest, context: Context) -> pb.GetSagaResponse:  # noqa: N802
        return pb.GetSagaResponse(saga=await self._view(UUID(request.saga_id)))

    async def WaitSaga(self, request: pb.WaitSagaRequest, context: Context) -> pb.WaitSagaResponse:  # noqa: N802
        timeout_s = wait_budget_s(context, self._settings.max_wait_s)
        if request.HasField("timeout"):
            asked_s = request.timeout.seconds + request.timeout.nanos / 1e9
            timeout_s = min(timeout_s, max(0.0, asked_s))
        saga_id = UUID(request.saga_id)
        with engine_errors(READING):
            await self._engine.wait(saga_id, timeout_s)
        return pb.WaitSagaResponse(saga=await self._view(saga_id))

    async def WatchSaga(self, request: pb.WatchSagaRequest, context: Context) -> AsyncIterator[pb.WatchSagaResponse]:  # noqa: N802
        saga_id, max_watch_s = UUID(request.saga_id), self._settings.max_watch_s
        watched = watch(self._engine, self._queries, saga_id, request.after_seq, max_watch_s=max_watch_s)
        async with aclosing(watched) as events:
            async for event in events:
                yield pb.WatchSagaResponse(event=event)

    async def ListSagas(self, request: pb.ListSagasRequest, context: Context) -> pb.ListSagasResponse:  # noqa: N802
        where = saga_filter(request.filter, visibility_of(context))
        listing = b"ListSagas " + request.filter.SerializeToString(deterministic=True)
        position = decode_token(request.page_token, listing, _UUID_BYTES)
        before = UUID(bytes=position) if position is not None else None
        size = page_size(request.page_size)
        with engine_errors(READING):
            stored = await self._queries.list_sagas(where, limit=size + 1, before=before)  # one more: is there a page?
        sagas = first_that_fit((saga_message(each) for each in stored[:size]), self._settings.max_message_bytes)
        token = ""
        if len(sagas) < len(stored):
            token = encode_token(listing, stored[len(sagas) - 1].saga_id.bytes)
        return pb.ListSagasResponse(sagas=sagas, next_page_token=token)

    async def ListSagaEvents(self, request: pb.ListSagaEventsRequest, context: Context) -> pb.ListSagaEventsResponse:  # noqa: N802
        saga_id = UUID(request.saga_id)
        listing = b"ListSagaEvents " + saga_id.bytes
        position = decode_token(request.page_token, listing, _SEQ_BYTES)
        after_seq = int.from_bytes(position, "big") if position is not None else 0
        size = page_size(request.page_size)
        with engine_errors(READING):
            entries = await self._queries.list_entries(saga_id, after_seq=after_seq, limit=size + 1)
        if not entries and not after_seq:  # every saga has a first event
            raise saga_not_found(request.saga_id)
        events = first_that_fit(
            (event_message(saga_id, entry) for entry in entries[:size]), self._settings.max_message_bytes
        )
        token = ""
        if len(events) < len(entries):
            token = encode_token(listing, events[-1].seq.to_bytes(_SEQ_BYTES, "big"))
        return pb.ListSagaEventsResponse(events=events, next_page_token=token)

    async def CancelSaga(self, request: pb.CancelSagaRequest, context: Context) -> pb.CancelSagaResponse:  # noqa: N802
        refuse_nul("request_id", request.request_id)
        saga_id = UUID(request.saga_id)
        timeout_s = wait_budget_s(context, self._settings.max_wait_s)
        with engine_errors(CANCELLING, saga_id):
            try:
                refusal = await self._engine.cancel(
                    saga_id, caller=caller_of(context), request_id=request.request_id, timeout_s=timeout_s
                )
            except KeyError:
                raise saga_not_found(request.saga_id) from None
            except TimeoutError:
                advice = "whether it turns around was not decided in time; repeat the call with the same request_id"
                raise outcome_pending(saga_id, advice) from None
        if refusal is not None:
            raise cancel_refused(saga_id, refusal)
        return pb.CancelSagaResponse(saga=await self._view(saga_id))

    def _definition(self, name: str, version: int) -> Definition:
        definition = self._registry.find(name, version)
        if definition is None:
            loaded = [each.version for each in self._registry if each.name == name]
            raise definition_not_found(name, version, loaded)
        return definition

    async def _view(self, saga_id: UUID) -> saga_pb2.Saga:
        note_saga(saga_id)
        with engine_errors(READING):
            view = await self._engine.view(saga_id)
        if view is None:
            raise saga_not_found(str(saga_id))
        return view_message(view)


def _checked_input(definition: Definition, request: pb.StartSagaRequest) -> Message:
    """The input without what concerns the call. Raises ``PayloadError``, and INVALID_ARGUMENT for a broken rule."""
    saga_input = definition.parse_input(request.input)
    fault = misshapen(saga_input)
    if fault is not None:
        raise invalid("input", fault)
    if "request_id" in saga_input.DESCRIPTOR.fields_by_name:
        # A front door's input carries the id of its call, and its rules may demand one: this call's is.
        cast("Any", saga_input).request_id = request.request_id
    broken = violations(saga_input)
    if broken:
        raise invalid_input(broken)
    clear_request_fields(saga_input)
    return saga_input


def _new_saga(
    definition: Definition, saga_input: Message, started: Started, caller: str, request_id: str
) -> saga_pb2.Saga:
    return saga_pb2.Saga(
        saga_id=str(started.saga_id),
        definition=definition.name,
        version=definition.version,
        digest=definition.digest.hex(),
        state=saga_pb2.SagaState.ValueType(SagaStatus.RUNNING.value),
        caller=caller,
        request_id=request_id,
        concurrency_key=definition.concurrency_key(saga_input) or "",
    )
