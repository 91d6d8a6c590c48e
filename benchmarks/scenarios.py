"""What is measured, as data: who carries out the calls, against which participants, with how much in flight."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final


class Contender(StrEnum):
    """Who carries a saga's three calls out."""

    BARE = "bare client"
    """The load generator itself, with no durability at all: what every ratio is to."""
    ENGINE = "orchestrator"
    """One node, started through its typed front door, with the settings that it ships with."""


class Site(StrEnum):
    """Which participants are called."""

    TRIVIAL = "trivial"
    """One process that answers from memory at once."""
    REAL = "real"
    """Inventory, payment and shipping with their barriers, each on a database of its own."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the results. ``in_flight``: sagas under way at a time, a new one begun as soon as one ends."""

    site: Site
    in_flight: int
    contender: Contender


IN_FLIGHT: Final = (1, 64)


def scenarios(sites: Sequence[Site], in_flight: Sequence[int]) -> tuple[Scenario, ...]:
    """In the order of the results: contenders side by side."""
    return tuple(Scenario(*chosen) for chosen in product(sites, in_flight, Contender))


def rounds(chosen: Sequence[Scenario], repeats: int) -> Iterator[tuple[int, Scenario]]:
    """Every scenario once a round, in turn forwards and backwards, so that a drift of the machine hits all alike."""
    for repeat in range(repeats):
        for scenario in chosen if repeat % 2 == 0 else reversed(chosen):
            yield repeat, scenario
