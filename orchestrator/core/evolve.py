"""``dataclasses.replace`` for the core's states, made cheap: a saga of three steps is copied 28 times."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

from orchestrator.core.quick import draft_of, written
from orchestrator.core.state import SagaState, StepState


def _evolver(state: type, **reset: Any) -> Callable[..., Any]:
    """What copies states of one kind. Of a field in ``reset`` that value is in the copy, unless another is named."""
    names = [field.name for field in fields(state)]
    usual = ", ".join(f"{name}={f'RESET[{name!r}]' if name in reset else 'KEPT'}" for name in names)
    copies = [f"new.{name} = old.{name} if {name} is KEPT else {name}" for name in names]
    lines = ["new = make(Draft)", *copies, "new.__class__ = State", "return new"]
    used = {"KEPT": object(), "RESET": reset, "Draft": draft_of(state), "State": state, "make": object.__new__}
    return written(f"def evolver(old, *, {usual}):", lines, used)


evolve_saga: Final[Callable[..., SagaState]] = _evolver(SagaState)
"""A copy of a saga with other values in the named fields. Raises ``TypeError`` for a name that is no field."""
evolve_step: Final[Callable[..., StepState]] = _evolver(StepState)
"""The same of a step."""
end_step: Final[Callable[..., StepState]] = _evolver(
    StepState, in_flight=None, timer_us=None, next_attempt_us=0, blocked=None
)
"""The step after an attempt ended: nothing in flight, no timer, nothing blocked, unless it is named."""
