"""What operators ask for and see, between messages and values."""

from collections.abc import Sequence
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from saga.v1 import operator_pb2 as op
from saga.v1 import operator_service_pb2 as pb
from saga.v1 import saga_pb2

from contracts.sensitivity import REDACTED
from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import Visibility
from orchestrator.operations.acting import answer_of
from orchestrator.operations.messages import duration, failure_message, timestamp
from orchestrator.operations.surroundings import Catalogue
from orchestrator.operations.values import (
    AttentionKind,
    AuditAction,
    AuditEntry,
    AuditFilter,
    AuditOutcome,
    Bucket,
    BulkMember,
    FoundSaga,
    SagaGroup,
    Selection,
    StoredBulk,
)
from orchestrator.rpc.error_mapping import invalid, refuse_nul
from orchestrator.rpc.identity import Identity
from orchestrator.rpc.listing import time_us
from orchestrator.rpc.messages import saga_message

_ACTIONS = frozenset(action.value for action in AuditAction)
_METHODS = tuple(pb.DESCRIPTOR.services_by_name["SagaOperatorService"].methods_by_name)


def duration_s(given: Duration) -> float:
    """Seconds, not below 0."""
    return max(0.0, given.seconds + given.nanos / 1e9)


def selection(query: op.SagaQuery, catalogue: Catalogue, visibility: Visibility, path: str = "query") -> Selection:
    """The query as the store takes it, of what the caller may see.

    Raises INVALID_ARGUMENT for what the contract's rules cannot say.
    """
    for name in ("definition", "step", "participant", "reason", "caller", "concurrency_key", "request_id", "tenant"):
        refuse_nul(f"{path}.{name}", getattr(query, name))
    states = _numbers(query.states, SagaStatus, f"{path}.states")
    kinds = _numbers(query.attention, AttentionKind, f"{path}.attention")
    return Selection(
        definition=query.definition or None,
        version=query.version or None,
        states=tuple(SagaStatus(number) for number in states),
        attention=tuple(AttentionKind(number) for number in kinds if number),
        step=query.step or None,
        steps_of_participant=catalogue.steps_of(query.participant) if query.participant else None,
        reason=query.reason or None,
        min_age_s=duration_s(query.min_age) if query.HasField("min_age") else None,
        caller=query.caller or None,
        created_from_us=time_us(query, "create_time_from", f"{path}.create_time_from"),
        created_to_us=time_us(query, "create_time_to", f"{path}.create_time_to"),
        concurrency_key=query.concurrency_key or None,
        request_id=query.request_id or None,
        paused=query.paused if query.HasField("paused") else None,
        live=query.live,
        saga_ids=tuple(UUID(each) for each in query.saga_ids),
        visibility=visibility.within(query.tenant) if query.HasField("tenant") else visibility,
    )


def _numbers(given: Sequence[int], kind: type[SagaStatus] | type[AttentionKind], path: str) -> list[int]:
    known = {each.value for each in kind}
    for index, number in enumerate(given):
        if number not in known:
            raise invalid(f"{path}[{index}]", f"{number} is not known to this node")
    return list(given)


def summary_message(found: FoundSaga, catalogue: Catalogue) -> op.SagaSummary:
    """One line of a list."""
    stored, row = found.stored, found.stored.row
    step = row.waiting_step or row.failed_step or ""
    return op.SagaSummary(
        saga=saga_message(stored),
        attention=op.AttentionKind.ValueType(found.attention.value),
        step=step,
        participant=catalogue.service_of(stored.definition, stored.version, step),
        reason=row.waiting_reason or row.failure_reason or "",
    )


def state_counts(groups: Sequence[SagaGroup]) -> list[op.StateCount]:
    """How many are in each state."""
    counts: dict[SagaStatus, int] = {}
    for group in groups:
        counts[group.status] = counts.get(group.status, 0) + group.sagas
    return [
        op.StateCount(state=saga_pb2.SagaState.ValueType(status.value), sagas=count)
        for status, count in sorted(counts.items())
    ]


def attention_groups(groups: Sequence[SagaGroup], catalogue: Catalogue) -> list[op.AttentionGroup]:
    """What needs attention, by cause; most first. Groups that differ in state alone are one."""
    causes: dict[tuple[AttentionKind, str, int, str, str], list[SagaGroup]] = {}
    for group in groups:
        if group.attention is not AttentionKind.NONE:
            cause = (group.attention, group.definition, group.version, group.step, group.reason)
            causes.setdefault(cause, []).append(group)
    found = [
        op.AttentionGroup(
            kind=op.AttentionKind.ValueType(kind.value),
            definition=definition,
            version=version,
            step=step,
            participant=catalogue.service_of(definition, version, step),
            reason=reason,
            sagas=sum(group.sagas for group in several),
            oldest_create_time=timestamp(min(group.oldest_us for group in several)),
            sample_saga_id=str(several[0].sample),
        )
        for (kind, definition, version, step, reason), several in causes.items()
    ]
    return sorted(found, key=lambda group: -group.sagas)


