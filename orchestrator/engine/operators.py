"""Operators' requests on their way into the core: what they ask, and whether their saga can hear it now."""

from orchestrator.core.inputs import OperatorAction, OperatorRequested
from orchestrator.core.state import SagaStatus
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import SagaRequest

_ACTIONS = {action.name.lower(): action for action in OperatorAction}
_IN_PLACE = frozenset({OperatorAction.FORCE_COMPENSATION, OperatorAction.PAUSE, OperatorAction.RESUME})
"""What needs no higher epoch: everything else is heard after a claim, or a stored verdict would be replayed."""


def operator_request(request: SagaRequest, names: tuple[str, ...]) -> OperatorRequested | None:
    """The core's input; None for a kind or a step that this program does not know."""
    action = _ACTIONS.get(request.kind)
    if action is None or (request.step is not None and request.step not in names):
        return None
    step = None if request.step is None else names.index(request.step)
    return OperatorRequested(
        request.number,
        action,
        request.expected_seq or 0,
        step,
        request.response,
        request.caller,
        request.reason,
    )


def is_on_its_way_out(run: SagaRun) -> bool:
    """Whether the saga got stuck just now: it is let go, and claimed again for the request, under a higher epoch."""
    return run.state.status is SagaStatus.STUCK and run.durable_status is not SagaStatus.STUCK


def needs_claim(run: SagaRun, given: OperatorRequested) -> bool:
    """Whether the saga must be claimed before it hears the request. One that comes too late is refused right away."""
    if given.action in _IN_PLACE or given.expected_seq < run.state.moved_seq:
        return False
    return run.resumed_seq <= given.expected_seq
