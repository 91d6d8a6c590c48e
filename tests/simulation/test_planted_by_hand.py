"""Defects about operators, planted one at a time: each must be seen."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from orchestrator.core import fold_by_hand, operate
from orchestrator.core.definition import SagaSpec
from orchestrator.core.events import Failure
from orchestrator.core.inputs import OperatorRequested
from orchestrator.core.state import SagaState
from orchestrator.engine import calls, dispatch
from orchestrator.engine.stored import SagaRequest
from tests.simulation.database import Database, shown
from tests.simulation.definitions import find_registry
from tests.simulation.test_planted import sees

SHAPES = find_registry("shapes")
ODD = find_registry("odd")


def test_an_action_granted_on_a_stale_version(monkeypatch: pytest.MonkeyPatch) -> None:
    why_not = operate.why_not

    def blind(spec: SagaSpec, state: SagaState, given: OperatorRequested, now_us: int) -> Failure | None:
        return why_not(spec, state, replace(given, expected_seq=state.seq), now_us)

    monkeypatch.setattr(operate, "why_not", blind)
    sees("I5: .* which is stale", SHAPES, operated=True)


def test_a_retry_under_the_epoch_that_its_operator_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "needs_claim", lambda *_: False)
    sees("I5: .* which its operator saw", SHAPES, operated=True)


def test_resolving_without_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_by_hand, "is_settled_on_resolution", lambda *_: False)
    sees("I3: state .* settled by hand|I4: .* took effect after", ODD, seeds=(56, 91, 94), operated=True)


def test_skipping_without_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "can_settle", lambda _step: False)
    sees("I3: state .* settled by hand|I4: .* took effect after", SHAPES, operated=True)


def test_turning_a_saga_around_past_its_pivot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "is_past_pivot", lambda *_: False)
    sees("I3", operated=True)


def test_making_the_queued_calls_of_a_paused_saga(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "can_be_cut_short", lambda _step: False)
    sees("I4: .* which is paused", SHAPES, operated=True)


def test_a_store_that_offers_a_request_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Database, node_id: UUID) -> Sequence[SagaRequest]:
        return [shown(request) for request in self.requests.values() if request.saga.owner == node_id]

    monkeypatch.setattr(Database, "pending_requests", forgetful)
    sees("I9: .* answers request", SHAPES, operated=True)
