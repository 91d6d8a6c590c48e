"""Several observers hear what each has a method for."""

from typing import Any

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


def test_each_hears_its_own_and_what_nobody_hears_costs_no_more_than_that() -> None:
    one, other = Hears(), HearsMore()
    both = together([one, other])
    both.claimed(3)
    both.fenced()
    both.lease_failed()
    assert (one.heard, other.heard) == ([3], [3, "fenced"])
    assert type(together([])) is Observer
    assert vars(together([])) == {}
    assert set(vars(together([one]))) == {"claimed"}
    assert set(vars(both)) == {"claimed", "fenced"}


def test_what_one_raises_harms_neither_the_engine_nor_the_others() -> None:
    told: list[int] = []

    class Broken(Observer):
        def claimed(self, sagas: int) -> None:
            raise ZeroDivisionError("a defect")

    class Sound(Observer):
        def claimed(self, sagas: int) -> None:
            told.append(sagas)

    for order in ([Broken(), Sound()], [Sound(), Broken()], [Broken()]):
        together(order).claimed(3)
    assert told == [3, 3]
