"""Planted defects: each rule that is taken away must be missed. Otherwise the properties prove nothing."""

import pytest

from orchestrator.core import fold_by_hand, graph, operate, plan, steps
from orchestrator.core.definition import SagaSpec, StepKind
from orchestrator.core.events import CompensationCause, Failure, Phase, StepCompensated
from orchestrator.core.graph import ancestors, is_open
from orchestrator.core.move import Move
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaState, StepStatus
from tests.property.node import Node
from tests.property.participants import Bugs, Violation
from tests.property.sweep import sweep

SEEDS = range(1500)


def test_nothing_planted_nothing_found() -> None:
    sweep(range(300), barriers_only=True)


def test_a_barrier_without_tombstones() -> None:
    with pytest.raises(Violation, match=r"^(I3|I4)"):
        sweep(SEEDS, bugs=Bugs(no_tombstone=True), barriers_only=True)


def test_a_barrier_that_takes_older_epochs() -> None:
    with pytest.raises(Violation, match=r"^I5"):
        sweep(SEEDS, bugs=Bugs(no_epoch_check=True), barriers_only=True)


def test_undoing_in_the_order_of_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(spec: SagaSpec, state: SagaState, index: int) -> bool:
        step = state.steps[index]
        return (
            step.status is StepStatus.COMPENSATING
            and step.in_flight is None
            and all(state.steps[before].status is not StepStatus.COMPENSATING for before in ancestors(spec, index))
        )

    monkeypatch.setattr(plan, "may_be_undone", forward)
    with pytest.raises(Violation, match=r"^I3"):
        sweep(SEEDS, barriers_only=True)


def test_undoing_in_the_order_of_doing_is_seen_at_the_participants_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def any_order(_spec: SagaSpec, state: SagaState, index: int) -> bool:
        return state.steps[index].status is StepStatus.COMPENSATING and state.steps[index].in_flight is None

    monkeypatch.setattr(plan, "may_be_undone", any_order)
    monkeypatch.setattr(Node, "_check", lambda _self, _effect: None)
    with pytest.raises(Violation, match=r"^(I3: step \d+ was undone while|I4: step \d+ took effect after the undo)"):
        sweep(SEEDS, barriers_only=True)


def test_undoing_while_an_attempt_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(spec: SagaSpec, state: SagaState, index: int) -> bool:
        return state.steps[index].status is StepStatus.COMPENSATING and all(
            state.steps[after].status is not StepStatus.COMPENSATING for after in graph.descendants(spec, index)
        )

    monkeypatch.setattr(plan, "may_be_undone", hasty)
    monkeypatch.setattr(Move, "is_idle", lambda _self, step: step.in_flight is not Phase.COMPENSATION)
    monkeypatch.setattr(Move, "_cancel", lambda _self, **_: None)
    with pytest.raises(Violation, match=r"^I4"):
        sweep(SEEDS, barriers_only=True)


def test_calling_the_pivot_without_a_durable_intent(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan._plan_forward

    def careless(move: Move) -> None:
        pivot = move.spec.pivot
        if pivot is not None:
            step = move.state.steps[pivot]
            if step.status is StepStatus.PENDING and is_open(move.spec, move.state, pivot) and move.is_idle(step):
                move.issue(pivot, Phase.ACTION)
        planned(move)

    monkeypatch.setattr(plan, "_plan_forward", careless)
    with pytest.raises(Violation, match=r"^I3"):
        sweep(SEEDS, barriers_only=True)


def test_taking_an_unknown_outcome_for_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.ON_OUTCOME, Outcome.UNKNOWN, steps._rejected)
    with pytest.raises(Violation, match=r"^I3: COMPENSATED"):
        sweep(SEEDS, barriers_only=True)


def test_undoing_only_what_is_known_to_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def optimistic(move: Move, index: int, phase: Phase) -> None:
        """Takes a compensation of a step that never answered for needless."""
        if phase is Phase.COMPENSATION and move.state.steps[index].response is None:
            move.record(StepCompensated(index, 1, 0))
            plan.plan(move)
        else:
            issued(move, index, phase)

    issued = Move.issue
    monkeypatch.setattr(Move, "issue", optimistic)
    with pytest.raises(Violation, match=r"^(I3|I4)"):
        sweep(SEEDS, barriers_only=True)


def test_leaving_out_the_settling_of_a_pivot(monkeypatch: pytest.MonkeyPatch) -> None:
    def hopeful(move: Move, index: int, failure: Failure) -> None:
        if move.spec.steps[index].kind is StepKind.PIVOT:
            move.turn_around(CompensationCause.STEP_FAILED, index, failure)
        else:
            lost(move, index, failure)

    lost = steps.lose_step
    monkeypatch.setattr(steps, "lose_step", hopeful)
    with pytest.raises(Violation, match=r"^I3"):
        sweep(SEEDS, barriers_only=True)


def test_resolving_by_hand_without_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_by_hand, "is_settled_on_resolution", lambda *_: False)
    with pytest.raises(Violation, match=r"^(I4: a late call of step \d+ took effect after|I3: RESOLVED)"):
        sweep(SEEDS, operated=True, barriers_only=True)


def test_skipping_without_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "can_settle", lambda _step: False)
    with pytest.raises(Violation, match=r"^I3: (COMPLETED|COMPENSATED), and step"):
        sweep(SEEDS, operated=True, barriers_only=True)


def test_turning_a_stuck_saga_around_past_its_pivot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "is_past_pivot", lambda *_: False)
    with pytest.raises(Violation, match=r"^I3"):
        sweep(SEEDS, operated=True, barriers_only=True)


def test_calling_steps_of_a_paused_saga(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_plan_by_hand", lambda _move: False)
    with pytest.raises(Violation, match=r"while the saga is paused|something else than settling resolves"):
        sweep(SEEDS, operated=True, barriers_only=True)
