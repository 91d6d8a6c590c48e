"""What is due: the steps that can be called now, or the end that has been reached."""

from orchestrator.core import events as ev
from orchestrator.core.events import Failure, Phase
from orchestrator.core.graph import DONE, can_be_cut_short, is_being_settled, is_open, may_be_undone, needs_intent
from orchestrator.core.move import Move
from orchestrator.core.state import UNTOUCHED, SagaStatus, StepStatus


def plan(move: Move) -> None:
    """Asks for everything that the state allows and this node is not doing yet."""
    if move.state.by_hand is not UNTOUCHED and _plan_by_hand(move):
        return
    if move.state.status is SagaStatus.RUNNING:
        _plan_forward(move)
    elif move.state.status is SagaStatus.COMPENSATING:
        _plan_backward(move)


def _plan_by_hand(move: Move) -> bool:
    """Whether an operator has the last word on what is due: nothing while it is paused, settling for a resolution."""
    by_hand = move.state.by_hand
    if by_hand.is_resolving and move.state.status in {SagaStatus.RUNNING, SagaStatus.COMPENSATING}:
        ahead = [index for index in range(len(move.state.steps)) if is_being_settled(move.spec, move.state, index)]
        for index in ahead:
            if move.is_idle(move.state.steps[index]):
                move.issue(index, Phase.SETTLE)
        if not ahead:
            move.record(ev.SagaResolved())
        return True
    return bool(by_hand.paused_us)


def _plan_forward(move: Move) -> None:
    is_done = True
    for index, spec in enumerate(move.spec.steps):
        step = move.state.steps[index]
        if step.status in DONE:
            continue
        is_done = False
        if step.in_flight is not None or step.timer_us is not None:
            continue
        if step.status is StepStatus.RUNNING:
            move.issue(index, Phase.ACTION)
        elif step.status is StepStatus.UNKNOWN:
            move.issue(index, Phase.SETTLE)
        elif step.status is StepStatus.PENDING and needs_intent(spec) and is_open(move.spec, move.state, index):
            move.record(ev.StepIntended(index))
            move.issue(index, Phase.ACTION)
    if is_done:
        move.record(ev.SagaCompleted())


def _plan_backward(move: Move) -> None:
    for index, step in enumerate(move.state.steps):
        if step.status in {StepStatus.PENDING, StepStatus.RUNNING} and step.in_flight is None:
            # Without a barrier, and cut off by a crash: nobody can say whether there is something to undo.
            failure = Failure(0, "OUTCOME_UNKNOWN", "the participant keeps no barrier, and an attempt was cut off")
            move.record(ev.StepUnknown(index, 0, failure, 0))
            move.get_stuck(index, Phase.ACTION, failure)
            return
    busy = False
    for index, step in enumerate(move.state.steps):
        if may_be_undone(move.spec, move.state, index) and move.is_idle(step):
            move.issue(index, Phase.COMPENSATION)
        settling = is_being_settled(move.spec, move.state, index)
        if settling and move.is_idle(step):
            move.issue(index, Phase.SETTLE)  # its undo is to be skipped
        busy = busy or settling or step.in_flight is not None or step.status is StepStatus.COMPENSATING
    if not busy:
        _end_backward(move)


def _end_backward(move: Move) -> None:
    if move.state.by_hand.leaves_effects:
        move.record(ev.SagaResolved())  # nothing is called compensated that is not
        return
    for index, step in enumerate(move.state.steps):
        if step.had_unknown and not can_be_cut_short(move.spec.steps[index]):
            # It was undone, but an earlier attempt of it may still land, and no barrier would stop it.
            name = move.spec.steps[index].name
            message = f"step {name} was undone, but an attempt of unknown end may yet take effect: it keeps no barrier"
            move.get_stuck(None, Phase.ACTION, Failure(0, "OUTCOME_UNKNOWN", message))
            return
    move.record(ev.SagaCompensated())
