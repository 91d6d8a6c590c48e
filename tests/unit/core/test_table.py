"""The transition table, swept: every saga status with every input, what is impossible and what is too late."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from orchestrator.core.events import Failure, Phase
from orchestrator.core.inputs import (
    AttemptCancelled,
    AttemptEnded,
    Begun,
    BuildFailed,
    CancelRequested,
    DeadlineReached,
    Input,
    OperatorAction,
    OperatorRequested,
    Resumed,
    StepSettled,
    StepUnblocked,
    TimerFired,
)
from orchestrator.core.machine import TABLE, ImpossibleInputError, advance
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaState, SagaStatus
from tests.unit.core.build import POLICY, START_US, Node, P, Play, R, saga

S = SagaStatus
SPEC = saga(Node("a"), Node("b", after="a"))
LATE_US = START_US + 10**12
FAILURE = Failure(14, "UNAVAILABLE", "")

SAMPLES: dict[type, list[Input]] = {
    Begun: [Begun(1, LATE_US)],
    Resumed: [Resumed()],
    AttemptEnded: [
        AttemptEnded(step, phase, attempt, outcome, b"", FAILURE)
        for step, phase, attempt, outcome in product((0, 1), Phase, (0, 1, 2, 3), Outcome)
    ],
    AttemptCancelled: [AttemptCancelled(step, phase) for step, phase in product((0, 1), Phase)],
    StepSettled: [
        StepSettled(step, done, undone, b"")
        for step, done, undone in product((0, 1), (False, True), (False, True))
        if not (done and undone)
    ],
    BuildFailed: [BuildFailed(step, phase, FAILURE) for step, phase in product((0, 1), Phase)],
    TimerFired: [TimerFired(0), TimerFired(1)],
    StepUnblocked: [StepUnblocked(0), StepUnblocked(1)],
    DeadlineReached: [DeadlineReached()],
    CancelRequested: [CancelRequested(1)],
    OperatorRequested: [
        OperatorRequested(1, action, expected_seq, step, response)
        for action, expected_seq, step, response in product(OperatorAction, (0, 10**6), (None, 0, 1), (None, b""))
    ],
}

POSSIBLE = """
                  PENDING  RUNNING  COMPENSATING  STUCK    COMPLETED  COMPENSATED  RESOLVED
