"""The operator service's reads of sagas: search, count, details, explanation, overview, audit."""

import time
from typing import Final
from uuid import UUID

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2
from saga.v1.operator_service_pb2_grpc import SagaOperatorServiceServicer

from orchestrator.core.state import SagaStatus
from orchestrator.engine.api import SagaView
from orchestrator.engine.ports import QueryStore
from orchestrator.operations.details import attempts_of, without_payloads
from orchestrator.operations.explaining import Surroundings, explain
from orchestrator.operations.messages import duration, timestamp
from orchestrator.operations.operators import Operators
from orchestrator.operations.payloads import show_bytes, step_payloads
from orchestrator.operations.values import AttentionKind, AuditFilter, FoundSaga, Selection
from orchestrator.rpc.calls import Context, visibility_of
from orchestrator.rpc.error_mapping import READING, engine_errors, invalid, refuse_nul, saga_not_found
from orchestrator.rpc.listing import first_that_fit, page_size
from orchestrator.rpc.messages import event_message, view_message
from orchestrator.rpc.operator_messages import (
    attention_groups,
    audit_filter,
    audit_message,
    bucket_message,
    duration_s,
    selection,
    state_counts,
    summary_message,
)
from orchestrator.rpc.page_tokens import decode_token, encode_token
from orchestrator.rpc.settings import RpcSettings

LOOKS_S: Final = 0.05
"""How long a search goes on looking for what is rare among ended sagas, before it answers with what it has."""
MAX_WINDOW_S: Final = 86_400.0
MAX_AUDIT: Final = 50
_UUID_BYTES: Final = 16
_ID_BYTES: Final = 8


