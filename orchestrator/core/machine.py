"""The saga's state machine: ``advance(state, input, now) -> (state, events, effects)``, and its table.

Pure: no clock, no randomness, no I/O. Every (status, input) pair that can occur stands in :data:`TABLE`, those that
change nothing too; a pair that is not there is a defect of the caller and raises :class:`ImpossibleInputError`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.core import events as ev
from orchestrator.core import inputs as given_
from orchestrator.core.backoff import US, CorePolicy
from orchestrator.core.definition import SagaSpec
from orchestrator.core.effects import Effect
from orchestrator.core.events import CompensationCause, Event, Failure, Phase
from orchestrator.core.graph import can_be_cut_short, is_past_pivot
from orchestrator.core.inputs import Input
from orchestrator.core.move import Move
from orchestrator.core.operate import PHASE_OF, operate
from orchestrator.core.outcome import Outcome
from orchestrator.core.plan import plan
from orchestrator.core.quick import quick
from orchestrator.core.settling import settled_backward, step_settled
from orchestrator.core.state import SagaState, SagaStatus, StepStatus
from orchestrator.core.steps import ON_OUTCOME, block_step


class ImpossibleInputError(Exception):
    """An input that cannot happen in this status: the caller has a defect."""


@quick
@dataclass(frozen=True, slots=True)
class Transition:
    """The new state, what must be made durable, and what may be done only after that."""

    state: SagaState
    events: tuple[Event, ...]
    effects: tuple[Effect, ...]


def advance(spec: SagaSpec, state: SagaState, given: Input, now_us: int, policy: CorePolicy) -> Transition:
    """Moves a saga. ``now_us`` is the database's time. Raises :class:`ImpossibleInputError`."""
    handler = TABLE.get((state.status, type(given)))
    if handler is None:
        raise ImpossibleInputError(f"saga {state.saga_id}: {type(given).__name__} cannot happen in {state.status.name}")
    epoch = given.epoch if isinstance(given, given_.Begun) else state.epoch
    move = Move(spec, state, now_us, policy, epoch, [], [])
    handler(move, given)
    plan(move)
    return Transition(move.state, tuple(move.events), tuple(move.effects))


def _begin(move: Move, given: given_.Begun) -> None:
    move.record(ev.SagaStarted(given.deadline_us, given.trace))


def _resume(move: Move, _given: given_.Resumed) -> None:
    if move.state.stale_claims >= move.policy.max_stale_claims:
        message = f"claimed {move.state.stale_claims} times without progress; it may be killing its nodes"
        move.get_stuck(None, Phase.ACTION, Failure(0, "CRASH_LOOP", message))
    elif move.state.status is SagaStatus.RUNNING and not move.state.by_hand.is_resolving:
        _doubt_cut_off(move)


def _doubt_cut_off(move: Move) -> None:
    """Records that an attempt without a barrier may have been cut off. A claim says so by itself; but an owner also
    resumes without one, after a commit whose answer was lost, and must not take a later rejection for definite.
    """
    failure = Failure(0, "CUT_OFF", "the attempt was under way when its node dropped the saga and resumed it")
    for index, step in enumerate(move.state.steps):
        cut_off = step.status is StepStatus.RUNNING and not can_be_cut_short(move.spec.steps[index])
        if cut_off and not step.had_unknown:
            move.record(
                ev.AttemptFailed(
                    step=index,
                    phase=Phase.ACTION,
                    attempt=step.attempts + 1,
                    failure=failure,
                    unknown=True,
                    counted=False,
                    next_attempt_us=step.next_attempt_us,
                    duration_ms=0,
                )
            )


def _attempt_ended(move: Move, given: given_.AttemptEnded) -> None:
    step = move.state.steps[given.step]
    attempts = step.compensation_attempts if given.phase is Phase.COMPENSATION else step.attempts
    if step.in_flight is not given.phase or given.attempt != attempts + 1:
        return  # late or twice: what it says was decided without it
    if given.outcome is Outcome.SUCCESS and given.phase is not Phase.SETTLE and _is_awaited(move, given):
        ON_OUTCOME[given.outcome](move, given)  # by what it records, nothing is in flight any more
        return
    move.touch(given.step, in_flight=None, timer_us=None)
    if given.phase is Phase.SETTLE:
        if step.status is not StepStatus.UNKNOWN:
            return  # the saga turned around while the step was settled to be skipped: it is undone whatever it was
        failure = given.failure or Failure(0, "SETTLE_FAILED", "the participant did not settle the step")
        block_step(move, given.step, given.phase, failure)
    elif _is_awaited(move, given):
        ON_OUTCOME[given.outcome](move, given)


