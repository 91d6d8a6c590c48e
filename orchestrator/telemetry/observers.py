"""Several observers of one engine."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from orchestrator.engine.observing import Observer

_TOLD: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


def together(observers: Sequence[Observer]) -> Observer:
    """One that tells each of them what it has a method of its own for; what a single one hears costs nothing more."""
    found = Observer()
    for name in _TOLD:
        hearing = [
            getattr(each, name) for each in observers if getattr(type(each), name) is not getattr(Observer, name)
        ]
        if hearing:
            setattr(found, name, hearing[0] if len(hearing) == 1 else _each(hearing))
    return found


def _each(methods: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(*given: Any, **named: Any) -> None:
        for method in methods:
            method(*given, **named)

    return tell
