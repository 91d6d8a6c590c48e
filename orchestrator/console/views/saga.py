"""One saga: where it stands, why, its graph, its attempts, its journal, its messages, what operators asked for."""

import json
import re
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from saga.v1 import event_pb2, saga_pb2
from saga.v1 import operator_pb2 as op

from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment, moment_at, seconds, span
from orchestrator.console.views.audit import AuditRow, audit_row
from orchestrator.console.views.graph import Drawing, lay_out
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
from orchestrator.console.views.timeline import Axis, Fold, Stretch
from orchestrator.console.words import (
    ATTEMPT_TONES,
    ATTENTION,
    ATTENTION_MEANING,
    PHASES,
    SAGA_STATES,
    STEP_KINDS,
    STEP_STATES,
    UNKNOWN,
    Word,
    action_name,
    event_name,
    word,
)

MAX_JSON: Final = 40_000
"""Characters of a payload on the page."""
MAX_EVENTS: Final = 300
"""Events of the journal on the page, the newest."""
ENDED: Final = frozenset({saga_pb2.SAGA_STATE_COMPLETED, saga_pb2.SAGA_STATE_COMPENSATED, saga_pb2.SAGA_STATE_RESOLVED})
_WORD_STARTS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


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
class Bar:
    """An attempt on the time line; left and width in percent."""

    left: float
    width: float
    outcome: Word
    label: str
    is_undo: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """A step's attempts on the time line."""

    step: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt in the list."""

    step: str
    phase: Word
    attempt: int
    outcome: Word
    failure: FailureView | None
    end: Moment | None
    duration: str
    next_attempt: Moment | None
    seq: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Attempts and compensations."""

    lanes: tuple[Lane, ...]
    folds: tuple[Fold, ...]
    start: Moment | None
    end: Moment | None
    length: str
    deadline: float | None
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True)
class EventRow:
    """A journal entry."""

    seq: int
    at: Moment | None
    epoch: int
    name: str
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PayloadView:
    """A message of the saga."""

    title: str
    type: str
    json: str
    note: str


@dataclass(frozen=True, slots=True)
class OptionView:
    """An action as it is offered. ``address`` is where it is planned and confirmed."""

    name: str
    step: str
    plan: PlanView
    address: str
    key: str


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
        timeline=_timeline(details, now_s),
        events=tuple(_event_row(event, now_s) for event in details.events[: -MAX_EVENTS - 1 : -1]),
        all_events=len(details.events),
        payloads=_payloads(details),
        audit=tuple(audit_row(entry, now_s) for entry in details.audit),
    )


def saga_head(saga: saga_pb2.Saga, now_s: float, attention: int = 0) -> SagaHead:
    """The top of the page."""
    ended = saga.state in ENDED
    until_s = seconds(saga.end_time) or now_s
    facts = (
        ("caller", shown(saga.caller, NAME)),
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


def _timeline(details: op.SagaDetails, now_s: float) -> Timeline:
    saga = details.saga
    timed = [(each, _stretch(each)) for each in details.attempts if seconds(each.end_time)]
    stretches = [stretch for _, stretch in timed]
    start_s = seconds(saga.create_time) or min((one.start_s for one in stretches), default=now_s)
    end_s = seconds(saga.end_time) or max((*(one.end_s for one in stretches), seconds(saga.update_time), start_s))
    axis = Axis(stretches, start_s, end_s)
    bars: dict[str, list[Bar]] = {shown(step.name, NAME): [] for step in saga.steps}
    for each, stretch in timed:
        left, width = axis.bar(stretch)
        outcome = _outcome(each.outcome)
        label = f"{word(PHASES, each.phase).label} {each.attempt or ''}: {outcome.label}, {_length(each)}"
        is_undo = each.phase == saga_pb2.PHASE_COMPENSATION
        bars.setdefault(shown(each.step, NAME), []).append(Bar(left, width, outcome, label, is_undo))
    deadline_s = seconds(saga.deadline_time)
    return Timeline(
        lanes=tuple(Lane(step, tuple(several)) for step, several in bars.items()),
        folds=axis.folds,
        start=moment_at(start_s, now_s),
        end=moment_at(end_s, now_s),
        length=span(end_s - start_s),
        deadline=axis.percent(deadline_s) if start_s < deadline_s < end_s else None,
        attempts=tuple(_attempt_row(each, now_s) for each in reversed(details.attempts)),
    )


def _stretch(attempt: op.Attempt) -> Stretch:
    end_s = seconds(attempt.end_time)
    return Stretch(end_s - max(seconds(attempt.duration), 0), end_s)


def _outcome(name: str) -> Word:
    return ATTEMPT_TONES.get(name) or Word(shown(name, NAME), shown(name, NAME), UNKNOWN.sign, UNKNOWN.tone)


def _length(attempt: op.Attempt) -> str:
    return span(seconds(attempt.duration)) if attempt.HasField("duration") else "time unknown"


def _attempt_row(attempt: op.Attempt, now_s: float) -> AttemptRow:
    return AttemptRow(
        step=shown(attempt.step, NAME),
        phase=word(PHASES, attempt.phase),
        attempt=attempt.attempt,
        outcome=_outcome(attempt.outcome),
        failure=failure_view(attempt.failure),
        end=moment(attempt.end_time, now_s),
        duration=_length(attempt),
        next_attempt=moment(attempt.next_attempt_time, now_s),
        seq=attempt.seq,
    )


def _event_row(event: event_pb2.SagaEvent, now_s: float) -> EventRow:
    kind = event.WhichOneof("attributes")
    details: list[tuple[str, str]] = []
    if kind is not None:
        values = json_format.MessageToDict(getattr(event, kind))
        details = [(_words(name), _value(value)) for name, value in values.items()]
    return EventRow(event.seq, moment(event.event_time, now_s), event.epoch, event_name(event.type), tuple(details))


def _words(name: str) -> str:
    return _WORD_STARTS.sub(" ", name).lower()


def _value(value: object) -> str:
    if isinstance(value, dict):
        return shown(", ".join(f"{_words(str(name))} {part}" for name, part in value.items()), 600)
    return shown(str(value), 600)


def _payloads(details: op.SagaDetails) -> tuple[PayloadView, ...]:
    found = [("input", details.input)] if details.HasField("input") else []
    for step in details.step_payloads:
        for field, title in (
            ("request", "request"),
            ("response", "response"),
            ("compensation_request", "undo request"),
        ):
            if step.HasField(field):  # type: ignore[arg-type]  # the stub wants literals
                found.append((f"{shown(step.step, NAME)}: {title}", getattr(step, field)))
    if details.HasField("result"):
        found.append(("result", details.result))
    return tuple(_payload(title, payload) for title, payload in found)


def _payload(title: str, payload: op.Payload) -> PayloadView:
    notes = [shown(payload.problem, 600)] if payload.problem else []
    if payload.truncated:
        notes.append("cut off for its size: this is no complete JSON")
    text = shown(_laid_out(payload.json), MAX_JSON, lines=True)
    return PayloadView(title, shown(payload.type, 200), text, "; ".join(notes))


def _laid_out(text: str) -> str:
    """JSON with a line for each field; anything else as it is."""
    if len(text) > MAX_JSON:
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