def _is_awaited(move: Move, given: given_.AttemptEnded | given_.BuildFailed) -> bool:
    """Whether the end decides anything: once a saga turned around, the end of a cancelled action does not."""
    if move.state.status is SagaStatus.RUNNING or given.phase is Phase.COMPENSATION:
        return True
    return not can_be_cut_short(move.spec.steps[given.step])


def _late_action_ended(move: Move, given: given_.AttemptEnded) -> None:
    """In COMPENSATING an action without a barrier may still be awaited; it is not tried again."""
    if given.phase is Phase.ACTION and given.outcome not in {Outcome.SUCCESS, Outcome.REJECTED, Outcome.REFUSED}:
        step = move.state.steps[given.step]
        if step.in_flight is Phase.ACTION and given.attempt == step.attempts + 1:
            move.touch(given.step, in_flight=None, timer_us=None)  # planning finds it without an end
        return
    _attempt_ended(move, given)


def _attempt_cancelled(move: Move, given: given_.AttemptCancelled) -> None:
    if move.state.steps[given.step].in_flight is given.phase:
        move.touch(given.step, in_flight=None, timer_us=None)


def _build_failed(move: Move, given: given_.BuildFailed) -> None:
    step = move.state.steps[given.step]
    if step.in_flight is given.phase:
        move.touch(given.step, in_flight=None, timer_us=None)
        if given.phase is Phase.SETTLE and move.state.by_hand.is_resolving:
            # It took effect, and what it answered cannot be read: all that a resolution needs to know.
            move.record(ev.StepSettled(given.step, done=True, undone=False, response=b"", duration_ms=0))
        elif given.phase is Phase.SETTLE and move.state.status is SagaStatus.COMPENSATING:
            if step.status is StepStatus.UNKNOWN:
                move.record(ev.StepSkipped(given.step))
        elif not _is_awaited(move, given):
            return
        elif given.attempt and given.phase is Phase.ACTION:
            # It took effect: no rejection of a later attempt can be taken for a proof that it did not.
            move.record(ev.StepUnknown(given.step, given.attempt, given.failure, 0))
            move.get_stuck(given.step, given.phase, given.failure)
        else:
            move.get_stuck(given.step, given.phase, given.failure, given.attempt)


def _timer_fired(move: Move, given: given_.TimerFired) -> None:
    step = move.state.steps[given.step]
    if step.timer_us is None:
        return
    if move.now_us < step.timer_us:
        move.wait(given.step, step.timer_us)  # the estimate of the database's time went back a little
        return
    move.touch(given.step, in_flight=None, timer_us=None)


def _step_unblocked(move: Move, given: given_.StepUnblocked) -> None:
    step = move.state.steps[given.step]
    if step.blocked is not None and step.timer_us is not None and not move.state.by_hand.paused_us:
        move.issue(given.step, PHASE_OF[step.status])


def _deadline_reached(move: Move, _given: given_.DeadlineReached) -> None:
    if move.now_us < move.state.deadline_us or move.state.deadline_noted or move.state.by_hand.paused_us:
        return
    if is_past_pivot(move.spec, move.state):
        move.record(ev.DeadlinePassed())
    else:
        late_s = (move.now_us - move.state.deadline_us) / US
        failure = Failure(0, "SAGA_DEADLINE", f"the saga's deadline passed {late_s:.1f} s ago")
        move.turn_around(CompensationCause.DEADLINE, None, failure)


def _operator_requested(move: Move, given: given_.OperatorRequested) -> None:
    operate(move, given)
    if given.action is given_.OperatorAction.RESUME and move.state.status is SagaStatus.RUNNING:
        _deadline_reached(move, given_.DeadlineReached())  # it may have passed meanwhile


