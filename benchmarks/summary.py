"""Medians over the repeats, ratios within a repeat, and costs a saga over all of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import median

from benchmarks.measure import Measurement
from benchmarks.scenarios import Contender, Scenario, Site


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the results. CPU in milliseconds a saga, WAL in bytes a saga, rates in sagas a second."""

    scenario: Scenario
    sagas_per_s: float
    lowest_per_s: float
    highest_per_s: float
    p50_ms: float
    p99_ms: float
    rate_to_bare: float
    p50_to_bare: float
    node_ms: float
    postgres_ms: float
    participants_ms: float
    load_ms: float
    wal_bytes: float
    fsyncs: float
    commits: float


def summarise(measurements: Sequence[Measurement]) -> list[Summary]:
    """A row for each scenario, in the order of its first measurement. Needs one of the bare client for every other."""
    by_scenario: dict[Scenario, list[Measurement]] = {}
    for each in measurements:
        by_scenario.setdefault(each.scenario, []).append(each)
    bare = {(each.scenario.site, each.scenario.in_flight, each.repeat): each for each in measurements if is_bare(each)}
    return [_summary(scenario, several, bare) for scenario, several in by_scenario.items()]


def is_bare(measurement: Measurement) -> bool:
    """True if it is one that ratios refer to."""
    return measurement.scenario.contender is Contender.BARE


def _summary(scenario: Scenario, several: list[Measurement], bare: dict[tuple[Site, int, int], Measurement]) -> Summary:
    rates = [each.sagas_per_s for each in several]
    paired = [(each, bare[scenario.site, scenario.in_flight, each.repeat]) for each in several]
    used = reduce(add, (each.used for each in several))
    # The counters are read a moment after the window's edges, so they are brought to its length.
    sagas = sum(each.sagas_per_s * each.used.taken_at for each in several)
    return Summary(
        scenario=scenario,
        sagas_per_s=median(rates),
        lowest_per_s=min(rates),
        highest_per_s=max(rates),
        p50_ms=median(each.window.p50_ms for each in several),
        p99_ms=median(each.window.p99_ms for each in several),
        rate_to_bare=median(each.sagas_per_s / base.sagas_per_s for each, base in paired),
        p50_to_bare=median(each.window.p50_ms / base.window.p50_ms for each, base in paired),
        node_ms=used.node_cpu_s * 1000 / sagas,
        postgres_ms=used.postgres_cpu_s * 1000 / sagas,
        participants_ms=used.participants_cpu_s * 1000 / sagas,
        load_ms=sum(each.window.cpu_s for each in several) * 1000 / sum(each.window.sagas for each in several),
        wal_bytes=used.wal_bytes / sagas,
        fsyncs=used.fsyncs / sagas,
        commits=used.commits / sagas,
    )
