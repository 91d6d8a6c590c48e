"""Medians, ratios within a repeat and costs, from made-up measurements."""

from dataclasses import replace

import pytest

from benchmarks.counters import Usage
from benchmarks.load import Window
from benchmarks.measure import Measurement
from benchmarks.scenarios import Contender, Feature, Scenario, Site
from benchmarks.summary import QUICK, summarise, tracked

USED = Usage(
    taken_at=2.0,
    server_cpu_s=0.2,
    worker_cpu_s=0.0,
    postgres_cpu_s=0.1,
    participants_cpu_s=0.1,
    machine_cpu_s=1.0,
    wal_bytes=600_000.0,
    fsyncs=80.0,
    commits=60.0,
)


def run(contender: Contender, sagas: int, repeat: int = 0, in_flight: int = 64, p50_ms: float = 10.0) -> Measurement:
    scenario = Scenario(Site.TRIVIAL, in_flight, contender)
    return Measurement(scenario, repeat, Window(sagas, 2.0, p50_ms, 2 * p50_ms, 0.1), USED)


def test_rates_are_medians_and_ratios_are_taken_within_a_repeat() -> None:
    rows = summarise(
        [
            *(run(Contender.BARE, sagas, repeat) for repeat, sagas in enumerate((400, 100, 1000))),
            *(run(Contender.ENGINE, sagas, repeat) for repeat, sagas in enumerate((200, 80, 100))),
            *(run(Contender.DBOS, sagas, repeat) for repeat, sagas in enumerate((20, 20, 20))),
        ]
    )
    bare, engine, dbos = rows
    assert (engine.sagas_per_s, engine.lowest_per_s, engine.highest_per_s) == (50, 40, 100)
    assert engine.rate_to_bare == 0.5
    assert bare.rate_to_bare == 1
    assert dbos.engine_rate == 5


def test_costs_are_those_of_a_saga() -> None:
    [row] = summarise([run(Contender.ENGINE, 200)])
    assert row.server_ms == pytest.approx(1.0)
    assert row.wal_bytes == pytest.approx(3000)
    assert row.fsyncs == pytest.approx(0.4)
    assert row.rate_to_bare is None


def test_a_feature_is_compared_with_the_same_run_without_it() -> None:
    plain = run(Contender.ENGINE, 200)
    with_feature = replace(run(Contender.ENGINE, 150), scenario=replace(plain.scenario, feature=Feature.RETRIES))
    feature = summarise([plain, with_feature])[1]
    assert feature.rate_to_plain == 0.75
    assert feature.rate_to_bare is None


def test_a_run_without_a_single_saga_has_rates_of_zero() -> None:
    rows = summarise([run(Contender.BARE, 0, p50_ms=0.0), run(Contender.ENGINE, 0, p50_ms=0.0)])
    assert [row.rate_to_bare for row in rows] == [0, 0]


def test_what_is_tracked_comes_from_the_orchestrator_at_1_and_64() -> None:
    rows = summarise(
        [
            run(Contender.BARE, 400),
            run(Contender.ENGINE, 200),
            run(Contender.BARE, 40, in_flight=1, p50_ms=2.0),
            run(Contender.ENGINE, 20, in_flight=1, p50_ms=6.0),
        ]
    )
    values = tracked(rows)
    assert list(values) == list(QUICK)
    assert values["of bare at 64"] == 0.5
    assert values["p50 to bare at 1"] == 3
    assert values["p99 to p50 at 64"] == 2
