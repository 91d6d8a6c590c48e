"""Bulk repairs: how far they are, and what became of their members."""

from dataclasses import dataclass

from saga.v1 import operator_pb2 as op

from orchestrator.console.queries import write_search
from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment, span
from orchestrator.console.views.rows import FailureView, failure_view, short_id
from orchestrator.console.words import AUDIT_OUTCOMES, BULK_STATES, Word, action_name, word


@dataclass(frozen=True, slots=True)
class BulkView:
    """One action on many sagas. ``percent`` is of the members that are decided."""

    bulk_id: str
    short_id: str
    state: Word
    is_running: bool
    action: str
    step: str
    query: tuple[str, ...]
    query_address: str
    caller: str
    reason: str
    rate_per_s: float
    members: int
    granted: int
    refused: int
    in_progress: int
    waiting: int
    left_out: int
    percent: int
    remaining: str
    created: Moment | None
    end: Moment | None


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A saga of a bulk."""

    saga_id: str
    short_id: str
    outcome: Word
    refusal: FailureView | None
    decided: Moment | None


def bulk_view(bulk: op.Bulk, now_s: float) -> BulkView:
    """How far it is."""
    decided = bulk.granted + bulk.refused
    waiting = max(bulk.members - decided - bulk.in_progress, 0)
    search = write_search(bulk.query)
    is_running = bulk.state == op.BULK_STATE_RUNNING
    return BulkView(
        bulk_id=shown(bulk.bulk_id, 36),
        short_id=short_id(bulk.bulk_id),
        state=word(BULK_STATES, bulk.state),
        is_running=is_running,
        action=action_name(bulk.action.action),
        step=shown(bulk.action.step, 80),
        query=tuple(shown(part) for part in search.words),
        query_address=search.address,
        caller=shown(bulk.caller, 80),
        reason=shown(bulk.reason, 1000),
        rate_per_s=bulk.rate_per_s,
        members=bulk.members,
        granted=bulk.granted,
        refused=bulk.refused,
        in_progress=bulk.in_progress,
        waiting=waiting,
        left_out=bulk.left_out,
        percent=100 * decided // bulk.members if bulk.members else 100,
        remaining=f"about {span(waiting / bulk.rate_per_s)}" if is_running and bulk.rate_per_s > 0 and waiting else "",
        created=moment(bulk.create_time, now_s),
        end=moment(bulk.end_time, now_s),
    )


def member_row(member: op.BulkMember, now_s: float) -> MemberRow:
    """What became of it."""
    return MemberRow(
        saga_id=shown(member.saga_id, 36),
        short_id=short_id(member.saga_id),
        outcome=word(AUDIT_OUTCOMES, member.outcome),
        refusal=failure_view(member.refusal),
        decided=moment(member.decide_time, now_s),
    )
