"""Lines of lists: sagas, causes of attention, plans of actions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.console.queries import address, group_address
from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment
from orchestrator.console.words import (
    ATTENTION,
    ATTENTION_MEANING,
    PHASES,
    SAGA_STATES,
    Word,
    action_name,
    status_code,
    word,
)

NAME: Final = 80
"""Characters of a name or an id."""


@dataclass(frozen=True, slots=True)
class FailureView:
    """Why something did not go through. ``code`` is gRPC's, or empty."""

    code: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SagaRow:
    """One saga of a list."""

    saga_id: str
    short_id: str
    definition: str
    state: Word
    attention: Word | None
    step: str
    participant: str
    reason: str
    created: Moment | None
    updated: Moment | None
    request_id: str
    caller: str
    paused: bool


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Sagas that need attention for one cause. ``address`` selects them in a search."""

    kind: Word
    meaning: str
    definition: str
    step: str
    participant: str
    reason: str
    sagas: int
    oldest: Moment | None
    sample_saga_id: str
    address: str


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call that an action leads to."""

    step: str
    phase: Word
    method: str
    participant: str
    attempt: int
    follows: bool


@dataclass(frozen=True, slots=True)
class PlanView:
    """What an action does to one saga, or why it cannot."""

    allowed: bool
    refusal: FailureView | None
    summary: str
    state_after: Word | None
    expected_end: Word | None
    calls: tuple[CallRow, ...]
    warnings: tuple[str, ...]


def failure_view(failure: saga_pb2.Failure) -> FailureView | None:
    """None for one that says nothing."""
    if not (failure.code or failure.reason or failure.message):
        return None
    return FailureView(status_code(failure.code), shown(failure.reason, NAME), shown(failure.message, 600))


def saga_row(summary: op.SagaSummary, now_s: float) -> SagaRow:
    """A line of the search."""
    saga = summary.saga
    return SagaRow(
        saga_id=saga.saga_id,
        short_id=short_id(saga.saga_id),
        definition=definition_name(saga.definition, saga.version),
        state=word(SAGA_STATES, saga.state),
        attention=ATTENTION.get(summary.attention),
        step=shown(summary.step or saga.waiting_step, NAME),
        participant=shown(summary.participant, NAME),
        reason=shown(summary.reason or saga.blocked_reason or saga.waiting_reason, NAME),
        created=moment(saga.create_time, now_s),
        updated=moment(saga.update_time, now_s),
        request_id=shown(saga.request_id, NAME),
        caller=shown(saga.caller, NAME),
        paused=saga.HasField("pause_time"),
    )


def group_row(group: op.AttentionGroup, now_s: float) -> GroupRow:
    """A cause of attention."""
    return GroupRow(
        kind=word(ATTENTION, group.kind),
        meaning=ATTENTION_MEANING.get(group.kind, ""),
        definition=definition_name(group.definition, group.version),
        step=shown(group.step, NAME),
        participant=shown(group.participant, NAME),
        reason=shown(group.reason, NAME),
        sagas=group.sagas,
        oldest=moment(group.oldest_create_time, now_s),
        sample_saga_id=group.sample_saga_id,
        address=group_address(group),
    )


def plan_view(plan: op.ActionPlan) -> PlanView:
    """A plan."""
    return PlanView(
        allowed=plan.allowed,
        refusal=failure_view(plan.refusal),
        summary=shown(plan.summary, 600),
        state_after=SAGA_STATES.get(plan.state_after),
        expected_end=SAGA_STATES.get(plan.expected_end),
        calls=tuple(_call_row(call) for call in plan.calls),
        warnings=tuple(shown(warning, 600) for warning in plan.warnings),
    )


def _call_row(call: op.PlannedCall) -> CallRow:
    return CallRow(
        step=shown(call.step, NAME),
        phase=word(PHASES, call.phase),
        method=method_name(call.method),
        participant=shown(call.participant or call.method.rpartition("/")[0], NAME),
        attempt=call.attempt,
        follows=call.follows,
    )


def definition_name(name: str, version: int) -> str:
    """Such as "place-order v2"."""
    return f"{shown(name, NAME)} v{version}" if version else shown(name, NAME)


def method_name(method: str) -> str:
    """The method without its package: "PaymentService/Charge"."""
    service, slash, name = method.rpartition("/")
    return shown(f"{service.rpartition('.')[2]}{slash}{name}", NAME)


def short_id(saga_id: str) -> str:
    """The end of a UUIDv7, which differs where its beginning is the time."""
    return f"…{saga_id[-12:]}" if len(saga_id) == 36 else shown(saga_id, 20)


def action_address(saga_id: str, action: int, step: str = "") -> str:
    """Where an action on a saga is planned and confirmed."""
    pairs = [("action", action_name(action).upper().replace(" ", "_")), ("step", step)]
    return f"/sagas/{saga_id}/act?{address(pairs)}"


def texts(values: Iterable[str], limit: int = 600) -> tuple[str, ...]:
    """Each made harmless."""
    return tuple(shown(value, limit) for value in values)