class OperatorReading(SagaOperatorServiceServicer):
    """Part of the service."""

    def __init__(self, operators: Operators, queries: QueryStore, settings: RpcSettings) -> None:
        self._operators: Final = operators
        self._queries: Final = queries
        self._settings: Final = settings

    async def SearchSagas(self, request: pb.SearchSagasRequest, context: Context) -> pb.SearchSagasResponse:  # noqa: N802  (the contract's name, as below)
        where = selection(request.query, self._operators.catalogue, visibility_of(context))
        listing = b"SearchSagas " + request.query.SerializeToString(deterministic=True)
        position = decode_token(request.page_token, listing, _UUID_BYTES)
        before = UUID(bytes=position) if position is not None else None
        size = page_size(request.page_size)
        with engine_errors(READING):
            found, before = await self._look(where, size, before)
        catalogue = self._operators.catalogue
        shown = first_that_fit((summary_message(each, catalogue) for each in found), self._settings.max_message_bytes)
        if len(shown) < len(found):
            before = found[len(shown) - 1].stored.saga_id
        token = "" if before is None else encode_token(listing, before.bytes)
        return pb.SearchSagasResponse(sagas=shown, next_page_token=token)

    async def _look(self, where: Selection, size: int, before: UUID | None) -> tuple[list[FoundSaga], UUID | None]:
        """A page, in as many looks as there is time for."""
        found: list[FoundSaga] = []
        ends_s = time.monotonic() + LOOKS_S
        while True:
            page = await self._operators.store.search(
                where, self._operators.policy, limit=size - len(found), before=before
            )
            found += page.sagas
            before = page.before
            if before is None or len(found) >= size or time.monotonic() >= ends_s:
                return found, before

    async def CountSagas(self, request: pb.CountSagasRequest, context: Context) -> pb.CountSagasResponse:  # noqa: N802
        where = selection(request.query, self._operators.catalogue, visibility_of(context))
        with engine_errors(READING):
            tally = await self._operators.store.tally(where, self._operators.policy)
        return pb.CountSagasResponse(
            sagas=sum(group.sagas for group in tally.groups),
            at_least=tally.at_least,
            states=state_counts(tally.groups),
            attention=attention_groups(tally.groups, self._operators.catalogue),
        )

    async def GetSagaDetails(self, request: pb.GetSagaDetailsRequest, context: Context) -> pb.GetSagaDetailsResponse:  # noqa: N802
        saga_id = UUID(request.saga_id)
        with engine_errors(READING):
            view = await self._view(saga_id)
            attention = await self._attention(saga_id)
            entries = await self._operators.store.list_audit(AuditFilter(saga_id), limit=MAX_AUDIT, before=None)
        events = [event_message(saga_id, entry) for entry in view.stored.journal]
        details = op.SagaDetails(
            saga=view_message(view),
            attention=attention,
            attempts=attempts_of(events),
            events=without_payloads(events),
            audit=[audit_message(entry) for entry in entries],
        )
        _add_payloads(details, view)
        return pb.GetSagaDetailsResponse(details=details)

    async def ExplainSaga(self, request: pb.ExplainSagaRequest, context: Context) -> pb.ExplainSagaResponse:  # noqa: N802
        saga_id, store = UUID(request.saga_id), self._operators.store
        with engine_errors(READING):
            view = await self._view(saga_id)
            attention = await self._attention(saga_id)
            holds, nodes, now_us = await store.holds(), await store.nodes(visibility_of(context)), await store.now_us()
        around = Surroundings(
            now_us,
            self._operators.core,
            self._operators.hindrances(holds),
            {str(node.node_id): node.name for node in nodes if node.alive},
        )
        return pb.ExplainSagaResponse(saga=shown_saga(view), explanation=explain(view, attention, around))

    async def GetOverview(self, request: pb.GetOverviewRequest, context: Context) -> pb.GetOverviewResponse:  # noqa: N802
        refuse_nul("definition", request.definition)
        window_s = duration_s(request.window) if request.HasField("window") else 3600.0
        if not 1.0 <= window_s <= MAX_WINDOW_S:
            raise invalid("window", "must be from 1 second to 24 hours")
        count = request.buckets or 60
        width_us = max(1_000_000, round(window_s * 1_000_000 / count))
        definition, visibility = request.definition or None, visibility_of(context)
        store = self._operators.store
        live = Selection(definition=definition, live=True, visibility=visibility)
        with engine_errors(READING):
            now_us = await store.now_us()
            tally = await store.tally(live, self._operators.policy)
            buckets = await self._operators.overviews.buckets(now_us, width_us, count, definition, visibility)
            nodes = await store.nodes(visibility)
        return pb.GetOverviewResponse(
            read_time=timestamp(now_us),
            live=state_counts(tally.groups),
            attention=attention_groups(tally.groups, self._operators.catalogue),
            paused=sum(group.sagas for group in tally.groups if group.paused),
            buckets=[bucket_message(bucket) for bucket in buckets],
            bucket=duration(width_us),
            nodes=sum(node.alive for node in nodes),
        )

    async def ListAudit(self, request: pb.ListAuditRequest, context: Context) -> pb.ListAuditResponse:  # noqa: N802
        where = audit_filter(request.filter, visibility_of(context))
        listing = b"ListAudit " + request.filter.SerializeToString(deterministic=True)
        position = decode_token(request.page_token, listing, _ID_BYTES)
        before = int.from_bytes(position, "big") if position is not None else None
        size = page_size(request.page_size)
        with engine_errors(READING):
            entries = await self._operators.store.list_audit(where, limit=size + 1, before=before)
        shown = first_that_fit((audit_message(entry) for entry in entries[:size]), self._settings.max_message_bytes)
        token = ""
        if len(shown) < len(entries):
            token = encode_token(listing, entries[len(shown) - 1].audit_id.to_bytes(_ID_BYTES, "big"))
        return pb.ListAuditResponse(entries=shown, next_page_token=token)

    async def _view(self, saga_id: UUID) -> SagaView:
        view = await self._operators.engine.view(saga_id)
        if view is None:
            raise saga_not_found(str(saga_id))
        return view

    async def _attention(self, saga_id: UUID) -> op.AttentionKind.ValueType:
        """By the one definition, which the store has."""
        page = await self._operators.store.search(Selection(saga_ids=(saga_id,)), self._operators.policy, limit=1)
        kind = page.sagas[0].attention if page.sagas else AttentionKind.NONE
        return op.AttentionKind.ValueType(kind.value)


def shown_saga(view: SagaView) -> saga_pb2.Saga:
    """With its steps and without its result, which is payload."""
    saga = view_message(view)
    saga.ClearField("result")
    return saga


def _add_payloads(details: op.SagaDetails, view: SagaView) -> None:
    details.saga.ClearField("result")
    definition, state, stored = view.definition, view.state, view.stored
    if definition is None or state is None:
        problem = f"definition {stored.definition} v{stored.version} is not loaded by the answering node"
        details.input.problem = problem
        return
    details.input.CopyFrom(show_bytes(definition.input, stored.input))
    details.step_payloads.extend(step_payloads(definition, state, stored.input))
    if definition.output is not None and state.status is SagaStatus.COMPLETED:
        details.result.CopyFrom(show_bytes(definition.output, view.result))
