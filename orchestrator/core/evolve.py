"""``dataclasses.replace`` for the core's states, made cheap: a saga of three steps is copied 28 times."""

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from operator import attrgetter
from typing import Any, Final, TypeVar

from orchestrator.core.state import SagaState, StepState

StateT = TypeVar("StateT", SagaState, StepState)


def _draft(state: type) -> tuple[Callable[..., Any], Callable[[Any], tuple[Any, ...]]]:
    """A class of the same slots that may still be written, and what reads them all."""
    names = [field.name for field in fields(state)]
    return make_dataclass(f"{state.__name__}Draft", names, slots=True, eq=False, repr=False), attrgetter(*names)


_DRAFTS: Final = {state: _draft(state) for state in (SagaState, StepState)}


def evolve(old: StateT, **changes: Any) -> StateT:
    """A copy with other values in the named fields. Raises ``AttributeError`` for a name that is no field.

    The copy is a draft until it is complete, and then becomes a state, which is frozen: their slots are the same.
    """
    kind = type(old)
    draft, read = _DRAFTS[kind]
    new = draft(*read(old))
    for name, value in changes.items():
        setattr(new, name, value)
    new.__class__ = kind
    return new  # type: ignore[no-any-return]  # it is one now
