"""What a saga cannot hold: a response that is not kept is no step undone, and a full journal ends the retries."""

from dataclasses import replace

import pytest

from orchestrator.core.definition import StepKind
from orchestrator.core.events import Failure, Phase
from orchestrator.core.inputs import BuildFailed, OperatorAction, OperatorRequested
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus, StepStatus
from tests.unit.core.build import C, Node, P, Play, R, saga

TOO_LARGE = Failure(0, "RESPONSE_TOO_LARGE", "it does not fit")


def ask(play: Play, action: OperatorAction) -> None:
    play.give(OperatorRequested(1, action, play.state.seq, None, None, "ann", "because"))


@pytest.mark.parametrize("barrier", [True, False])
def test_a_step_whose_response_cannot_be_kept_has_taken_effect(barrier: bool) -> None:
    play = Play(saga(Node("a", barrier=barrier)))
    play.give(BuildFailed(0, Phase.ACTION, TOO_LARGE, attempt=1))
    assert play.said() == ["StepUnknown a", "SagaStuck a"]
    step = play.step("a")
    assert (step.status, step.attempts, step.had_unknown) == (StepStatus.STUCK, 1, True)
    assert play.state.failure == TOO_LARGE
    assert play.replay() == play.state
    ask(play, OperatorAction.FORCE_COMPENSATION)
    assert "a.compensation" in play.asked()


def test_no_later_rejection_proves_that_it_did_not() -> None:
    play = Play(saga(Node("a", barrier=False)))
    play.give(BuildFailed(0, Phase.ACTION, TOO_LARGE, attempt=1))
    play.claim()
    ask(play, OperatorAction.RETRY)
    play.ends("a", Outcome.REJECTED)
    assert play.state.status is SagaStatus.STUCK
    assert "StepRejected a" not in play.said()


def test_a_pivot_whose_response_cannot_be_kept_leaves_no_way_back() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a"), Node("r", R, "p")))
    play.ends("a")
    play.give(BuildFailed(1, Phase.ACTION, TOO_LARGE, attempt=1))
    assert play.state.status is SagaStatus.STUCK
    ask(play, OperatorAction.FORCE_COMPENSATION)
    assert play.said() == ["RequestConsumed"], "refused"
    play.claim()
    ask(play, OperatorAction.RETRY)
    assert play.asked() == ["p.action"]
    play.ends("p")
    assert play.asked() == ["r.action"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [(C, ["StepUnknown a", "CompensationStarted a"]), (P, ["StepUnknown a"])],
)
def test_a_full_journal_ends_the_retries_as_a_spent_budget_does(kind: StepKind, said: list[str]) -> None:
    play = Play(saga(Node("a", kind)))
    play.policy = replace(play.policy, is_full=True)
    play.ends("a", Outcome.BUSY)
    assert play.said() == said


def test_a_full_journal_still_takes_a_success() -> None:
    play = Play(saga(Node("a")))
    play.policy = replace(play.policy, is_full=True)
    play.ends("a")
    assert play.state.status is SagaStatus.COMPLETED
