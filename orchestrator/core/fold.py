"""Folds events into the state. Replaying a journal and living through it go through this same code."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from orchestrator.core import events as ev
from orchestrator.core import fold_by_hand as by_hand
from orchestrator.core.definition import SagaSpec, StepKind
from orchestrator.core.events import Event, Phase
from orchestrator.core.evolve import end_step, evolve_saga, evolve_step
from orchestrator.core.fold_steps import open_steps, set_step, turned
from orchestrator.core.graph import ancestors, can_be_cut_short, is_settled_on_resolution
from orchestrator.core.state import INCARNATION_SHIFT, UNTOUCHED, SagaState, SagaStatus, StepState, StepStatus

_NEW_STEP: Final = StepState()


def initial(spec: SagaSpec, saga_id: str) -> SagaState:
    """A saga before its first event."""
    return SagaState(saga_id, SagaStatus.PENDING, (_NEW_STEP,) * len(spec.steps))


def fold(spec: SagaSpec, state: SagaState, event: Event, *, at_us: int, epoch: int) -> SagaState:
    """The state after ``event``, stored at ``at_us`` under ``epoch``."""
    kind = type(event)
    moved = _FOLDS[kind](spec, state, event, at_us, epoch)
    seq = state.seq + 1
    if kind is ev.SagaClaimed:
        return evolve_saga(moved, seq=seq, epoch=epoch)
    refused = isinstance(event, ev.RequestConsumed) and event.refusal is not None
    return evolve_saga(moved, seq=seq, moved_seq=state.moved_seq if refused else seq, epoch=epoch, stale_claims=0)


def _saga_started(spec: SagaSpec, state: SagaState, event: ev.SagaStarted, at_us: int, _epoch: int) -> SagaState:
    steps = list(state.steps)
    open_steps(spec, steps, tuple(range(len(steps))), at_us)
    return evolve_saga(state, status=SagaStatus.RUNNING, steps=tuple(steps), deadline_us=event.deadline_us)


def _saga_claimed(spec: SagaSpec, state: SagaState, event: ev.SagaClaimed, at_us: int, epoch: int) -> SagaState:
    status = SagaStatus.RUNNING if state.status is SagaStatus.PENDING else state.status
    lossy = epoch >> INCARNATION_SHIFT > state.epoch >> INCARNATION_SHIFT and state.seq > 0
    steps = list(state.steps)
    for index, step in enumerate(steps):
        # An attempt that the dead node had under way has an unknown end. A barrier will tell; without one nobody can.
        cut_off = step.status is StepStatus.RUNNING and not can_be_cut_short(spec.steps[index])
        budget_from_us = at_us if step.blocked is None else step.budget_from_us
        steps[index] = evolve_step(
            step, in_flight=None, timer_us=None, budget_from_us=budget_from_us, had_unknown=step.had_unknown or cut_off
        )
    forward = status is SagaStatus.RUNNING or (status is SagaStatus.STUCK and state.stuck_from is SagaStatus.RUNNING)
    unsure = state.unsure or (lossy and forward)
    if lossy and state.by_hand.is_resolving:
        _doubt_settling(spec, evolve_saga(state, unsure=unsure), steps)
    elif lossy and forward:
        _doubt_successes(spec, steps, at_us)
        if state.by_hand.skips:
            state = evolve_saga(state, by_hand=replace(state.by_hand, skips=()))
    return evolve_saga(
        state,
        status=status,
        steps=tuple(steps),
        stale_claims=state.stale_claims + event.crashed,
        unsure=unsure,
    )


def _doubt_settling(spec: SagaSpec, state: SagaState, steps: list[StepState]) -> None:
    """After a lossy failover a resolution settles everything: it may have run, or be settled no more."""
    for index, step in enumerate(steps):
        if is_settled_on_resolution(spec, state, index):
            steps[index] = evolve_step(step, status=StepStatus.UNKNOWN)


def _doubt_successes(spec: SagaSpec, steps: list[StepState], at_us: int) -> None:
    """After a lossy failover the journal may lack its end: call everything again, in order, under the same keys."""
    for index, step in enumerate(steps):
        if step.status in {StepStatus.PENDING, StepStatus.SUCCEEDED, StepStatus.RUNNING, StepStatus.UNKNOWN}:
            doubtful = not can_be_cut_short(spec.steps[index])
            steps[index] = evolve_step(
                step, status=StepStatus.PENDING, response=None, counted_attempts=0, had_unknown=doubtful
            )
    open_steps(spec, steps, tuple(range(len(steps))), at_us)


def _step_intended(_spec: SagaSpec, state: SagaState, event: ev.StepIntended, at_us: int, _epoch: int) -> SagaState:
    step = evolve_step(state.steps[event.step], status=StepStatus.RUNNING, budget_from_us=at_us)
    return set_step(state, event.step, step)


def _attempt_failed(_spec: SagaSpec, state: SagaState, event: ev.AttemptFailed, at_us: int, _epoch: int) -> SagaState:
    step = state.steps[event.step]
    if step.blocked is not None:
        # The time budget starts anew once a block ends: waiting for an operator is not the participant's failure.
        step = evolve_step(step, budget_from_us=at_us)
    counted = step.counted_attempts + event.counted
    changes: dict[str, Any] = {"failure": event.failure, "counted_attempts": counted}
    if event.phase is Phase.COMPENSATION:
        changes["compensation_attempts"] = event.attempt
    else:
        changes |= {"attempts": event.attempt, "had_unknown": step.had_unknown or event.unknown}
    return set_step(state, event.step, end_step(step, next_attempt_us=event.next_attempt_us, **changes))


def _step_blocked(_spec: SagaSpec, state: SagaState, event: ev.StepBlocked, at_us: int, _epoch: int) -> SagaState:
    step = state.steps[event.step]
    since_us = at_us if step.blocked is None else step.budget_from_us
    step = end_step(step, blocked=event.failure, budget_from_us=since_us, next_attempt_us=event.next_attempt_us)
    return set_step(state, event.step, step)


def _step_succeeded(spec: SagaSpec, state: SagaState, event: ev.StepSucceeded, at_us: int, _epoch: int) -> SagaState:
    step = state.steps[event.step]
    backward = state.status is SagaStatus.COMPENSATING
    undo = backward and spec.steps[event.step].kind is StepKind.COMPENSATABLE
    step = end_step(
        step,
        status=StepStatus.COMPENSATING if undo else StepStatus.SUCCEEDED,
        attempts=event.attempt or step.attempts,
        counted_attempts=0,
        budget_from_us=at_us,
        response=event.response,
        failure=None,
    )
    steps = [*state.steps[: event.step], step, *state.steps[event.step + 1 :]]
    if not backward:
        open_steps(spec, steps, spec.steps[event.step].successors, at_us)
    if state.by_hand.skips:
        state = by_hand.without_skip(state, event.step)
    return evolve_saga(state, steps=tuple(steps))


def _step_rejected(_spec: SagaSpec, state: SagaState, event: ev.StepRejected, _at_us: int, _epoch: int) -> SagaState:
    step = state.steps[event.step]
    attempts = event.attempt or step.attempts
    return set_step(
        state, event.step, end_step(step, status=StepStatus.REJECTED, attempts=attempts, failure=event.failure)
    )


def _step_unknown(_spec: SagaSpec, state: SagaState, event: ev.StepUnknown, at_us: int, _epoch: int) -> SagaState:
    step = state.steps[event.step]
    step = end_step(
        step,
        status=StepStatus.UNKNOWN,
        attempts=event.attempt or step.attempts,
        counted_attempts=0,
        budget_from_us=at_us,
        had_unknown=True,
        failure=event.failure,
    )
    return set_step(state, event.step, step)


def _compensation_started(
    spec: SagaSpec, state: SagaState, event: ev.CompensationStarted, at_us: int, _epoch: int
) -> SagaState:
    steps = tuple(turned(spec, state, index, at_us) for index in range(len(state.steps)))
    return evolve_saga(
        state,
        status=SagaStatus.COMPENSATING,
        steps=steps,
        failed_step=event.step,
        failure=event.failure,
        stuck_from=None,
        stuck_phase=None,
        by_hand=replace(state.by_hand, skips=(), cause=None) if state.by_hand is not UNTOUCHED else UNTOUCHED,
    )


def _step_compensated(spec: SagaSpec, state: SagaState, event: ev.StepCompensated, at_us: int, _: int) -> SagaState:
    step = end_step(
        state.steps[event.step],
        status=StepStatus.COMPENSATED,
        compensation_attempts=event.attempt,
        failure=state.steps[event.step].failure,
    )
    steps = [*state.steps[: event.step], step, *state.steps[event.step + 1 :]]
    for before in ancestors(spec, event.step):
        if steps[before].status is StepStatus.COMPENSATING:
            steps[before] = evolve_step(steps[before], budget_from_us=at_us)  # its turn may have come
    return evolve_saga(state, steps=tuple(steps))


def _saga_completed(_spec: SagaSpec, state: SagaState, _event: ev.SagaCompleted, _at_us: int, _: int) -> SagaState:
    return evolve_saga(state, status=SagaStatus.COMPLETED)


def _saga_compensated(_spec: SagaSpec, state: SagaState, _event: ev.SagaCompensated, _at: int, _: int) -> SagaState:
    return evolve_saga(state, status=SagaStatus.COMPENSATED)


def _saga_stuck(_spec: SagaSpec, state: SagaState, event: ev.SagaStuck, _at_us: int, _epoch: int) -> SagaState:
    steps = [evolve_step(step, timer_us=None) for step in state.steps]
    if event.step is not None:
        changes: dict[str, Any] = {"status": StepStatus.STUCK, "failure": event.failure}
        if event.attempt:  # the journals of older programs do not tell
            changes["compensation_attempts" if event.phase is Phase.COMPENSATION else "attempts"] = event.attempt
        steps[event.step] = end_step(steps[event.step], **changes)
    backward = state.status is SagaStatus.COMPENSATING
    cause = (state.failed_step, state.failure) if backward else None
    # A pause and a skip are over; a resolution is not: it has given up where each step was going.
    hand = replace(state.by_hand, paused_us=0, skips=(), cause=cause)
    return evolve_saga(
        state,
        status=SagaStatus.STUCK,
        steps=tuple(steps),
        failed_step=event.step if event.step is not None else state.failed_step,
        failure=event.failure,
        stuck_phase=event.phase,
        stuck_from=state.status,
        by_hand=hand,
    )


def _deadline_passed(_spec: SagaSpec, state: SagaState, _event: ev.DeadlinePassed, _at_us: int, _: int) -> SagaState:
    return evolve_saga(state, deadline_noted=True)


def _request_consumed(_spec: SagaSpec, state: SagaState, _event: ev.RequestConsumed, _at: int, _: int) -> SagaState:
    return state


_FOLDS: Final[dict[type, Callable[[SagaSpec, SagaState, Any, int, int], SagaState]]] = {
    ev.SagaStarted: _saga_started,
    ev.SagaClaimed: _saga_claimed,
    ev.StepIntended: _step_intended,
    ev.AttemptFailed: _attempt_failed,
    ev.StepBlocked: _step_blocked,
    ev.StepSucceeded: _step_succeeded,
    ev.StepRejected: _step_rejected,
    ev.StepUnknown: _step_unknown,
    ev.CompensationStarted: _compensation_started,
    ev.StepCompensated: _step_compensated,
    ev.SagaCompleted: _saga_completed,
    ev.SagaCompensated: _saga_compensated,
    ev.SagaStuck: _saga_stuck,
    ev.DeadlinePassed: _deadline_passed,
    ev.RequestConsumed: _request_consumed,
    ev.SagaPaused: by_hand.saga_paused,
    ev.SagaUnpaused: by_hand.saga_unpaused,
    ev.StepRetried: by_hand.step_retried,
    ev.SkipBegun: by_hand.skip_begun,
    ev.StepSkipped: by_hand.step_skipped,
    ev.ResolutionBegun: by_hand.resolution_begun,
    ev.StepSettled: by_hand.step_settled,
    ev.SagaResolved: by_hand.saga_resolved,
}
