"""Folds the events of what operators do: pauses, retries, skips and resolutions."""

from dataclasses import replace
from typing import Final

from orchestrator.core import events as ev
from orchestrator.core.definition import SagaSpec
from orchestrator.core.events import Phase
from orchestrator.core.evolve import end_step, evolve_saga, evolve_step
from orchestrator.core.fold_steps import open_steps, set_step
from orchestrator.core.graph import is_open, is_settled_on_resolution
from orchestrator.core.state import SagaState, SagaStatus, StepState, StepStatus

_AGAIN: Final = {
    Phase.ACTION: StepStatus.RUNNING,
    Phase.SETTLE: StepStatus.UNKNOWN,
    Phase.COMPENSATION: StepStatus.COMPENSATING,
}
"""Where a stuck step stands once it is tried again."""


def unstuck(state: SagaState, at_us: int) -> SagaState:
    """The saga on its way again in the direction it had. What had turned it around is its failure again.

    A deadline that has passed is noted: an operator who lets a saga go on knows better.
    """
    if state.status is not SagaStatus.STUCK:
        return state
    assert state.stuck_from is not None, "a saga gets stuck on its way"
    failed_step, failure = state.by_hand.cause or (None, None)
    return evolve_saga(
        state,
        status=state.stuck_from,
        stuck_from=None,
        stuck_phase=None,
        failed_step=failed_step,
        failure=failure,
        deadline_noted=state.deadline_noted or at_us >= state.deadline_us,
        by_hand=replace(state.by_hand, cause=None),
    )


def _again(step: StepState, status: StepStatus, at_us: int) -> StepState:
    """The step with a new budget, due at once."""
    return end_step(step, status=status, counted_attempts=0, budget_from_us=at_us)


def saga_paused(_spec: SagaSpec, state: SagaState, _event: ev.SagaPaused, at_us: int, _epoch: int) -> SagaState:
    """Timers are set anew once it goes on."""
    steps = tuple(evolve_step(step, timer_us=None) for step in state.steps)
    return evolve_saga(state, steps=steps, by_hand=replace(state.by_hand, paused_us=at_us))


def saga_unpaused(_spec: SagaSpec, state: SagaState, _event: ev.SagaUnpaused, _at_us: int, _epoch: int) -> SagaState:
    return evolve_saga(state, by_hand=replace(state.by_hand, paused_us=0))


def step_retried(spec: SagaSpec, state: SagaState, event: ev.StepRetried, at_us: int, _epoch: int) -> SagaState:
    state = unstuck(state, at_us)
    if event.step is None:
        return state
    status = _AGAIN[event.phase]
    if event.phase is Phase.ACTION and not is_open(spec, state, event.step):
        status = StepStatus.PENDING  # a lossy failover put what comes before it in doubt
    return set_step(state, event.step, _again(state.steps[event.step], status, at_us))


def skip_begun(_spec: SagaSpec, state: SagaState, event: ev.SkipBegun, at_us: int, _epoch: int) -> SagaState:
    state = unstuck(state, at_us)
    if state.status is SagaStatus.RUNNING:
        skips = (*(skip for skip in state.by_hand.skips if skip[0] != event.step), (event.step, event.response))
        state = evolve_saga(state, by_hand=replace(state.by_hand, skips=skips))
    return set_step(state, event.step, _again(state.steps[event.step], StepStatus.UNKNOWN, at_us))


def step_skipped(spec: SagaSpec, state: SagaState, event: ev.StepSkipped, at_us: int, _epoch: int) -> SagaState:
    step = end_step(state.steps[event.step], status=StepStatus.SKIPPED)
    if state.status is SagaStatus.COMPENSATING:
        return set_step(state, event.step, step, by_hand=replace(state.by_hand, leaves_effects=True))
    step = evolve_step(step, response=dict(state.by_hand.skips)[event.step], failure=None)
    steps = [*state.steps[: event.step], step, *state.steps[event.step + 1 :]]
    open_steps(spec, steps, spec.steps[event.step].successors, at_us)
    return evolve_saga(state, steps=tuple(steps), by_hand=without_skip(state, event.step).by_hand)


def without_skip(state: SagaState, index: int) -> SagaState:
    """The saga once it is known what became of a step that was to be skipped."""
    if not state.by_hand.skips:
        return state
    skips = tuple(skip for skip in state.by_hand.skips if skip[0] != index)
    return evolve_saga(state, by_hand=replace(state.by_hand, skips=skips))


def resolution_begun(
    spec: SagaSpec, state: SagaState, _event: ev.ResolutionBegun, at_us: int, _epoch: int
) -> SagaState:
    """What may have run is to be settled; what cannot be settled stays as it is."""
    failed_step, failure = state.failed_step, state.failure
    steps = tuple(
        _again(step, StepStatus.UNKNOWN, at_us) if is_settled_on_resolution(spec, state, index) else step
        for index, step in enumerate(state.steps)
    )
    moving = unstuck(state, at_us)
    by_hand = replace(moving.by_hand, is_resolving=True, skips=())
    return evolve_saga(
        moving, steps=steps, failed_step=failed_step, failure=failure, deadline_noted=True, by_hand=by_hand
    )


def step_settled(_spec: SagaSpec, state: SagaState, event: ev.StepSettled, _at_us: int, _epoch: int) -> SagaState:
    step = end_step(state.steps[event.step])
    if event.done:
        return set_step(state, event.step, evolve_step(step, status=StepStatus.SUCCEEDED, response=event.response))
    status = StepStatus.COMPENSATED if event.undone else StepStatus.SKIPPED
    return set_step(state, event.step, evolve_step(step, status=status))


def saga_resolved(_spec: SagaSpec, state: SagaState, _event: ev.SagaResolved, _at_us: int, _epoch: int) -> SagaState:
    return evolve_saga(state, status=SagaStatus.RESOLVED)
