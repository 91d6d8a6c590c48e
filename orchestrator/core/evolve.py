"""``dataclasses.replace`` for the core's states, made cheap: a saga of three steps is copied 28 times."""

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from typing import Any, Final

from orchestrator.core.state import SagaState, StepState


def _evolver(state: type) -> Callable[..., Any]:
    """What copies states of one kind: one function with all its fields written out, as dataclasses make their own.

    The copy is a draft until it is complete, of a class of the same slots that may still be written. Then it becomes a
    state, which is frozen.
    """
    names = [field.name for field in fields(state)]
    draft = make_dataclass(f"{state.__name__}Draft", names, slots=True, eq=False, repr=False)
    lines = [f"new.{name} = old.{name} if {name} is KEPT else {name}" for name in names]
    source = f"def evolver(old, *, {', '.join(f'{name}=KEPT' for name in names)}):\n new = make(Draft)\n "
    source += "\n ".join([*lines, "new.__class__ = State", "return new"])
    made: dict[str, Any] = {"KEPT": object(), "Draft": draft, "State": state, "make": object.__new__}
    exec(source, made)  # noqa: S102  (names of fields are all that varies)
    return made["evolver"]  # type: ignore[no-any-return]  # it is the function of this name


evolve_saga: Final[Callable[..., SagaState]] = _evolver(SagaState)
"""A copy of a saga with other values in the named fields. Raises ``TypeError`` for a name that is no field."""
evolve_step: Final[Callable[..., StepState]] = _evolver(StepState)
"""The same of a step."""
