"""Plans: the calls that an action would make, in order, and what it would come to."""

import pytest
from saga.v1 import operator_pb2 as op
from saga.v1 import saga_pb2

from orchestrator.core.backoff import CorePolicy
from orchestrator.core.events import Failure, Phase, SagaStuck, StepRejected, StepSucceeded
from orchestrator.core.fold import fold, initial
from orchestrator.core.inputs import Begun, OperatorAction, OperatorRequested
from orchestrator.core.machine import advance
from orchestrator.core.state import SagaState
from orchestrator.definitions.registry import load_modules
from orchestrator.operations.planning import plan_action

POLICY = CorePolicy()
NOW_US = 1_790_000_000_000_000
NO = Failure(9, "NO", "no")
DEFINITION = load_modules(["orchestrator.definitions.shipped"]).find("place-order", 2)
assert DEFINITION is not None
SPEC = DEFINITION.spec
NAMES = [step.name for step in SPEC.steps]


def begun() -> SagaState:
    state = initial(SPEC, "0190-saga")
    return advance(SPEC, state, Begun(1, NOW_US + 600_000_000), NOW_US, POLICY).state


def stuck_at(index: int) -> SagaState:
    """Everything before the step succeeded, and it was rejected where that is no way back."""
    state = begun()
    for before in range(index):
        state = fold(SPEC, state, StepSucceeded(before, 1, b"", 0), at_us=NOW_US, epoch=1)
    state = fold(SPEC, state, StepRejected(index, 1, NO, 0), at_us=NOW_US, epoch=1)
    return fold(SPEC, state, SagaStuck(index, Phase.ACTION, NO), at_us=NOW_US, epoch=1)


def plan(state: SagaState, action: OperatorAction, response: bytes | None = None) -> op.ActionPlan:
    assert DEFINITION is not None
    asked = OperatorRequested(0, action, state.seq, None, response)
    return plan_action(DEFINITION, state, asked, NOW_US + 1, POLICY)


def test_a_retry_names_the_call_and_what_follows_from_it() -> None:
    last = len(NAMES) - 1
    found = plan(stuck_at(last), OperatorAction.RETRY)
    assert [(call.step, call.phase, call.follows) for call in found.calls] == [
        (NAMES[last], saga_pb2.PHASE_ACTION, False)
    ]
    assert (found.allowed, found.expected_end) == (True, saga_pb2.SAGA_STATE_COMPLETED)
    assert found.calls[0].method.startswith(found.calls[0].participant + "/")


def test_forced_compensation_lists_every_undo_or_is_refused() -> None:
    found = plan(stuck_at(1), OperatorAction.FORCE_COMPENSATION)
    assert {call.step for call in found.calls} == set(NAMES[:2]), "they stand side by side"
    assert {call.phase for call in found.calls} == {saga_pb2.PHASE_COMPENSATION}
    assert found.expected_end == saga_pb2.SAGA_STATE_COMPENSATED
    assert SPEC.pivot is not None
    past = plan(stuck_at(SPEC.pivot), OperatorAction.FORCE_COMPENSATION)
    assert (past.allowed, past.refusal.reason, list(past.calls)) == (False, "PAST_PIVOT", [])


def test_a_resolution_settles_and_calls_nothing_else() -> None:
    found = plan(stuck_at(1), OperatorAction.RESOLVE)
    assert {call.phase for call in found.calls} == {saga_pb2.PHASE_SETTLE}
    assert {call.method for call in found.calls} == {"saga.v1.ParticipantService/Settle"}
    assert found.expected_end == saga_pb2.SAGA_STATE_RESOLVED


def test_skipping_the_pivot_warns() -> None:
    assert SPEC.pivot is not None
    found = plan(stuck_at(SPEC.pivot), OperatorAction.SKIP_STEP, b"")
    assert found.calls[0].phase == saga_pb2.PHASE_SETTLE
    assert found.expected_end == saga_pb2.SAGA_STATE_COMPLETED
    assert any("pivot" in warning for warning in found.warnings)


def test_a_pause_calls_nothing() -> None:
    found = plan(begun(), OperatorAction.PAUSE)
    assert (found.allowed, list(found.calls), found.state_after) == (True, [], saga_pb2.SAGA_STATE_RUNNING)


@pytest.mark.parametrize("action", [OperatorAction.RETRY, OperatorAction.RESOLVE, OperatorAction.RESUME])
def test_what_is_refused_says_why(action: OperatorAction) -> None:
    found = plan(begun(), action)
    assert not found.allowed
    assert found.refusal.message
    assert not found.calls
