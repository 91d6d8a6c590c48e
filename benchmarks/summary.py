"""Medians over the repeats, ratios within a repeat, and costs a saga over all of them. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from statistics import median
from typing import Final, TypeAlias

from benchmarks.measure import Measurement
from benchmarks.scenarios import Contender, Feature, Scenario

Bases: TypeAlias = Mapping[tuple[Scenario, int], Measurement]
"""By scenario and repeat."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of the results. CPU in milliseconds a saga, WAL in bytes a saga, rates in sagas a second.

    ``engine_rate`` is how many times as many sagas the orchestrator carried out under the same conditions, and
    ``rate_to_plain`` a feature's rate to that of the orchestrator without it; None where there is nothing to compare.
    """

    scenario: Scenario
    sagas_per_s: float
    lowest_per_s: float
    highest_per_s: float
    p50_ms: float
    p99_ms: float
    rate_to_bare: float | None
    p50_to_bare: float | None
    engine_rate: float | None
    rate_to_plain: float | None
    server_ms: float
    worker_ms: float
    postgres_ms: float
    participants_ms: float
    load_ms: float
    wal_bytes: float
    fsyncs: float
    commits: float


def summarise(measurements: Sequence[Measurement]) -> list[Summary]:
    """A row for each scenario, in the order of its first measurement."""
    by_scenario: dict[Scenario, list[Measurement]] = {}
    for each in measurements:
        by_scenario.setdefault(each.scenario, []).append(each)
    bases = {(each.scenario, each.repeat): each for each in measurements}
    return [_summary(scenario, several, bases) for scenario, several in by_scenario.items()]


def _rate(this: Measurement, base: Measurement) -> float:
    return this.sagas_per_s / base.sagas_per_s if base.sagas_per_s else 0.0


def _rate_of_base(this: Measurement, base: Measurement) -> float:
    return _rate(base, this)


def _p50(this: Measurement, base: Measurement) -> float:
    return this.window.p50_ms / base.window.p50_ms if base.window.p50_ms else 0.0


def _ratio(
    several: Sequence[Measurement], bases: Bases, base: Scenario, of: Callable[[Measurement, Measurement], float]
) -> float | None:
    """The median of the ratios to the base's run in the same repeat; None if that was not measured."""
    found = [of(each, bases[base, each.repeat]) for each in several if (base, each.repeat) in bases]
    return median(found) if found else None


def _summary(scenario: Scenario, several: list[Measurement], bases: Bases) -> Summary:
    rates = [each.sagas_per_s for each in several]
    plain = replace(scenario, feature=Feature.NONE)
    alike = Feature.TLS if scenario.feature.is_guarded else Feature.NONE
    bare, engine = replace(plain, contender=Contender.BARE, feature=alike), replace(plain, contender=Contender.ENGINE)
    has_base = not scenario.feature or scenario.feature.is_guarded
    used = reduce(add, (each.used for each in several))
    # The counters are read a moment after the window's edges, so they are brought to its length.
    sagas = max(1.0, sum(each.sagas_per_s * each.used.taken_at for each in several))
    return Summary(
        scenario=scenario,
        sagas_per_s=median(rates),
        lowest_per_s=min(rates),
        highest_per_s=max(rates),
        p50_ms=median(each.window.p50_ms for each in several),
        p99_ms=median(each.window.p99_ms for each in several),
        rate_to_bare=_ratio(several, bases, bare, _rate) if has_base else None,
        p50_to_bare=_ratio(several, bases, bare, _p50) if has_base else None,
        engine_rate=None if scenario.feature else _ratio(several, bases, engine, _rate_of_base),
        rate_to_plain=_ratio(several, bases, plain, _rate) if scenario.feature else None,
        server_ms=used.server_cpu_s * 1000 / sagas,
        worker_ms=used.worker_cpu_s * 1000 / sagas,
        postgres_ms=used.postgres_cpu_s * 1000 / sagas,
        participants_ms=used.participants_cpu_s * 1000 / sagas,
        load_ms=sum(each.window.cpu_s for each in several) * 1000 / max(1, sum(each.window.sagas for each in several)),
        wal_bytes=used.wal_bytes / sagas,
        fsyncs=used.fsyncs / sagas,
        commits=used.commits / sagas,
    )


QUICK: Final[Mapping[str, bool]] = {
    "of bare at 64": True,
    "p50 to bare at 1": False,
    "p99 to p50 at 64": False,
    "fsyncs a saga at 64": False,
    "WAL KB a saga at 64": False,
    "node CPU ms a saga at 64": False,
}
"""What the quick benchmark tracks; True where more is better."""


def tracked(rows: Sequence[Summary]) -> dict[str, float]:
    """The values of :data:`QUICK`, from a run with trivial participants and 1 and 64 in flight. Raises ``KeyError``."""
    by = {row.scenario.in_flight: row for row in rows if row.scenario.contender is Contender.ENGINE}
    one, many = by[1], by[64]
    assert one.p50_to_bare is not None
    assert many.rate_to_bare is not None
    values = (
        many.rate_to_bare,
        one.p50_to_bare,
        many.p99_ms / many.p50_ms,
        many.fsyncs,
        many.wal_bytes / 1000,
        many.server_ms,
    )
    return dict(zip(QUICK, values, strict=True))
