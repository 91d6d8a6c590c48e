"""What it means for a saga that a participant has settled a step: done, done and undone, or never to run."""

from typing import Final

from orchestrator.core import events as ev
from orchestrator.core.definition import StepKind
from orchestrator.core.events import Failure, Phase
from orchestrator.core.inputs import StepSettled
from orchestrator.core.move import Move
from orchestrator.core.state import StepStatus
from orchestrator.core.steps import fail_step

PIVOT_DONE: Final = Failure(
    0,
    "PIVOT_DONE",
    "the pivot took effect, which a failover lost, and a step before it is undone: there is no way back",
)


def step_settled(move: Move, given: StepSettled) -> None:
    """Of a saga that goes forward."""
    step = move.state.steps[given.step]
    if step.in_flight is not Phase.SETTLE:
        return
    move.touch(given.step, in_flight=None, timer_us=None)
    if move.state.by_hand.is_resolving:
        move.record(ev.StepSettled(given.step, given.done, given.undone, given.response, given.duration_ms))
    elif given.done:
        move.record(ev.StepSucceeded(given.step, 0, given.response, given.duration_ms))
    elif any(index == given.step for index, _ in move.state.by_hand.skips):
        move.record(ev.StepSkipped(given.step))
    elif given.undone:
        failure = Failure(0, "SUPERSEDED", "the participant says that the action was done and undone")
        move.get_stuck(given.step, Phase.SETTLE, failure)
    else:
        failure = step.failure or Failure(0, "SETTLED", "the participant says that the action never ran")
        move.record(ev.StepRejected(given.step, 0, failure, given.duration_ms))
        fail_step(move, given.step, failure)


def settled_backward(move: Move, given: StepSettled) -> None:
    """Of one that goes back."""
    step = move.state.steps[given.step]
    if step.in_flight is not Phase.SETTLE:
        return
    move.touch(given.step, in_flight=None, timer_us=None)
    if step.status is not StepStatus.UNKNOWN:
        return  # the saga turned around while the step was settled to be skipped: it is undone whatever it was
    is_pivot = move.spec.steps[given.step].kind is StepKind.PIVOT
    if given.done and is_pivot and step.failure is None and not move.state.by_hand.is_resolving:
        # Nobody has been told yet. With a failure it was stuck here before, and an operator has it skipped.
        move.get_stuck(given.step, Phase.SETTLE, PIVOT_DONE)
    elif given.done and not move.state.by_hand.is_resolving:
        move.record(ev.StepSkipped(given.step))
    else:
        move.record(ev.StepSettled(given.step, given.done, given.undone, given.response, given.duration_ms))
