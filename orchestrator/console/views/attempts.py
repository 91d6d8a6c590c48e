"""The attempts of a saga, as a list and on a time line."""

from dataclasses import dataclass

from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.console.text import shown
from orchestrator.console.times import Moment, moment, moment_at, seconds, span
from orchestrator.console.views.axis import Axis, Fold, Stretch
from orchestrator.console.views.rows import NAME, FailureView, failure_view
from orchestrator.console.words import ATTEMPT_TONES, PHASES, UNKNOWN, Word, word


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


def timeline(details: op.SagaDetails, now_s: float) -> Timeline:
    """From the saga's start to its end, or to now."""
    saga = details.saga
    timed = [(each, _stretch(each)) for each in details.attempts if seconds(each.end_time)]
    stretches = [stretch for _, stretch in timed]
    start_s = seconds(saga.create_time) or min((one.start_s for one in stretches), default=now_s)
    end_s = seconds(saga.end_time) or max((now_s, *(one.end_s for one in stretches), start_s))
    axis = Axis(stretches, start_s, end_s)
    bars: dict[str, list[Bar]] = {shown(step.name, NAME): [] for step in saga.steps}
    for each, stretch in timed:
        left, width = axis.bar(stretch)
        outcome = _outcome(each.outcome)
        label = f"{word(PHASES, each.phase).label} {each.attempt or ''}: {outcome.label} {_length(each)}"
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
    return span(seconds(attempt.duration)) if attempt.HasField("duration") else ""


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
