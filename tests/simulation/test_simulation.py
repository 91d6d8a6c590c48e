"""The shipped engine in a world that fails, driven by seeds; and what makes such a run worth believing.

A failing seed is run again and made small by ``python -m tests.simulation --seed SEED --rounds 1``.
"""

import inspect
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
from saga.v1.event_pb2 import EVENT_TYPE_SAGA_STUCK, SagaStuck

import orchestrator
import participants
from orchestrator.core import machine
from orchestrator.definitions.registry import Registry
from orchestrator.engine import dispatch, engine, lease, takeover, watches, writer
from participants.kit import decisions
from tests.simulation import by_hand, checker, sends, witness
from tests.simulation.by_hand import FOLLOWED_BY
from tests.simulation.definitions import SETS, find_registry
from tests.simulation.mishaps import GROUPS
from tests.simulation.report import actions, explain, summary
from tests.simulation.world import Plan, Run, World, run

REGISTRIES = {name: find_registry(name) for name in SETS}
SEEDS = (*range(9), 13, 14, 17, 31)
REGRESSIONS: tuple[tuple[int, str, bool], ...] = (
    (1021, "shapes", False),
    (700, "shapes", True),
    (5121, "shipped", True),
    (5138, "odd", True),
    (40270, "shapes", True),
    (40462, "shapes", True),
)
"""Seeds that once found something, with the definitions that they found it with, and whether operators acted."""


def held(done: Run) -> Run:
    """The run, if no invariant was broken in it."""
    assert not done.violations, "\n".join(explain(done))
    return done


@pytest.fixture(scope="module")
def liveness_runs() -> list[Run]:
    names = list(REGISTRIES)
    return [held(run(Plan(seed, REGISTRIES[names[seed % len(names)]]))) for seed in SEEDS]


def test_whatever_failed_every_saga_ends_once_all_is_healed(liveness_runs: list[Run]) -> None:
    ends, _ = summary(liveness_runs)
    assert set(ends) <= {"COMPLETED", "COMPENSATED", "STUCK", "RESOLVED"}


def test_while_everything_fails_nothing_untrue_happens() -> None:
    runs = [held(run(Plan(seed, REGISTRIES["shipped"], heals=False, scale=2.0))) for seed in range(100, 106)]
    ends, _ = summary(runs)
    assert ends["COMPLETED"]
    assert ends["COMPENSATED"]


def test_every_kind_of_end_and_of_mishap_occurs(liveness_runs: list[Run]) -> None:
    """I10: or the runs prove nothing."""
    ends, mishaps = summary(liveness_runs)
    assert all(ends[name] for name in ("COMPLETED", "COMPENSATED", "STUCK", "RESOLVED")), ends
    wanted = [f"{group}:{kind}" for group, kinds in GROUPS.items() for kind in kinds]
    assert not [kind for kind in wanted if not mishaps[kind]], mishaps


def test_every_kind_of_action_is_granted_and_refused(liveness_runs: list[Run]) -> None:
    """I10 of operators: what nobody was ever granted, nobody saw go wrong."""
    acted = actions(liveness_runs)
    assert not [kind for kind in FOLLOWED_BY if not acted[f"granted {kind}"]], acted
    assert not [kind for kind in FOLLOWED_BY if not acted[f"refused {kind}"]], acted


def test_a_lossy_failover_loses_sagas_and_entries_and_each_is_named(liveness_runs: list[Run]) -> None:
    histories = [each.history for each in liveness_runs if each.history.failover is not None]
    lost = {saga_id: row for each in histories if each.failover for saga_id, row in each.failover.lost.items()}
    acknowledged = {ack.saga_id for each in histories for ack in each.acknowledged}
    assert acknowledged & set(lost), "some that a caller was told of"
    assert any(saga.lost for each in histories for saga in each.sagas.values())


def test_what_only_odd_definitions_have_occurs(liveness_runs: list[Run]) -> None:
    """Builders that raised, outcomes that nobody could find out, and questions that were asked again."""
    reasons = Counter(
        SagaStuck.FromString(entry.attributes).failure.reason
        for each in liveness_runs
        for saga in each.history.sagas.values()
        for entry in saga.journal
        if entry.kind == EVENT_TYPE_SAGA_STUCK
    )
    assert reasons["BUILDER_FAILED"], reasons
    assert reasons["OUTCOME_UNKNOWN"], reasons
    results = Counter(call.result for each in liveness_runs for call in each.history.deliveries)
    assert all(results[name] for name in ("read", "repeated", "absent")), results


def test_without_mishaps_every_saga_completes_with_one_call_for_each_step() -> None:
    done = held(run(Plan(1, REGISTRIES["shipped"], scale=0)))
    ends, _ = summary([done])
    assert ends == Counter(COMPLETED=done.plan.sagas)
    calls = Counter(sent.saga_id for sent in done.history.sent)
    assert all(
        calls[saga.saga_id] == len(done.history.shapes[saga.definition].after) for saga in done.history.sagas.values()
    )


def test_what_was_found_once_is_not_found_again() -> None:
    for seed, definitions, operated in REGRESSIONS:
        held(run(Plan(seed, REGISTRIES[definitions], operated=operated)))
    held(run(Plan(23, REGISTRIES["shipped"], sagas=60, scale=2.0)))
    held(run(Plan(9100, REGISTRIES["shapes"], heals=False)))
    held(run(Plan(30534, REGISTRIES["shipped"], heals=False)))


def test_a_seed_stands_for_one_run() -> None:
    one, other = (run(Plan(7, REGISTRIES["shipped"], sagas=60)) for _ in range(2))
    assert one.history == other.history
    assert one.fired == other.fired


def test_the_engine_and_the_barrier_that_run_are_the_shipped_ones() -> None:
    world = World(Plan(1, REGISTRIES["shapes"], sagas=0, scale=0, horizon_s=1.0))
    world.run()
    node = world.nodes[0].engine
    assert node is not None
    running = (node, node._writer, node._lease, node._takeover, node._watches, node._dispatcher, node._registry)
    shipped = (engine, writer, lease, takeover, watches, dispatch)
    assert [type(part).__module__ for part in running[:-1]] == [module.__name__ for module in shipped]
    assert type(node._registry) is Registry
    for module in (*shipped, machine):
        assert stands_in(module, orchestrator)
    assert stands_in(decisions, participants)


def test_the_checker_shares_no_code_with_what_it_judges() -> None:
    for module in (checker, witness, sends, by_hand):
        source = inspect.getsource(module)
        assert "orchestrator" not in source
        assert "participants.kit" not in source


def stands_in(module: ModuleType, package: ModuleType) -> bool:
    assert module.__file__ is not None
    return any(Path(module.__file__).is_relative_to(path) for path in package.__path__)
