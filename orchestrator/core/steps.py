"""What the end of an attempt means for its step, and what that means for the saga: two tables."""

from collections.abc import Callable
from typing import Final

from orchestrator.core import events as ev
from orchestrator.core.backoff import MAX_RETRY_AFTER_US, US, backoff_us, is_spent
from orchestrator.core.definition import StepKind
from orchestrator.core.events import CompensationCause, Failure, Phase
from orchestrator.core.graph import can_be_cut_short, is_past_pivot
from orchestrator.core.inputs import AttemptEnded
from orchestrator.core.move import Move
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus

NO_FAILURE: Final = Failure(0, "UNSPECIFIED", "the attempt failed without saying why")


def _failure(given: AttemptEnded) -> Failure:
    return given.failure or NO_FAILURE


def fail_step(move: Move, index: int, failure: Failure) -> None:
    """A step is known to have no effect and is not tried again: undo the others, or stop where that is forbidden."""
    if move.spec.steps[index].kind is StepKind.RETRIABLE or is_past_pivot(move.spec, move.state):
        move.get_stuck(index, Phase.ACTION, failure)
    else:
        move.turn_around(CompensationCause.STEP_FAILED, index, failure)


def lose_step(move: Move, index: int, failure: Failure) -> None:
    """A step may have taken effect and is not tried again: undo it, settle it, or stop."""
    step = move.spec.steps[index]
    if step.kind is StepKind.PIVOT and step.has_barrier:
        return  # planning settles it
    if can_be_cut_short(step):
        fail_step(move, index, failure)
    else:
        move.get_stuck(index, Phase.ACTION, failure)


def _succeeded(move: Move, given: AttemptEnded) -> None:
    if given.phase is Phase.COMPENSATION:
        move.record(ev.StepCompensated(given.step, given.attempt, given.duration_ms))
    else:
        move.record(ev.StepSucceeded(given.step, given.attempt, given.response, given.duration_ms))


def _rejected(move: Move, given: AttemptEnded) -> None:
    if given.phase is Phase.COMPENSATION:
        move.get_stuck(given.step, given.phase, _failure(given), given.attempt)
        return
    step = move.spec.steps[given.step]
    if not can_be_cut_short(step) and move.state.steps[given.step].had_unknown:
        _lost(move, given)  # an earlier attempt may still land, and no barrier would say so
        return
    move.record(ev.StepRejected(given.step, given.attempt, _failure(given), given.duration_ms))
    if move.state.status is SagaStatus.RUNNING:
        fail_step(move, given.step, _failure(given))


def _refused(move: Move, given: AttemptEnded) -> None:
    step = move.spec.steps[given.step]
    if given.phase is Phase.COMPENSATION or not step.has_barrier or step.kind is StepKind.READ_ONLY:
        _rejected(move, given)
    else:
        _lost(move, given)


def _lost(move: Move, given: AttemptEnded) -> None:
    move.record(ev.StepUnknown(given.step, given.attempt, _failure(given), given.duration_ms))
    lose_step(move, given.step, _failure(given))


def _try_again(move: Move, given: AttemptEnded) -> None:
    step, spec = move.state.steps[given.step], move.spec.steps[given.step]
    policy = spec.compensation_retry if given.phase is Phase.COMPENSATION else spec.retry
    # A participant that says when to come back is working on it: that spends time, not attempts.
    counted = given.outcome is Outcome.UNKNOWN or given.retry_after_us is None
    counted_attempts = step.counted_attempts + counted
    # A block that ends now may have lasted for days, and spent nothing.
    budget_from_us = move.now_us if step.blocked else step.budget_from_us
    if move.policy.is_full or is_spent(policy, counted_attempts, budget_from_us, move.now_us):
        if given.phase is Phase.COMPENSATION:
            move.get_stuck(given.step, given.phase, _failure(given), given.attempt)
        else:
            _lost(move, given)
        return
    key = f"{spec.name}/{given.phase}"
    delay_us = backoff_us(policy, move.state.saga_id, key, attempt=given.attempt, counted_attempts=counted_attempts)
    delay_us += min(given.retry_after_us or 0, MAX_RETRY_AFTER_US)
    move.record(
        ev.AttemptFailed(
            given.step,
            given.phase,
            given.attempt,
            _failure(given),
            given.outcome is Outcome.UNKNOWN,
            counted,
            move.now_us + delay_us,
            given.duration_ms,
        )
    )


def block_step(move: Move, index: int, phase: Phase, failure: Failure, retry_after_us: int = 0) -> None:
    """The step waits for something outside the saga. Recorded once: a block of days must not fill the journal.

    Once for each owner, though: an answer shows that the saga does not kill its nodes, whatever those before died of.
    """
    delay_us = max(int(move.policy.blocked_retry_s * US), min(retry_after_us, MAX_RETRY_AFTER_US))
    at_us = move.now_us + delay_us
    blocked = move.state.steps[index].blocked
    if blocked is None or blocked.reason != failure.reason or move.state.stale_claims:
        move.record(ev.StepBlocked(index, phase, failure, at_us))
    else:
        move.wait(index, at_us)


def _blocked(move: Move, given: AttemptEnded) -> None:
    block_step(move, given.step, given.phase, _failure(given), given.retry_after_us or 0)


def _superseded(move: Move, given: AttemptEnded) -> None:
    retriable = move.spec.steps[given.step].kind is StepKind.RETRIABLE
    if given.phase is Phase.ACTION and move.state.unsure and not retriable:
        # The lost end of the journal had turned around already, and this step was undone. A retriable step never is:
        # an operator settled it by hand, past the pivot.
        move.turn_around(CompensationCause.STEP_FAILED, given.step, _failure(given))
    else:
        move.get_stuck(given.step, given.phase, _failure(given), given.attempt)


def _broken(move: Move, given: AttemptEnded) -> None:
    move.get_stuck(given.step, given.phase, _failure(given), given.attempt)


ON_OUTCOME: Final[dict[Outcome, Callable[[Move, AttemptEnded], None]]] = {
    Outcome.SUCCESS: _succeeded,
    Outcome.REJECTED: _rejected,
    Outcome.REFUSED: _refused,
    Outcome.BUSY: _try_again,
    Outcome.UNKNOWN: _try_again,
    Outcome.MISCONFIGURED: _blocked,
    Outcome.SUPERSEDED: _superseded,
    Outcome.STALE_EPOCH: _broken,
    Outcome.KEY_REUSED: _broken,
}
"""For an attempt of the action or the compensation whose end the saga still waits for."""
