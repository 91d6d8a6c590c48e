"""The operator service's actions, on one saga and on many."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final, Protocol
from uuid import UUID

from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2

from orchestrator.core.inputs import OperatorAction
from orchestrator.engine.ports import RequestReused
from orchestrator.operations.acting import Asked
from orchestrator.operations.values import (
    AuditAction,
    AuditOutcome,
    AuditRecord,
    BulkState,
    FoundSaga,
    NewBulk,
    Selection,
    StoredBulk,
)
from orchestrator.rpc.calls import Context, caller_of, tenant_of, visibility_of, wait_budget_s
from orchestrator.rpc.error_mapping import READING, engine_errors, invalid, outcome_pending, refuse_nul
from orchestrator.rpc.listing import first_that_fit, page_size
from orchestrator.rpc.operator_errors import (
    ACTING,
    action_errors,
    action_refused,
    bulk_ended,
    bulk_interrupted,
    bulk_not_found,
)
from orchestrator.rpc.operator_messages import bulk_message, member_message, selection, summary_message
from orchestrator.rpc.operator_reading import OperatorReading, shown_saga
from orchestrator.rpc.page_tokens import decode_token, encode_token

DEFAULT_RATE_PER_S: Final = 50.0
DEFAULT_MAX_SAGAS: Final = 10_000
SAMPLE: Final = 10
"""Plans that a bulk is validated with."""
WATCH_INTERVAL_S: Final = 0.3
_UUID_BYTES: Final = 16


class _ActionRequest(Protocol):
    """What the requests of all actions have in common."""

    @property
    def request_id(self) -> str: ...
    @property
    def saga_id(self) -> str: ...
    @property
    def expected_version(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def validate_only(self) -> bool: ...


class OperatorActing(OperatorReading):
    """Part of the service."""

    async def RetryNow(self, request: pb.RetryNowRequest, context: Context) -> pb.RetryNowResponse:  # noqa: N802
        saga, plan = await self._act(request, OperatorAction.RETRY, context, step=request.step)
        return pb.RetryNowResponse(saga=saga, plan=plan)

    async def RetryCompensation(  # noqa: N802
        self, request: pb.RetryCompensationRequest, context: Context
    ) -> pb.RetryCompensationResponse:
        saga, plan = await self._act(request, OperatorAction.RETRY_COMPENSATION, context, step=request.step)
        return pb.RetryCompensationResponse(saga=saga, plan=plan)

    async def SkipStep(self, request: pb.SkipStepRequest, context: Context) -> pb.SkipStepResponse:  # noqa: N802
        given = request.WhichOneof("result")
        saga, plan = await self._act(
            request,
            OperatorAction.SKIP_STEP,
            context,
            step=request.step,
            response=request.response if given == "response" else None,
            response_json=request.response_json if given == "response_json" else None,
        )
        return pb.SkipStepResponse(saga=saga, plan=plan)

    async def ForceCompensation(  # noqa: N802
        self, request: pb.ForceCompensationRequest, context: Context
    ) -> pb.ForceCompensationResponse:
        saga, plan = await self._act(request, OperatorAction.FORCE_COMPENSATION, context)
        return pb.ForceCompensationResponse(saga=saga, plan=plan)

    async def ResolveSaga(self, request: pb.ResolveSagaRequest, context: Context) -> pb.ResolveSagaResponse:  # noqa: N802
        saga, plan = await self._act(request, OperatorAction.RESOLVE, context)
        return pb.ResolveSagaResponse(saga=saga, plan=plan)

    async def PauseSaga(self, request: pb.PauseSagaRequest, context: Context) -> pb.PauseSagaResponse:  # noqa: N802
        saga, plan = await self._act(request, OperatorAction.PAUSE, context)
        return pb.PauseSagaResponse(saga=saga, plan=plan)

    async def ResumeSaga(self, request: pb.ResumeSagaRequest, context: Context) -> pb.ResumeSagaResponse:  # noqa: N802
        saga, plan = await self._act(request, OperatorAction.RESUME, context)
        return pb.ResumeSagaResponse(saga=saga, plan=plan)

    async def _act(
        self,
        request: _ActionRequest,
        action: OperatorAction,
        context: Context,
        *,
        step: str = "",
        response: bytes | None = None,
        response_json: str | None = None,
    ) -> tuple[saga_pb2.Saga, op.ActionPlan]:
        for name, text in (("request_id", request.request_id), ("reason", request.reason), ("step", step)):
            refuse_nul(name, text)
        saga_id = UUID(request.saga_id)
        asked = Asked(
            saga_id,
            action,
            caller_of(context),
            request.request_id,
            request.reason,
            request.expected_version,
            step or None,
            response,
            response_json,
        )
        if request.validate_only:
            with action_errors(saga_id, READING):
                view, plan = await self._operators.acting.plan(asked)
            return shown_saga(view), plan
        timeout_s = wait_budget_s(context, self._settings.max_wait_s)
        with action_errors(saga_id, ACTING):
            refusal, plan = await self._operators.acting.act(asked, timeout_s)
        if refusal is not None:
            raise action_refused(saga_id, refusal)
        with engine_errors(READING, saga_id):
            return shown_saga(await self._view(saga_id)), plan

    async def StartBulk(self, request: pb.StartBulkRequest, context: Context) -> pb.StartBulkResponse:  # noqa: N802
        for name, text in (("request_id", request.request_id), ("reason", request.reason)):
            refuse_nul(name, text)
        refuse_nul("action.step", request.action.step)
        refuse_nul("action.response_json", request.action.response_json)
        if not request.query.ByteSize():
            raise invalid("query", "must name at least one condition: a bulk on every saga is not meant")
        # What has ended is beyond repair.
        where = replace(selection(request.query, self._operators.catalogue, visibility_of(context)), live=True)
        if request.validate_only:
            return await self._rehearse_bulk(request, where, context)
        bulk = NewBulk(
            self._operators.new_id(),
            AuditAction(int(request.action.action)),
            request.action.step,
            request.action.response_json,
            request.query.SerializeToString(deterministic=True),
            caller_of(context),
            request.request_id,
            request.reason,
            request.rate_per_s or DEFAULT_RATE_PER_S,
            request.max_sagas or DEFAULT_MAX_SAGAS,
            tenant_of(context),
        )
        with engine_errors(ACTING):
            bulk_id, already = await self._operators.store.start_bulk(bulk, where, self._operators.policy)
            self._operators.orders.wake()
            stored = await self._bulk(bulk_id)
        return pb.StartBulkResponse(bulk=bulk_message(stored), already_started=already)

    async def _rehearse_bulk(
        self, request: pb.StartBulkRequest, where: Selection, context: Context
    ) -> pb.StartBulkResponse:
        with engine_errors(READING):
            tally = await self._operators.store.tally(where, self._operators.policy)
            page = await self._operators.store.search(where, self._operators.policy, limit=SAMPLE)
        matching = sum(group.sagas for group in tally.groups)
        members = min(matching, request.max_sagas or DEFAULT_MAX_SAGAS)
        bulk = op.Bulk(
            action=request.action,
            query=request.query,
            caller=caller_of(context),
            reason=request.reason,
            rate_per_s=request.rate_per_s or DEFAULT_RATE_PER_S,
            members=members,
            left_out=matching - members,
        )
        sample = [await self._rehearse_member(request, found, context) for found in page.sagas]
        return pb.StartBulkResponse(bulk=bulk, sample=sample)

    async def _rehearse_member(self, request: pb.StartBulkRequest, found: FoundSaga, context: Context) -> pb.BulkSample:
        stored = found.stored
        asked = Asked(
            stored.saga_id,
            OperatorAction(int(request.action.action)),
            caller_of(context),
            request.request_id,
            request.reason,
            stored.last_seq,
            request.action.step or None,
            response_json=request.action.response_json or None,
        )
        with action_errors(stored.saga_id, READING):
            _, plan = await self._operators.acting.plan(asked)
        return pb.BulkSample(saga=summary_message(found, self._operators.catalogue), plan=plan)

    async def GetBulk(self, request: pb.GetBulkRequest, context: Context) -> pb.GetBulkResponse:  # noqa: N802
        with engine_errors(READING):
            return pb.GetBulkResponse(bulk=bulk_message(await self._bulk(UUID(request.bulk_id))))

    async def WatchBulk(self, request: pb.WatchBulkRequest, context: Context) -> AsyncIterator[pb.WatchBulkResponse]:  # noqa: N802
        bulk_id = UUID(request.bulk_id)
        ends_at = asyncio.get_running_loop().time() + self._settings.max_watch_s
        last: StoredBulk | None = None
        while True:
            with engine_errors("call again"):
                bulk = await self._bulk(bulk_id)
            if bulk != last:
                last = bulk
                yield pb.WatchBulkResponse(bulk=bulk_message(bulk))
            if bulk.state is BulkState.DONE or (bulk.state is BulkState.CANCELLED and not bulk.in_progress):
                return
            if self._operators.orders.has_stopped:
                raise bulk_interrupted(bulk_id)
            if asyncio.get_running_loop().time() >= ends_at:
                raise outcome_pending(bulk_id, "the stream has lasted as long as it may; call again")
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def ListBulks(self, request: pb.ListBulksRequest, context: Context) -> pb.ListBulksResponse:  # noqa: N802
        position = decode_token(request.page_token, b"ListBulks", _UUID_BYTES)
        before = UUID(bytes=position) if position is not None else None
        size = page_size(request.page_size)
        with engine_errors(READING):
            bulks = await self._operators.store.list_bulks(visibility_of(context), limit=size + 1, before=before)
        shown = first_that_fit((bulk_message(bulk) for bulk in bulks[:size]), self._settings.max_message_bytes)
        token = encode_token(b"ListBulks", bulks[len(shown) - 1].bulk_id.bytes) if len(shown) < len(bulks) else ""
        return pb.ListBulksResponse(bulks=shown, next_page_token=token)

    async def ListBulkMembers(  # noqa: N802
        self, request: pb.ListBulkMembersRequest, context: Context
    ) -> pb.ListBulkMembersResponse:
        bulk_id = UUID(request.bulk_id)
        listing = b"ListBulkMembers " + bulk_id.bytes + bytes([request.outcome])
        position = decode_token(request.page_token, listing, _UUID_BYTES)
        after = UUID(bytes=position) if position is not None else None
        outcome = AuditOutcome(int(request.outcome)) if request.outcome else None
        size = page_size(request.page_size)
        with engine_errors(READING):
            await self._bulk(bulk_id)
            members = await self._operators.store.list_members(bulk_id, outcome=outcome, limit=size + 1, after=after)
        shown = [member_message(member) for member in members[:size]]
        token = encode_token(listing, members[size - 1].saga_id.bytes) if len(members) > size else ""
        return pb.ListBulkMembersResponse(members=shown, next_page_token=token)

    async def CancelBulk(self, request: pb.CancelBulkRequest, context: Context) -> pb.CancelBulkResponse:  # noqa: N802
        refuse_nul("request_id", request.request_id)
        refuse_nul("reason", request.reason)
        bulk_id = UUID(request.bulk_id)
        record = AuditRecord(
            AuditAction.CANCEL_BULK,
            caller_of(context),
            request.request_id,
            request.reason,
            bulk_id=bulk_id,
            tenant=tenant_of(context),
        )
        with engine_errors(ACTING):
            bulk = await self._bulk(bulk_id)
            repeated = await self._is_repeated(record)
            if not repeated and not await self._operators.store.cancel_bulk(bulk_id, record):
                raise bulk_ended(bulk_id)
            bulk = await self._bulk(bulk_id)
        return pb.CancelBulkResponse(bulk=bulk_message(bulk))

    async def _is_repeated(self, record: AuditRecord) -> bool:
        """Whether this was asked before, under the same request id. Raises ``RequestReused`` if something else was."""
        before = await self._operators.store.find_audit(record.caller, record.request_id)
        if before is None:
            return False
        was = before.record
        if (was.action, was.bulk_id, was.target) != (record.action, record.bulk_id, record.target):
            raise RequestReused("the request id was used for something else; use a new one")
        return True

    async def _bulk(self, bulk_id: UUID) -> StoredBulk:
        bulk = await self._operators.store.get_bulk(bulk_id)
        if bulk is not None and bulk.state is BulkState.CANCELLED and bulk.in_progress:
            # No node looks after it any more: whoever asks for it has what was begun come to its end.
            await self._operators.bulk_work.work_off(bulk)
            bulk = await self._operators.store.get_bulk(bulk_id)
        if bulk is None:
            raise bulk_not_found(bulk_id)
        return bulk
