"""What operators may do to a saga: why it cannot be allowed, and what it does. No action breaks an invariant.

Whether an action is allowed is a function of the journal alone, so that it can be asked before, and is asked again by
the owner that carries it out.
"""

from collections.abc import Callable
from typing import Final

from orchestrator.core import events as ev
from orchestrator.core.definition import SagaSpec
from orchestrator.core.events import CompensationCause, Failure, Phase
from orchestrator.core.graph import can_settle, is_past_pivot
from orchestrator.core.inputs import OperatorAction, OperatorRequested
from orchestrator.core.move import Move
from orchestrator.core.state import SagaState, SagaStatus, StepState, StepStatus

VERSION_CHANGED: Final = "VERSION_CHANGED"
SAGA_STATE: Final = "SAGA_STATE"
PAST_PIVOT: Final = "PAST_PIVOT"
STEP_NOT_FOUND: Final = "STEP_NOT_FOUND"
OUTCOME_UNKNOWN: Final = "OUTCOME_UNKNOWN"

PHASE_OF: Final = {
    StepStatus.RUNNING: Phase.ACTION,
    StepStatus.UNKNOWN: Phase.SETTLE,
    StepStatus.COMPENSATING: Phase.COMPENSATION,
}
"""Which of its calls a step waits for."""


def _no(message: str, reason: str = SAGA_STATE) -> Failure:
    return Failure(0, reason, message)


def stuck_step(state: SagaState) -> int | None:
    """The step that a stuck saga is stuck at; None if the saga as a whole is."""
    return next((index for index, step in enumerate(state.steps) if step.status is StepStatus.STUCK), None)


def waits(step: StepState, now_us: int) -> bool:
    """Whether the step waits for its next attempt, or is blocked."""
    if step.status not in PHASE_OF or step.in_flight is not None:
        return False
    return step.blocked is not None or step.next_attempt_us > now_us


def retried(state: SagaState, given: OperatorRequested, now_us: int) -> list[tuple[int | None, Phase]]:
    """What a retry calls again: steps with their phases, or the saga as a whole."""
    if state.status is SagaStatus.STUCK:
        assert state.stuck_phase is not None, "a stuck saga has a phase"
        found: list[tuple[int | None, Phase]] = [(stuck_step(state), state.stuck_phase)]
    else:
        found = [(i, PHASE_OF[step.status]) for i, step in enumerate(state.steps) if waits(step, now_us)]
    if given.step is not None:
        found = [each for each in found if each[0] == given.step]
    if given.action is OperatorAction.RETRY_COMPENSATION:
        found = [each for each in found if each[0] is not None and each[1] is Phase.COMPENSATION]
    return found


def skipped(state: SagaState, given: OperatorRequested, now_us: int) -> int | None:
    """The step that a skip means; None if none can be meant, or more than one."""
    if given.step is not None:
        return given.step
    if state.status is SagaStatus.STUCK:
        return stuck_step(state)
    waiting = [index for index, step in enumerate(state.steps) if waits(step, now_us)]
    return waiting[0] if len(waiting) == 1 else None


def why_not(spec: SagaSpec, state: SagaState, given: OperatorRequested, now_us: int) -> Failure | None:
    """Why the action is refused; None if it is allowed. ``state`` is a live saga's."""
    if given.expected_seq < state.moved_seq:
        seen = f"it was seen at version {given.expected_seq}, and moved at version {state.moved_seq}"
        return _no(f"the saga moved meanwhile: {seen}; look at it again", VERSION_CHANGED)
    again = state.status is SagaStatus.STUCK and given.action in {OperatorAction.RETRY, OperatorAction.RESOLVE}
    if state.by_hand.is_resolving and not again:
        return _no("the saga is being resolved: it ends RESOLVED once its participants have settled its steps")
    if state.by_hand.paused_us and given.action is not OperatorAction.RESUME:
        return _no("the saga is paused; resume it first")
    return _WHY_NOT[given.action](spec, state, given, now_us)


def _why_not_retry(spec: SagaSpec, state: SagaState, given: OperatorRequested, now_us: int) -> Failure | None:
    found = retried(state, given, now_us)
    stuck = state.status is SagaStatus.STUCK
    if not found:
        what = "compensation" if given.action is OperatorAction.RETRY_COMPENSATION else "step"
        where = f" named {spec.steps[given.step].name}" if given.step is not None else ""
        reason = STEP_NOT_FOUND if given.step is not None else SAGA_STATE
        how = "is stuck" if stuck else "waits for its next attempt or is blocked"
        return _no(f"no {what}{where} {how}", reason)
    step, phase = found[0]
    if stuck and state.stuck_from is SagaStatus.COMPENSATING and phase is not Phase.COMPENSATION:
        # The engine itself stopped there, or at its own bounds; only the latter can be tried again.
        if step is not None:
            return _no("no action is begun once a saga went back: skip the step, or resolve the saga")
        if state.failure is not None and state.failure.reason == OUTCOME_UNKNOWN:
            return _no("everything was undone, and nobody can say whether a late call lands: resolve the saga by hand")
    return None


