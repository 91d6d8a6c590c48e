"""Several observers hear what each has a method for."""

from typing import Any, cast

from orchestrator.engine.observing import Observer
from orchestrator.telemetry.observers import together


class Hears(Observer):
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def claimed(self, sagas: int) -> None:
        self.heard.append(sagas)


class HearsMore(Hears):
    def fenced(self) -> None:
        self.heard.append("fenced")


def test_each_hears_its_own_and_a_single_one_is_called_directly() -> None:
    one, other = Hears(), HearsMore()
    both = together([one, other])
    both.claimed(3)
    both.fenced()
    both.lease_failed()
    assert (one.heard, other.heard) == ([3], [3, "fenced"])
    assert both.fenced == other.fenced
    assert type(together([])) is Observer
    assert cast("Any", together([one])).claimed == one.claimed
