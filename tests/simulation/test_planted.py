"""Defects planted in what is shipped, or in the store: each must be seen. A checker that passes one proves nothing."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from orchestrator.core import plan, steps
from orchestrator.core.definition import SagaSpec
from orchestrator.core.graph import ancestors
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaState, StepStatus
from orchestrator.definitions import contract
from orchestrator.definitions.registry import Registry, load_sagas
from orchestrator.engine import starts
from orchestrator.engine.ports import Answer
from orchestrator.engine.run import SagaRun
from orchestrator.engine.stored import NewSaga
from orchestrator.engine.writer import GroupWriter
from participants.kit import decisions
from participants.kit.decisions import ActionDecision, Row, Run
from participants.kit.table import BarrierState
from tests.simulation import sagas
from tests.simulation.database import Database
from tests.simulation.definitions import find_registry
from tests.simulation.mishaps import Mishaps
from tests.simulation.participants import Participants
from tests.simulation.shrink import Shrinker, callers, invariants
from tests.simulation.world import Plan, run, told

MAX_SEEDS = 40
SHIPPED = find_registry("shipped")


def fails_over(seed: int) -> bool:
    """Whether the seed draws a lossy failover."""
    return Mishaps(seed, lambda: 0.0, until_s=1.0, scale=2.0).pick("failover", "database") is not None


def sees(
    invariant: str, registry: Registry = SHIPPED, *, seeds: Iterable[int] = range(MAX_SEEDS), operated: bool = False
) -> None:
    """Fails unless some seed breaks the invariant. Operators act only where the defect is about them."""
    seen: set[str] = set()
    for seed in seeds:
        seen.update(run(Plan(seed, registry, sagas=60, scale=2.0, operated=operated)).violations)
        if any(re.match(invariant, text) for text in seen):
            return
    pytest.fail(f"no seed saw {invariant}; they saw {sorted(seen)[:5]}")


def test_a_barrier_that_takes_older_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(judge: Any) -> Any:
        return lambda row, epoch, *more: judge(row, max(epoch, row.epoch), *more)

    for name in ("judge_action", "judge_compensation", "judge_settle"):
        monkeypatch.setattr(decisions, name, careless(getattr(decisions, name)))
    sees("I5: .* was accepted under epoch")


def test_a_store_without_the_guard_of_owner_epoch_and_seq(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any one of the three holds off every zombie by itself: an owner is one process, and a claim takes a seq."""
    monkeypatch.setattr(Database, "may_move", lambda *_: True)
    sees("I5: entry|I9")


def test_a_store_without_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "holds_fence", lambda *_: True)
    sees("I5: .* after its fence")


def test_a_claim_that_does_not_raise_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "next_epoch", lambda _self, saga: saga.epoch)
    sees("I5: claim")


