"""How events change single steps: shared by the folds of what happens by itself and of what operators do."""

from typing import Any

from orchestrator.core.definition import SagaSpec, StepKind
from orchestrator.core.evolve import end_step, evolve_saga, evolve_step
from orchestrator.core.graph import DONE, can_be_cut_short, can_settle, needs_intent
from orchestrator.core.state import SagaState, StepState, StepStatus


def set_step(state: SagaState, index: int, step: StepState, **saga: Any) -> SagaState:
    """The state with another step in place, and other values in the named fields of the saga."""
    steps = (*state.steps[:index], step, *state.steps[index + 1 :])
    return evolve_saga(state, steps=steps, **saga)


def open_steps(spec: SagaSpec, steps: list[StepState], candidates: tuple[int, ...], at_us: int) -> None:
    """Marks as RUNNING what may be called from now on without a durable intent."""
    for index in candidates:
        step = spec.steps[index]
        if steps[index].status is not StepStatus.PENDING or needs_intent(step):
            continue
        for before in step.predecessors:
            if steps[before].status not in DONE:
                break
        else:
            steps[index] = evolve_step(steps[index], status=StepStatus.RUNNING, budget_from_us=at_us)


def turned(spec: SagaSpec, state: SagaState, index: int, at_us: int) -> StepState:
    """What a step becomes when its saga turns around. What may have taken effect is to be undone."""
    step, kind = state.steps[index], spec.steps[index].kind
    if step.status is StepStatus.STUCK:
        return _stuck_turned(spec, step, index, at_us)
    if kind is StepKind.COMPENSATABLE and can_be_cut_short(spec.steps[index]):
        may_have_run = {StepStatus.SUCCEEDED, StepStatus.RUNNING, StepStatus.UNKNOWN}
        if state.unsure:
            may_have_run.add(StepStatus.PENDING)
        if step.status in may_have_run:
            # `in_flight` stays: the undo waits for the cancelled attempt to end.
            return _undoing(step, at_us)
    elif step.status is StepStatus.RUNNING and not can_be_cut_short(spec.steps[index]):
        return evolve_step(step, timer_us=None)  # only its end tells whether there is something to undo
    elif step.status is StepStatus.SUCCEEDED and kind is StepKind.COMPENSATABLE:
        return _undoing(step, at_us)
    elif step.status is StepStatus.PENDING and kind is StepKind.COMPENSATABLE and state.unsure:
        return step  # it may have run, and nobody can say
    elif (
        kind is StepKind.PIVOT and step.status is StepStatus.PENDING and state.unsure and can_settle(spec.steps[index])
    ):
        return end_step(step, status=StepStatus.UNKNOWN, budget_from_us=at_us, failure=None)  # it may have run
    if step.status in {StepStatus.PENDING, StepStatus.RUNNING}:
        return evolve_step(step, status=StepStatus.SKIPPED, timer_us=None, next_attempt_us=0, blocked=None)
    return step


def _stuck_turned(spec: SagaSpec, step: StepState, index: int, at_us: int) -> StepState:
    """A step that its saga was stuck at, when an operator turns the saga around."""
    may_have_run = spec.steps[index].has_barrier or step.attempts or step.had_unknown
    if spec.steps[index].kind is StepKind.COMPENSATABLE and may_have_run:
        return _undoing(step, at_us)
    return end_step(step, status=StepStatus.SKIPPED)


def _undoing(step: StepState, at_us: int) -> StepState:
    return evolve_step(
        step,
        status=StepStatus.COMPENSATING,
        counted_attempts=0,
        budget_from_us=at_us,
        next_attempt_us=0,
        timer_us=None,
        blocked=None,
    )