def bucket_message(bucket: Bucket) -> op.OverviewBucket:
    """What happened in one span of time."""
    return op.OverviewBucket(
        start_time=timestamp(bucket.start_us),
        started=bucket.started,
        completed=bucket.completed,
        compensated=bucket.compensated,
        resolved=bucket.resolved,
        duration_p50=None if bucket.p50_us is None else duration(bucket.p50_us),
        duration_p99=None if bucket.p99_us is None else duration(bucket.p99_us),
    )


def audit_filter(given: pb.AuditFilter, visibility: Visibility) -> AuditFilter:
    """The filter as the store takes it, of what the caller may see. Raises INVALID_ARGUMENT."""
    refuse_nul("filter.caller", given.caller)
    return AuditFilter(
        saga_id=_uuid(given.saga_id, "filter.saga_id"),
        caller=given.caller or None,
        action=AuditAction(int(given.action)) if int(given.action) in _ACTIONS else None,
        bulk_id=_uuid(given.bulk_id, "filter.bulk_id"),
        from_us=time_us(given, "time_from", "filter.time_from"),
        to_us=time_us(given, "time_to", "filter.time_to"),
        bulk_members=given.bulk_members or bool(given.bulk_id),
        visibility=visibility,
    )


def _uuid(text: str, path: str) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        raise invalid(path, "must be a UUID") from None


def audit_message(entry: AuditEntry) -> op.AuditEntry:
    """An entry of the log, with what the journal decided."""
    record, outcome, refusal = entry.record, entry.outcome, entry.record.refusal
    message = op.AuditEntry(
        audit_id=entry.audit_id,
        audit_time=timestamp(entry.at_us),
        caller=record.caller,
        action=op.OperatorAction.ValueType(record.action.value),
        reason=record.reason,
        saga_id=str(record.saga_id or ""),
        step=record.step or "",
        target=record.target or "",
        bulk_id=str(record.bulk_id or ""),
        expected_version=record.expected_seq or 0,
        request_id=record.request_id,
        members=record.members or 0,
        tenant=record.tenant,
    )
    if entry.answer is not None:
        refusal = answer_of(entry.answer)
        outcome = AuditOutcome.GRANTED if refusal is None else AuditOutcome.REFUSED
        message.decided_seq = entry.answer.seq
    message.outcome = op.AuditOutcome.ValueType(outcome.value)
    _set_refusal(message, refusal)
    return message


def bulk_message(bulk: StoredBulk) -> op.Bulk:
    """A bulk and how far it is."""
    return op.Bulk(
        bulk_id=str(bulk.bulk_id),
        state=op.BulkState.ValueType(bulk.state.value),
        action=op.BulkAction(
            action=op.OperatorAction.ValueType(bulk.action.value),
            step=bulk.step,
            # A payload whose contract is not known here, so nobody can tell what of it may be shown.
            response_json=REDACTED if bulk.response_json else "",
        ),
        query=op.SagaQuery.FromString(bulk.query),
        caller=bulk.caller,
        reason=bulk.reason,
        rate_per_s=bulk.rate_per_s,
        members=bulk.members,
        granted=bulk.granted,
        refused=bulk.refused,
        in_progress=bulk.in_progress,
        create_time=timestamp(bulk.created_us),
        end_time=None if bulk.ended_us is None else timestamp(bulk.ended_us),
        left_out=bulk.left_out,
    )


def member_message(member: BulkMember) -> op.BulkMember:
    """One saga of a bulk."""
    message = op.BulkMember(
        saga_id=str(member.saga_id),
        outcome=op.AuditOutcome.ValueType(member.outcome.value),
        decide_time=None if member.decided_us is None else timestamp(member.decided_us),
    )
    _set_refusal(message, member.refusal)
    return message


def _set_refusal(message: op.AuditEntry | op.BulkMember, refusal: Failure | None) -> None:
    if refusal is not None:
        message.refusal.CopyFrom(failure_message(refusal))


def identity_message(identity: Identity) -> pb.GetIdentityResponse:
    """Who calls, and what is worth offering."""
    tenants, offered = identity.visibility.tenants, identity.operator_methods
    message = pb.GetIdentityResponse(
        name=identity.name,
        roles=identity.roles,
        tenants=tenants or (),
        all_tenants=tenants is None,
        methods=[name for name in _METHODS if offered is None or name in offered],
    )
    if identity.expires_at_s is not None:
        message.expire_time.CopyFrom(timestamp(int(identity.expires_at_s * 1_000_000)))
    return message