def _cancel(move: Move, given: given_.CancelRequested) -> None:
    if move.state.by_hand.is_resolving:
        _refuse_resolving(move, given)
        return
    if is_past_pivot(move.spec, move.state):
        message = "the pivot may have taken effect; the saga can only go forward"
        move.record(ev.RequestConsumed(given.number, "cancel", Failure(0, "PAST_PIVOT", message)))
        return
    move.record(ev.RequestConsumed(given.number, "cancel", None))
    move.turn_around(CompensationCause.CANCELLED, None, Failure(0, "CANCELLED", "the saga was cancelled"))


def _refuse_resolving(move: Move, given: given_.CancelRequested) -> None:
    message = "the saga is being resolved by hand; nothing more is done or undone"
    move.record(ev.RequestConsumed(given.number, "cancel", Failure(0, "SAGA_STATE", message)))


def _cancel_again(move: Move, given: given_.CancelRequested) -> None:
    if move.state.by_hand.is_resolving:
        _refuse_resolving(move, given)
        return
    move.record(ev.RequestConsumed(given.number, "cancel", None))


def _refuse_cancel(move: Move, given: given_.CancelRequested) -> None:
    message = "the saga is stuck; only an operator's repair can move it"
    move.record(ev.RequestConsumed(given.number, "cancel", Failure(0, "SAGA_STATE", message)))


def _ignore(_move: Move, _given: Input) -> None:
    """Late, or twice, or about something already decided."""


_PENDING: Final[dict[type, Callable[[Move, Any], None]]] = {
    given_.Begun: _begin,
}
_RUNNING: Final[dict[type, Callable[[Move, Any], None]]] = {
    given_.Resumed: _resume,
    given_.AttemptEnded: _attempt_ended,
    given_.AttemptCancelled: _attempt_cancelled,
    given_.StepSettled: step_settled,
    given_.BuildFailed: _build_failed,
    given_.TimerFired: _timer_fired,
    given_.StepUnblocked: _step_unblocked,
    given_.DeadlineReached: _deadline_reached,
    given_.CancelRequested: _cancel,
    given_.OperatorRequested: _operator_requested,
}
_COMPENSATING: Final[dict[type, Callable[[Move, Any], None]]] = {
    given_.Resumed: _resume,
    given_.AttemptEnded: _late_action_ended,
    given_.AttemptCancelled: _attempt_cancelled,
    given_.StepSettled: settled_backward,
    given_.BuildFailed: _build_failed,
    given_.TimerFired: _timer_fired,
    given_.StepUnblocked: _step_unblocked,
    given_.DeadlineReached: _ignore,
    given_.CancelRequested: _cancel_again,
    given_.OperatorRequested: _operator_requested,
}
_STUCK: Final[dict[type, Callable[[Move, Any], None]]] = {
    given_.Resumed: _ignore,
    given_.AttemptEnded: _ignore,
    given_.AttemptCancelled: _ignore,
    given_.StepSettled: _ignore,
    given_.BuildFailed: _ignore,
    given_.TimerFired: _ignore,
    given_.StepUnblocked: _ignore,
    given_.DeadlineReached: _ignore,
    given_.CancelRequested: _refuse_cancel,
    given_.OperatorRequested: _operator_requested,
}
_ENDED: Final[dict[type, Callable[[Move, Any], None]]] = {
    given_.AttemptEnded: _ignore,
    given_.AttemptCancelled: _ignore,
    given_.StepSettled: _ignore,
    given_.BuildFailed: _ignore,
    given_.TimerFired: _ignore,
    given_.StepUnblocked: _ignore,
    given_.DeadlineReached: _ignore,
    given_.CancelRequested: _ignore,
    given_.OperatorRequested: _ignore,
}

TABLE: Final[dict[tuple[SagaStatus, type], Callable[[Move, Any], None]]] = {
    (status, given): handler
    for status, rows in {
        SagaStatus.PENDING: _PENDING,
        SagaStatus.RUNNING: _RUNNING,
        SagaStatus.COMPENSATING: _COMPENSATING,
        SagaStatus.STUCK: _STUCK,
        SagaStatus.COMPLETED: _ENDED,
        SagaStatus.COMPENSATED: _ENDED,
        SagaStatus.RESOLVED: _ENDED,
    }.items()
    for given, handler in rows.items()
}
