"""Questions about a saga's graph and what may have run in it."""

from orchestrator.core.definition import SagaSpec, StepKind, StepSpec
from orchestrator.core.state import SagaState, StepStatus

DONE = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})


def needs_intent(step: StepSpec) -> bool:
    """Whether a durable record must precede the first call: it cannot be undone, or cannot prove itself absent."""
    return step.kind is StepKind.PIVOT or not (step.has_barrier or step.kind is StepKind.READ_ONLY)


def can_be_cut_short(step: StepSpec) -> bool:
    """Whether an attempt may be cancelled: its undo, or its repetition, does not depend on how it ended."""
    return step.has_barrier or step.kind is StepKind.READ_ONLY


def is_open(spec: SagaSpec, state: SagaState, index: int) -> bool:
    """Whether all predecessors are done."""
    return all(state.steps[before].status in DONE for before in spec.steps[index].predecessors)


def is_past_pivot(spec: SagaSpec, state: SagaState) -> bool:
    """From the pivot's durable intent until its rejection is known, the saga can only go forward."""
    if spec.pivot is None:
        return False
    return state.unsure or state.steps[spec.pivot].status in {
        StepStatus.RUNNING,
        StepStatus.SUCCEEDED,
        StepStatus.UNKNOWN,
        StepStatus.STUCK,
        StepStatus.SKIPPED,  # an operator vouches for its effect
    }


def can_settle(step: StepSpec) -> bool:
    """Whether the participant can say for good what became of the action, and there is something to say."""
    return step.has_barrier and step.kind is not StepKind.READ_ONLY


def is_being_settled(spec: SagaSpec, state: SagaState, index: int) -> bool:
    """Whether the participant is to say what became of the action."""
    return state.steps[index].status is StepStatus.UNKNOWN and can_settle(spec.steps[index])


def is_settled_on_resolution(spec: SagaSpec, state: SagaState, index: int) -> bool:
    """Whether the step may have run, so that a late call could land after the saga was resolved by hand."""
    may_have_run = state.steps[index].status in {
        StepStatus.RUNNING,
        StepStatus.UNKNOWN,
        StepStatus.STUCK,
        StepStatus.COMPENSATING,
    }
    return can_settle(spec.steps[index]) and (may_have_run or state.unsure)


def ancestors(spec: SagaSpec, index: int) -> frozenset[int]:
    """Every step that must be done before this one is called."""
    return _reach(index, [step.predecessors for step in spec.steps])


def descendants(spec: SagaSpec, index: int) -> frozenset[int]:
    """Every step that is called only once this one is done."""
    return _reach(index, [step.successors for step in spec.steps])


def _reach(index: int, edges: list[tuple[int, ...]]) -> frozenset[int]:
    found: set[int] = set()
    ahead = list(edges[index])
    while ahead:
        step = ahead.pop()
        if step not in found:
            found.add(step)
            ahead.extend(edges[step])
    return frozenset(found)


def may_be_undone(spec: SagaSpec, state: SagaState, index: int) -> bool:
    """Reverse order: a step is undone once nothing that followed from it is in effect, or may still take effect.

    That is more than its successors: between two steps may stand one that has nothing to undo.
    """
    if state.steps[index].status is not StepStatus.COMPENSATING or state.steps[index].in_flight is not None:
        return False
    return all(
        state.steps[after].in_flight is None
        and state.steps[after].status not in {StepStatus.COMPENSATING, StepStatus.RUNNING}
        and not is_being_settled(spec, state, after)
        for after in descendants(spec, index)
    )
