"""``dataclasses.replace`` for the core's states, made cheap: a saga of three steps is copied 28 times."""

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from typing import Any, Final

from orchestrator.core.state import SagaState, StepState


def _evolver(state: type, **reset: Any) -> Callable[..., Any]:
    """What copies states of one kind: one function with all its fields written out, as dataclasses make their own. Of
    a field in ``reset`` that value is in the copy, unless another is named.

    The copy is a draft until it is complete, of a class of the same slots that may still be written. Then it becomes a
    state, which is frozen.
    """
    names = [field.name for field in fields(state)]
    draft = make_dataclass(f"{state.__name__}Draft", names, slots=True, eq=False, repr=False)
    lines = [f"new.{name} = old.{name} if {name} is KEPT else {name}" for name in names]
    usual = ", ".join(f"{name}={f'RESET[{name!r}]' if name in reset else 'KEPT'}" for name in names)
    source = f"def evolver(old, *, {usual}):\n new = make(Draft)\n "
    source += "\n ".join([*lines, "new.__class__ = State", "return new"])
    made: dict[str, Any] = {"KEPT": object(), "RESET": reset, "Draft": draft, "State": state, "make": object.__new__}
    exec(source, made)  # noqa: S102  (names of fields are all that varies)
    return made["evolver"]  # type: ignore[no-any-return]  # it is the function of this name


evolve_saga: Final[Callable[..., SagaState]] = _evolver(SagaState)
"""A copy of a saga with other values in the named fields. Raises ``TypeError`` for a name that is no field."""
evolve_step: Final[Callable[..., StepState]] = _evolver(StepState)
"""The same of a step."""
end_step: Final[Callable[..., StepState]] = _evolver(
    StepState, in_flight=None, timer_us=None, next_attempt_us=0, blocked=None
)
"""The step after an attempt ended: nothing in flight, no timer, nothing blocked, unless it is named."""