def _why_not_skip(spec: SagaSpec, state: SagaState, given: OperatorRequested, now_us: int) -> Failure | None:
    index = skipped(state, given, now_us)
    if index is None:
        return _no("name the step to skip: the saga is not stuck at, or does not wait for, just one", STEP_NOT_FOUND)
    step, name = state.steps[index], spec.steps[index].name
    if step.status is not StepStatus.STUCK and not waits(step, now_us):
        return _no(f"step {name} is {step.status.name}: only one that is stuck, blocked or waiting can be skipped")
    if state.status is SagaStatus.STUCK and step.status is not StepStatus.STUCK:
        stuck = stuck_step(state)
        where = "as a whole" if stuck is None else f"at step {spec.steps[stuck].name}"
        return _no(f"the saga is stuck {where}: step {name} cannot be skipped before that is settled")
    forward = SagaStatus.RUNNING in {state.status, state.stuck_from}
    if forward and given.response is None:
        return _no(f"give what stands for the response of step {name}: later steps and the result depend on it")
    if not forward and given.response is not None:
        return _no(f"step {name} is being undone: its effect stays as it is, so no response can be given for it")
    return None


def _why_not_turn(spec: SagaSpec, state: SagaState, _given: OperatorRequested, _now_us: int) -> Failure | None:
    if SagaStatus.COMPENSATING in {state.status, state.stuck_from}:
        return _no("the saga is on its way back already: retry or skip the compensation that does not go through")
    if is_past_pivot(spec, state):
        return _no("the pivot may have taken effect; the saga can only go forward", PAST_PIVOT)
    return None


def _why_not_resolve(_spec: SagaSpec, state: SagaState, _given: OperatorRequested, _now_us: int) -> Failure | None:
    if state.status is not SagaStatus.STUCK:
        return _no(f"the saga is {state.status.name}: it goes on by itself; only a stuck one is settled by hand")
    return None


def _why_not_pause(_spec: SagaSpec, state: SagaState, _given: OperatorRequested, _now_us: int) -> Failure | None:
    if state.status is SagaStatus.STUCK:
        return _no("the saga is stuck: it begins no call until an operator moves it")
    return None


def _why_not_resume(_spec: SagaSpec, state: SagaState, _given: OperatorRequested, _now_us: int) -> Failure | None:
    return None if state.by_hand.paused_us else _no("the saga is not paused")


def operate(move: Move, given: OperatorRequested) -> None:
    """Refuses the request, or does what it asks for."""
    refusal = why_not(move.spec, move.state, given, move.now_us)
    kind = given.action.name.lower()
    before = move.state
    move.record(ev.RequestConsumed(given.number, kind, refusal, given.caller, given.reason))
    if refusal is None:
        _APPLY[given.action](move, given, before)


def _retry(move: Move, given: OperatorRequested, before: SagaState) -> None:
    for step, phase in retried(before, given, move.now_us):
        move.record(ev.StepRetried(step, phase))


def _skip(move: Move, given: OperatorRequested, before: SagaState) -> None:
    index = skipped(before, given, move.now_us)
    assert index is not None, "refused otherwise"
    move.record(ev.SkipBegun(index, given.response or b""))
    if not can_settle(move.spec.steps[index]):
        move.record(ev.StepSkipped(index))


def _turn_around(move: Move, _given: OperatorRequested, before: SagaState) -> None:
    failure = before.failure or _no("an operator turned the saga around", "OPERATOR")
    move.turn_around(CompensationCause.OPERATOR, before.failed_step, failure)


def _resolve(move: Move, _given: OperatorRequested, _before: SagaState) -> None:
    move.record(ev.ResolutionBegun())


def _pause(move: Move, _given: OperatorRequested, _before: SagaState) -> None:
    move.record(ev.SagaPaused())


def _resume(move: Move, _given: OperatorRequested, _before: SagaState) -> None:
    move.record(ev.SagaUnpaused())


_WHY_NOT: Final[dict[OperatorAction, Callable[[SagaSpec, SagaState, OperatorRequested, int], Failure | None]]] = {
    OperatorAction.RETRY: _why_not_retry,
    OperatorAction.RETRY_COMPENSATION: _why_not_retry,
    OperatorAction.SKIP_STEP: _why_not_skip,
    OperatorAction.FORCE_COMPENSATION: _why_not_turn,
    OperatorAction.RESOLVE: _why_not_resolve,
    OperatorAction.PAUSE: _why_not_pause,
    OperatorAction.RESUME: _why_not_resume,
}
_APPLY: Final[dict[OperatorAction, Callable[[Move, OperatorRequested, SagaState], None]]] = {
    OperatorAction.RETRY: _retry,
    OperatorAction.RETRY_COMPENSATION: _retry,
    OperatorAction.SKIP_STEP: _skip,
    OperatorAction.FORCE_COMPENSATION: _turn_around,
    OperatorAction.RESOLVE: _resolve,
    OperatorAction.PAUSE: _pause,
    OperatorAction.RESUME: _resume,
}