def test_a_store_that_forgets_the_incarnation(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a lossy failover: epochs come a second time, and nobody doubts what the journal says."""
    monkeypatch.setattr(Database, "next_epoch", lambda _self, saga: saga.epoch + 1)
    sees(
        "I8: stuck .*(STALE_EPOCH|SUPERSEDED)|I4: .* after the undo|I1: COMPLETED",
        seeds=(64, 66, 86),
    )


def test_a_standby_that_loses_what_was_replicated(monkeypatch: pytest.MonkeyPatch) -> None:
    recover = Database.recover
    monkeypatch.setattr(Database, "recover", lambda self, writes, upto_us: recover(self, writes, upto_us - 8_000_000))
    sees("I7: .* the standby had it", seeds=filter(fails_over, range(MAX_SEEDS)))


def test_taking_a_participant_for_one_with_a_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "_has_barrier", lambda _descriptor: True)
    sees("I3: COMPENSATED, and (put|send) is in effect", load_sagas([sagas.bare, sagas.bare_pivot]))


def test_a_barrier_without_tombstones(monkeypatch: pytest.MonkeyPatch) -> None:
    undo = Participants._undo

    def forgetful(self: Participants, saga_id: str, step: str, epoch: int) -> tuple[str, Answer]:
        result, answer = undo(self, saga_id, step, epoch)
        if result == "buried":
            del self.rows[saga_id, step]
        return result, answer

    monkeypatch.setattr(Participants, "_undo", forgetful)
    sees("I4: .* took effect after its undo")


def test_effects_that_begin_before_their_events_are_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: SagaRun) -> None:
        while self._held and not self.dropped:
            for effect in self._held.popleft()[1]:
                self._host.carry_out(self, effect)

    monkeypatch.setattr(SagaRun, "release_effects", hasty)
    sees("I4: .* called .* was durable|I4: .* before turning around|I7: .* never stored")


def test_undoing_in_the_order_of_doing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(spec: SagaSpec, state: SagaState, index: int) -> bool:
        step = state.steps[index]
        return (
            step.status is StepStatus.COMPENSATING
            and step.in_flight is None
            and all(state.steps[before].status is not StepStatus.COMPENSATING for before in ancestors(spec, index))
        )

    monkeypatch.setattr(plan, "may_be_undone", forward)
    sees("I3: .* was undone while")


def test_a_barrier_without_the_payload_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = decisions.judge_action

    def trusting(row: Row, epoch: int, _request_hash: bytes) -> ActionDecision:
        return judge(row, epoch, row.request_hash or b"")

    monkeypatch.setattr(decisions, "judge_action", trusting)
    sees("I2: .* two payloads")


def test_a_start_without_the_payload_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind:
        """Finds all requests alike."""

        @staticmethod
        def sha256(_data: bytes) -> "Blind":
            return Blind()

        @staticmethod
        def digest() -> bytes:
            return b"alike"

    monkeypatch.setattr(starts, "hashlib", Blind)
    sees("I7: .* stored differently")


def test_a_barrier_that_runs_an_action_again(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = decisions.judge_action

    def forgetful(row: Row, epoch: int, request_hash: bytes) -> ActionDecision:
        return Run() if row.state is BarrierState.DONE else judge(row, epoch, request_hash)

    monkeypatch.setattr(decisions, "judge_action", forgetful)
    sees("I2: .* took effect 2 times")


def test_taking_an_unknown_outcome_for_a_rejection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.ON_OUTCOME, Outcome.UNKNOWN, steps._rejected)
    sees("I3: COMPENSATED")


def test_taking_a_refused_checkpoint_for_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async def trusting(_self: GroupWriter, _node_id: UUID, missing: dict[UUID, Any]) -> frozenset[UUID]:
        return frozenset(missing)

    monkeypatch.setattr(GroupWriter, "_find_landed", trusting)
    sees("I7|I9|I4|I8")


def test_a_start_that_is_acknowledged_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = Database._insert

    def lossy(self: Database, node_id: UUID, new: NewSaga) -> bool:
        return new.saga_id.int % 7 == 0 or insert(self, node_id, new)

    monkeypatch.setattr(Database, "_insert", lossy)
    sees("I7: .* is lost|I7: .* never stored")


def test_a_failing_seed_is_shrunk_to_what_it_needs_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = decisions.judge_action
    monkeypatch.setattr(decisions, "judge_action", lambda row, epoch, _hash: judge(row, epoch, row.request_hash or b""))
    runs = (run(Plan(seed, SHIPPED, sagas=60, scale=2.0, operated=False)) for seed in range(MAX_SEEDS))
    failing = next(each for each in runs if invariants(each) == {"I2"})
    shrinker = Shrinker(failing)
    small = shrinker.shrink()
    assert shrinker.is_minimal
    assert len(callers(small.plan)) == 1
    assert small.plan.nodes == 1
    names = frozenset(map(str, small.fired))
    assert any("altered" in name for name in names)
    for name in names:
        assert not run(replace(small.plan, only=names - {name})).violations, name
    again = told(small.plan)
    assert again.violations == small.violations
    assert any("altered" in line for line in again.transcript)
