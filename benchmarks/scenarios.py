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
    HAND_WRITTEN = "hand-written"
    """An application's own coordinator with SQLAlchemy: a commit before and after every step."""
    DBOS = "DBOS"
    RESTATE = "Restate"
    TEMPORAL = "Temporal"


PEERS: Final = (Contender.HAND_WRITTEN, Contender.DBOS, Contender.RESTATE, Contender.TEMPORAL)
"""What the orchestrator is compared with. All but the first live in environments of their own."""


class Site(StrEnum):
    """Which participants are called."""

    TRIVIAL = "trivial"
    """One process that answers from memory at once."""
    REAL = "real"
    """Inventory, payment and shipping with their barriers, each on a database of its own."""


class Feature(StrEnum):
    """What the orchestrator is asked to do beyond three calls one after the other."""

    NONE = ""
    RETRIES = "retries: 1 call in 10 is UNAVAILABLE"
    SIDE_BY_SIDE = "the same three steps in parallel"
    SIX_STEPS = "place-order v2: six steps, two pairs parallel, a pivot"
    TELEMETRY = "metrics and traces, to a collector, at the share that ships"
    TLS = "mutual TLS on every channel, callers known by a policy"
    ALL = "telemetry, mutual TLS and a policy"

    @property
    def is_guarded(self) -> bool:
        """Whether every channel speaks mutual TLS."""
        return self in {Feature.TLS, Feature.ALL}

    @property
    def is_observed(self) -> bool:
        """Whether metrics and traces go to a collector."""
        return self in {Feature.TELEMETRY, Feature.ALL}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the results.

    ``in_flight``: sagas under way at a time, a new one begun as soon as one ends. ``refused``: the share of the orders,
    0 to 1, that the last step refuses, so that the steps before it are undone.
    """

    site: Site
    in_flight: int
    contender: Contender
    refused: float = 0.0
    feature: Feature = Feature.NONE

    @property
    def conditions(self) -> tuple[Site, int, float]:
        """Contenders under the same conditions are compared."""
        return self.site, self.in_flight, self.refused

    def __str__(self) -> str:
        told = f"{self.site} participants, {self.in_flight} in flight, {self.refused:.0%} refused, {self.contender}"
        return f"{told}, {self.feature}" if self.feature else told


IN_FLIGHT: Final = (1, 64, 512)
REFUSED: Final = (0.0, 0.1)
FEATURE_IN_FLIGHT: Final = 64
REAL_IN_FLIGHT: Final = (1, 64)
BARE_FIRST: Final = (Contender.BARE, Contender.ENGINE)


def scenarios(
    sites: Sequence[Site], in_flight: Sequence[int], refused: Sequence[float], peers: Sequence[Contender]
) -> tuple[Scenario, ...]:
    """In the order of the results: contenders side by side. Peers call trivial participants alone."""
    found: list[Scenario] = []
    for site, share, flying in product(sites, refused, in_flight):
        if site is Site.REAL and flying not in REAL_IN_FLIGHT:
            continue  # the participants' databases are all that would be measured
        contenders = (*BARE_FIRST, *peers) if site is Site.TRIVIAL else BARE_FIRST
        found += [Scenario(site, flying, contender, share) for contender in contenders]
    return tuple(found)


def features() -> tuple[Scenario, ...]:
    """The orchestrator with each feature, and what it is compared with: its own run without, bare calls by TLS."""
    plain = tuple(Scenario(Site.TRIVIAL, FEATURE_IN_FLIGHT, contender) for contender in BARE_FIRST)
    each = tuple(
        Scenario(Site.TRIVIAL, FEATURE_IN_FLIGHT, Contender.ENGINE, 0.0, feature)
        for feature in Feature
        if feature is not Feature.NONE
    )
    guarded = tuple(
        Scenario(Site.TRIVIAL, in_flight, contender, 0.0, feature)
        for in_flight in (1, FEATURE_IN_FLIGHT)
        for contender, feature in ((Contender.BARE, Feature.TLS), (Contender.ENGINE, Feature.ALL))
    )
    return tuple(dict.fromkeys((*plain, *each, *guarded)))


def rounds(chosen: Sequence[Scenario], repeats: int) -> Iterator[tuple[int, Scenario]]:
    """Every scenario once a round, in turn forwards and backwards, so that a drift of the machine hits all alike."""
    for repeat in range(repeats):
        for scenario in chosen if repeat % 2 == 0 else reversed(chosen):
            yield repeat, scenario
