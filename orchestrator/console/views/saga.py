"""One saga: where it stands, why, its graph, its attempts, its journal, its messages, what operators asked for."""

from dataclasses import dataclass
from typing import Final

from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.console.roles import ACTIONS
from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment, seconds, span
from orchestrator.console.views.attempts import Timeline, timeline
from orchestrator.console.views.audit import AuditRow, audit_row
from orchestrator.console.views.graph import Drawing, lay_out
from orchestrator.console.views.journal import EventRow, PayloadView, event_row, payload_views
from orchestrator.console.views.rows import (
    NAME,
    FailureView,
    PlanView,
    action_address,
    definition_name,
    failure_view,
    method_name,
    plan_view,
    texts,
)
from orchestrator.console.words import (
    ATTENTION,
    ATTENTION_MEANING,
    SAGA_STATES,
    STEP_KINDS,
    STEP_STATES,
    Word,
    action_name,
    word,
)

MAX_EVENTS: Final = 300
"""Events of the journal on the page, the newest."""
ENDED: Final = frozenset({saga_pb2.SAGA_STATE_COMPLETED, saga_pb2.SAGA_STATE_COMPENSATED, saga_pb2.SAGA_STATE_RESOLVED})


@dataclass(frozen=True, slots=True)
class SagaHead:
    """What stands at the top of each of its pages."""

    saga_id: str
    definition: str
    state: Word
    attention: Word | None
    attention_meaning: str
    version: int
    ended: bool
    paused: Moment | None
    created: Moment | None
    updated: Moment | None
    end: Moment | None
    deadline: Moment | None
    is_overdue: bool
    lasted: str
    facts: tuple[tuple[str, str], ...]
    failed_step: str
    failure: FailureView | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step and what became of it."""

    name: str
    kind: Word
    state: Word
    method: str
    compensation: str
    attempts: int
    compensation_attempts: int
    next_attempt: Moment | None
    failure: FailureView | None
    blocked: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionView:
    """An action as it is offered. ``address`` is where it is planned and confirmed."""

    name: str
    step: str
    plan: PlanView
    address: str
    key: str
    method: str


@dataclass(frozen=True, slots=True)
class ExplanationView:
    """Why the saga stands where it stands."""

    summary: str
    causes: tuple[str, ...]
    next: tuple[str, ...]
    next_time: Moment | None
    allowed: tuple[OptionView, ...]
    refused: tuple[OptionView, ...]
    version: int


@dataclass(frozen=True, slots=True)
class SagaPage:
    """Everything about one saga."""

    head: SagaHead
    steps: tuple[StepRow, ...]
    across: Drawing
    down: Drawing
    timeline: Timeline
    events: tuple[EventRow, ...]
    all_events: int
    payloads: tuple[PayloadView, ...]
    audit: tuple[AuditRow, ...]

    def step(self, name: str) -> StepRow:
        """A step of the drawing."""
        return next(step for step in self.steps if step.name == name)


def saga_page(details: op.SagaDetails, now_s: float) -> SagaPage:
    """The page without the explanation."""
    saga = details.saga
    steps = tuple(_step_row(step, now_s) for step in saga.steps)
    graph = {step.name: step.after for step in steps}
    return SagaPage(
        head=saga_head(saga, now_s, details.attention),
        steps=steps,
        across=lay_out(graph),
        down=lay_out(graph, downwards=True),
        timeline=timeline(details, now_s),
        events=tuple(event_row(event, now_s) for event in details.events[: -MAX_EVENTS - 1 : -1]),
        all_events=len(details.events),
        payloads=payload_views(details),
        audit=tuple(audit_row(entry, now_s) for entry in details.audit),
    )


def saga_head(saga: saga_pb2.Saga, now_s: float, attention: int = 0) -> SagaHead:
    """The top of the page."""
    ended = saga.state in ENDED
    until_s = seconds(saga.end_time) or now_s
    facts = (
        ("caller", shown(saga.caller, NAME)),
        *([("tenant", shown(saga.tenant, NAME))] if saga.tenant else []),
        ("request id", shown(saga.request_id, 128)),
        ("concurrency key", shown(saga.concurrency_key, NAME)),
        ("owner", shown(saga.owner_node_id, NAME)),
        ("epoch", str(saga.epoch)),
        ("digest", shown(saga.digest[:12])),
    )
    return SagaHead(
        saga_id=shown(saga.saga_id, NAME),
        definition=definition_name(saga.definition, saga.version),
        state=word(SAGA_STATES, saga.state),
        attention=ATTENTION.get(op.AttentionKind.ValueType(attention)),
        attention_meaning=ATTENTION_MEANING.get(op.AttentionKind.ValueType(attention), ""),
        version=saga.last_seq,
        ended=ended,
        paused=moment(saga.pause_time, now_s),
        created=moment(saga.create_time, now_s),
        updated=moment(saga.update_time, now_s),
        end=moment(saga.end_time, now_s),
        deadline=moment(saga.deadline_time, now_s),
        is_overdue=not ended and 0 < seconds(saga.deadline_time) < now_s,
        lasted=span(until_s - seconds(saga.create_time)) if seconds(saga.create_time) else "",
        facts=tuple((name, value) for name, value in facts if value),
        failed_step=shown(saga.failed_step, NAME),
        failure=failure_view(saga.failure),
    )


def explanation_view(explanation: op.Explanation, saga_id: str, now_s: float) -> ExplanationView:
    """The explanation, its actions apart by whether they are allowed."""
    options = [
        OptionView(
            name=action_name(option.action),
            step=shown(option.step, NAME),
            plan=plan_view(option.plan),
            address=action_address(saga_id, option.action, option.step),
            key=f"{option.action}-{number}",
            method=ACTIONS.get(option.action, ""),
        )
        for number, option in enumerate(explanation.options)
    ]
    return ExplanationView(
        summary=shown(explanation.summary, 1000),
        causes=texts(explanation.causes[:20]),
        next=texts(explanation.next[:20]),
        next_time=moment(explanation.next_time, now_s),
        allowed=tuple(option for option in options if option.plan.allowed),
        refused=tuple(option for option in options if not option.plan.allowed),
        version=explanation.version,
    )


def _step_row(step: saga_pb2.Step, now_s: float) -> StepRow:
    return StepRow(
        name=shown(step.name, NAME),
        kind=word(STEP_KINDS, step.kind),
        state=word(STEP_STATES, step.state),
        method=method_name(step.method),
        compensation=method_name(step.compensation_method),
        attempts=step.attempts,
        compensation_attempts=step.compensation_attempts,
        next_attempt=moment(step.next_attempt_time, now_s),
        failure=failure_view(step.failure),
        blocked=shown(step.blocked_reason, NAME),
        after=texts(step.after, NAME),
    )
