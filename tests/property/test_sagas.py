"""Random sagas in worlds that fail: the invariants of the design hold on every path, and every kind of end is reached.

The world checks on the way, the verdict at the end; a ``Violation`` names the invariant. A failing example is printed
with its blob, a failing sweep with its seed.
"""

from collections import Counter

import pytest
from hypothesis import event, given, target
from hypothesis import strategies as st

from orchestrator.core.definition import StepKind
from orchestrator.core.inputs import OperatorAction
from orchestrator.core.state import SagaStatus
from tests.property.graphs import draw_spec, obeys_the_pivot_rule
from tests.property.sweep import sweep, world_of
from tests.property.tape import Tape
from tests.property.world import World

GRAPHS = st.binary(min_size=40, max_size=80)
FAULTS = st.binary(min_size=100, max_size=250)


@given(GRAPHS)
def test_random_graphs_obey_the_pivot_rule(graph: bytes) -> None:
    spec = draw_spec(Tape(graph))
    event(f"steps: {len(spec.steps)}, pivot: {spec.pivot is not None}")
    assert obeys_the_pivot_rule(spec)


@given(GRAPHS)
def test_without_faults_a_saga_is_completed_in_one_transition_for_each_event(graph: bytes) -> None:
    world = World(draw_spec(Tape(graph)), Tape(b""))
    assert world.run() is SagaStatus.COMPLETED
    needing_intent = sum(
        step.kind is StepKind.PIVOT or not (step.has_barrier or step.kind is StepKind.READ_ONLY)
        for step in world.spec.steps
    )
    assert len(world.store.entries) == 2 + len(world.spec.steps) + needing_intent


@given(GRAPHS, FAULTS)
def test_a_saga_ends_honestly_whatever_fails(graph: bytes, faults: bytes) -> None:
    world = World(draw_spec(Tape(graph)), Tape(faults))
    event(f"end: {world.run().name}")
    target(float(sum(world.faults.values())), label="faults")


@given(GRAPHS, FAULTS)
def test_a_saga_ends_honestly_after_a_lossy_failover(graph: bytes, faults: bytes) -> None:
    world = World(draw_spec(Tape(graph)), Tape(faults), lossy=True)
    event(f"end: {world.run().name}")
    target(float(world.faults["failover"]), label="failovers")


@given(GRAPHS, FAULTS)
def test_no_operator_can_break_an_invariant(graph: bytes, faults: bytes) -> None:
    world = World(draw_spec(Tape(graph)), Tape(faults), operated=True)
    event(f"end: {world.run().name}")
    target(float(world.faults["operator"]), label="actions")


@given(GRAPHS, FAULTS)
def test_no_operator_can_break_an_invariant_after_a_lossy_failover(graph: bytes, faults: bytes) -> None:
    world = World(draw_spec(Tape(graph)), Tape(faults), operated=True, lossy=True)
    event(f"end: {world.run().name}")
    target(float(world.faults["operator"]), label="actions")


MISHAPS = (
    *("crash", "takeover", "resume", "cancelled", "overdue", "stray", "zombie"),
    *("lose_answer", "lose_request", "give_up_on", "deliver_twice", "refuse", "poll", "busy", "misroute"),
    *("settled DONE", "settled TOMBSTONE"),
)


def reached(seen: Counter[str], *names: str) -> None:
    assert not [name for name in names if seen[name] == 0], f"the run proves nothing about these; it saw {seen}"


@pytest.mark.timeout(3600)
def test_every_end_and_every_fault_occurs(seeds: range) -> None:
    seen = sweep(seeds)
    reached(seen, "COMPLETED", "COMPENSATED", "STUCK", *MISHAPS)


@pytest.mark.timeout(3600)
def test_every_end_occurs_after_failovers_too(seeds: range) -> None:
    seen = sweep(seeds, lossy=True)
    reached(seen, "COMPLETED", "COMPENSATED", "STUCK", "failover", *MISHAPS)


@pytest.mark.timeout(3600)
def test_every_end_occurs_and_every_action_is_granted_when_operators_act(seeds: range) -> None:
    seen = sweep(seeds, operated=True)
    reached(seen, "COMPLETED", "COMPENSATED", "STUCK", "RESOLVED", *(f"granted {each.name}" for each in OperatorAction))
    reached(
        seen, *(f"refused {reason}" for reason in ("VERSION_CHANGED", "SAGA_STATE", "PAST_PIVOT", "STEP_NOT_FOUND"))
    )


def test_a_seed_stands_for_one_world() -> None:
    one, other = world_of(7), world_of(7)
    assert (one.run(), one.store.entries, one.faults) == (other.run(), other.store.entries, other.faults)