Begun             begins   -        -             -        -          -            -
Resumed           -        moves    moves         ignored  -          -            -
AttemptEnded      -        moves    moves         ignored  ignored    ignored      ignored
AttemptCancelled  -        moves    moves         ignored  ignored    ignored      ignored
StepSettled       -        moves    moves         ignored  ignored    ignored      ignored
BuildFailed       -        moves    moves         ignored  ignored    ignored      ignored
TimerFired        -        moves    moves         ignored  ignored    ignored      ignored
StepUnblocked     -        moves    moves         ignored  ignored    ignored      ignored
DeadlineReached   -        moves    ignored       ignored  ignored    ignored      ignored
CancelRequested   -        moves    answers       refuses  ignored    ignored      ignored
OperatorRequested -        moves    moves         moves    ignored    ignored      ignored
"""
HEADER, *ROWS = [line.split() for line in POSSIBLE.strip().splitlines()]
CELLS = {
    (SagaStatus[status], given): word
    for name, *words in ROWS
    for given in SAMPLES
    if given.__name__ == name
    for status, word in zip(HEADER, words, strict=True)
}


def a_saga(status: SagaStatus) -> SagaState:
    """A saga in ``status``, with nothing under way."""
    play = Play(SPEC)
    if status is S.PENDING:
        return replace(play.state, status=status, seq=0)
    if status is S.COMPLETED:
        play.ends("a")
        play.ends("b")
    elif status is S.STUCK:
        play.ends("a", Outcome.KEY_REUSED)
    elif status in {S.COMPENSATING, S.COMPENSATED}:
        play.ends("a")
        play.ends("b", Outcome.REJECTED)
        if status is S.COMPENSATED:
            play.ends("a")
    if status is S.RESOLVED:
        return replace(play.state, status=status)
    assert play.state.status is status
    return play.state


def test_the_sweep_names_every_pair() -> None:
    assert set(SAMPLES) == set(get_args(Input))
    assert set(CELLS) == set(product(SagaStatus, SAMPLES))
    assert set(TABLE) == {pair for pair, word in CELLS.items() if word != "-"}


@pytest.mark.parametrize(("status", "given"), list(CELLS), ids=lambda value: getattr(value, "name", None))
def test_every_pair(status: SagaStatus, given: type) -> None:
    before = a_saga(status)
    for sample in SAMPLES[given]:
        if CELLS[status, given] == "-":
            with pytest.raises(ImpossibleInputError, match=status.name):
                advance(SPEC, before, sample, LATE_US, POLICY)
            continue
        moved = advance(SPEC, before, sample, LATE_US, POLICY)
        if CELLS[status, given] == "ignored":
            assert same(moved.state, before)
            assert (moved.events, moved.effects) == ((), ())
        if CELLS[status, given] in {"answers", "refuses"}:
            assert [type(event).__name__ for event in moved.events] == ["RequestConsumed"]
            moved_seq = before.moved_seq if CELLS[status, given] == "refuses" else before.seq + 1
            assert moved.state == replace(before, seq=before.seq + 1, moved_seq=moved_seq)
        if before.is_terminal:
            assert moved.state.status is status


def same(one: SagaState, other: SagaState) -> bool:
    """Whether the two agree in what is compared and in what a node is doing."""
    doing = [[(step.in_flight, step.timer_us) for step in state.steps] for state in (one, other)]
    return one == other and doing[0] == doing[1]


def in_flight() -> Play:
    return Play(SPEC)


def waiting() -> Play:
    play = Play(SPEC)
    play.ends("a", Outcome.UNKNOWN)
    return play


def second_attempt() -> Play:
    play = waiting()
    play.timer("a")
    return play


def undoing() -> Play:
    play = Play(SPEC)
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    return play


def undo_waits() -> Play:
    play = undoing()
    play.ends("a", Outcome.UNKNOWN)
    return play


def being_cancelled() -> Play:
    play = Play(SPEC)
    play.give(CancelRequested(1))
    return play


def settling() -> Play:
    play = Play(saga(Node("a", P), Node("b", R, "a")))
    play.spend("a")
    return play


def past_pivot_and_late() -> Play:
    play = Play(saga(Node("a", P), Node("b", R, "a"), deadline_s=1))
    play.give(DeadlineReached(), after_s=2)
    return play


def late_or_twice(play: Play, given: Input) -> bool:
    """Whether ``given`` speaks of a call, a timer or a wish that the saga does not wait for any more, or not yet."""
    match given:
        case AttemptEnded(step=index, phase=phase, attempt=attempt):
            step = play.state.steps[index]
            made = step.compensation_attempts if phase is Phase.COMPENSATION else step.attempts
            return step.in_flight is not phase or attempt != made + 1
        case AttemptCancelled(step=index, phase=phase) | BuildFailed(step=index, phase=phase):
            return play.state.steps[index].in_flight is not phase
        case StepSettled(step=index):
            return play.state.steps[index].in_flight is not Phase.SETTLE
        case TimerFired(step=index):
            return play.state.steps[index].timer_us is None
        case StepUnblocked(step=index):
            return play.state.steps[index].blocked is None or play.state.steps[index].timer_us is None
        case DeadlineReached():
            return play.state.deadline_noted or play.now_us < play.state.deadline_us
    return False


@pytest.mark.parametrize(
    "standing",
    [in_flight, waiting, second_attempt, undoing, undo_waits, being_cancelled, settling, past_pivot_and_late],
)
def test_what_comes_late_or_twice_changes_nothing(standing: Callable[[], Play]) -> None:
    play = standing()
    tried = 0
    for given in (sample for samples in SAMPLES.values() for sample in samples):
        if not late_or_twice(play, given):
            continue
        tried += 1
        moved = advance(play.spec, play.state, given, play.now_us, POLICY)
        assert same(moved.state, play.state), given
        assert (moved.events, moved.effects) == ((), ()), given
    assert tried > 200
