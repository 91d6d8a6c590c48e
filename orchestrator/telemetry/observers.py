"""Several observers of one engine, none of which can harm it."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import structlog

from orchestrator.engine.observing import Observer

log = structlog.get_logger(__name__)

_TOLD: Final = tuple(name for name in vars(Observer) if not name.startswith("_"))


def together(observers: Sequence[Observer]) -> Observer:
    """One that tells each of them what it has a method of its own for. What one of them raises is logged, and goes no
    further: a saga must not get stuck over a number.
    """
    found = Observer()
    for name in _TOLD:
        hearing = [
            getattr(each, name) for each in observers if getattr(type(each), name) is not getattr(Observer, name)
        ]
        if hearing:
            setattr(found, name, _each(name, hearing))
    return found


def _each(name: str, methods: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(*given: Any, **named: Any) -> None:
        for method in methods:
            try:
                method(*given, **named)
            except Exception:
                log.exception("observer_failed", observer=type(method.__self__).__name__, told=name)  # type: ignore[attr-defined]  # bound methods all

    return tell
