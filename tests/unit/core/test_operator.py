"""What operators may do to a saga, what it does, and what is refused with which reason."""

import pytest

from orchestrator.core.events import Failure, Phase, RequestConsumed
from orchestrator.core.inputs import (
    AttemptCancelled,
    BuildFailed,
    CancelRequested,
    DeadlineReached,
    OperatorAction,
    OperatorRequested,
    StepSettled,
)
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus, StepStatus
from tests.unit.core.build import NO, Node, P, Play, Q, R, saga

A = OperatorAction
BROKEN = Failure(0, "BUILDER_FAILED", "")
LINE = (Node("a"), Node("b", after="a"), Node("c", after="b"))
PIVOTED = (Node("a"), Node("p", P, "a"), Node("r", R, "p"))


def ask(
    play: Play, action: OperatorAction, name: str | None = None, response: bytes | None = None, seen: int | None = None
) -> Failure | None:
    """Claims the saga for an operator's request, as an owner does, and returns why it was refused."""
    expected = play.state.seq if seen is None else seen
    if action not in {A.PAUSE, A.RESUME, A.FORCE_COMPENSATION} or play.state.status is SagaStatus.STUCK:
        play.claim(after_s=0.0)
    step = None if name is None else play.index(name)
    play.give(OperatorRequested(1, action, expected, step, response, "ann", "because"))
    consumed = play.events[0]
    assert isinstance(consumed, RequestConsumed)
    assert (consumed.kind, consumed.caller, consumed.reason) == (action.name.lower(), "ann", "because")
    return consumed.refusal


def refused(refusal: Failure | None) -> str:
    return "" if refusal is None else refusal.reason


def stuck_forward(nodes: tuple[Node, ...], at: str) -> Play:
    """Stuck at the action of a step: what came before is done."""
    play = Play(saga(*nodes))
    for node in nodes:
        if node.name == at:
            play.give(BuildFailed(play.index(at), Phase.ACTION, BROKEN))
            break
        play.ends(node.name)
    assert play.state.status is SagaStatus.STUCK
    return play


def stuck_backward() -> Play:
    """Stuck at the undo of b."""
    play = Play(saga(*LINE))
    for name in ("a", "b"):
        play.ends(name)
    play.ends("c", Outcome.REJECTED)
    play.ends("b", Outcome.REFUSED)
    assert play.state.status is SagaStatus.STUCK
    return play


def settle(play: Play, name: str, *, done: bool, undone: bool = False) -> None:
    play.give(StepSettled(play.index(name), done, undone, b"own" if done else b""))


def test_a_retry_goes_on_where_it_was_stuck_under_a_higher_epoch() -> None:
    play = stuck_forward(LINE, "b")
    epoch = play.epoch
    assert ask(play, A.RETRY) is None
    assert (play.said(), play.asked()) == (["RequestConsumed", "StepRetried b"], ["b.action"])
    assert play.epoch > epoch
    assert (play.state.status, play.state.failure) == (SagaStatus.RUNNING, None)
    play.ends("b")
    play.ends("c")
    assert play.state.status is SagaStatus.COMPLETED


def test_a_retry_overrides_a_deadline_that_has_passed() -> None:
    play = stuck_forward(LINE, "b")
    play.now_us = play.state.deadline_us + 1
    ask(play, A.RETRY)
    play.give(DeadlineReached())
    assert play.state.status is SagaStatus.RUNNING


def test_a_retry_of_a_waiting_step_does_not_wait() -> None:
    play = Play(saga(*LINE))
    play.ends("a", Outcome.UNKNOWN)
    assert ask(play, A.RETRY) is None
    assert (play.asked(), play.step("a").counted_attempts) == (["a.action"], 0)
    assert refused(ask(play, A.RETRY, "b")) == "STEP_NOT_FOUND"


def test_the_retry_of_a_compensation_touches_nothing_else() -> None:
    forward, backward = stuck_forward(LINE, "b"), stuck_backward()
    assert refused(ask(forward, A.RETRY_COMPENSATION)) == "SAGA_STATE"
    assert ask(backward, A.RETRY_COMPENSATION) is None
    assert backward.asked() == ["b.compensation"]
    backward.ends("b")
    backward.ends("a")
    assert backward.state.status is SagaStatus.COMPENSATED
    assert (backward.state.failed_step, backward.state.failure) == (2, NO), (
        "what had turned it around, not what stopped it"
    )


def test_of_two_operators_who_saw_the_same_one_is_told() -> None:
    play = stuck_backward()
    seen = play.state.seq
    assert ask(play, A.RETRY, seen=seen) is None
    assert refused(ask(play, A.SKIP_STEP, seen=seen)) == "VERSION_CHANGED"


def test_a_refusal_and_a_claim_leave_a_version_as_it_was() -> None:
    play = stuck_backward()
    seen = play.state.seq
    assert refused(ask(play, A.PAUSE, seen=seen)) == "SAGA_STATE"
    play.claim()
    assert ask(play, A.RETRY, seen=seen) is None


@pytest.mark.parametrize(("done", "undone"), [(False, False), (False, True)])
def test_a_skipped_step_is_settled_and_its_response_supplied(done: bool, undone: bool) -> None:
    play = stuck_forward(PIVOTED, "p")
    assert refused(ask(play, A.SKIP_STEP)) == "SAGA_STATE", "without a response later steps cannot be built"
    assert ask(play, A.SKIP_STEP, response=b"by hand") is None
    assert play.asked() == ["p.settle"]
    settle(play, "p", done=done, undone=undone)
    assert (play.said(), play.asked()) == (["StepSkipped p"], ["r.action"])
    assert (play.step("p").status, play.step("p").response) == (StepStatus.SKIPPED, b"by hand")
    assert refused(ask(play, A.FORCE_COMPENSATION)) == "PAST_PIVOT", "the operator vouches for the pivot"
    play.claim()
    play.ends("r")
    assert play.state.status is SagaStatus.COMPLETED


def test_a_step_to_be_skipped_that_is_found_done_counts_as_done() -> None:
    play = stuck_forward(LINE, "b")
    ask(play, A.SKIP_STEP, response=b"by hand")
    settle(play, "b", done=True)
    assert (play.step("b").status, play.step("b").response) == (StepStatus.SUCCEEDED, b"own")


def test_what_has_nothing_to_settle_is_skipped_at_once() -> None:
    play = stuck_forward((Node("q", Q), Node("b", after="q")), "q")
    ask(play, A.SKIP_STEP, response=b"")
    assert (play.said(), play.asked()) == (["RequestConsumed", "SkipBegun q", "StepSkipped q"], ["b.action"])


def test_a_saga_that_turns_around_undoes_a_step_that_was_about_to_be_skipped() -> None:
    play = stuck_forward(LINE, "b")
    ask(play, A.SKIP_STEP, response=b"by hand")
    play.give(CancelRequested(2))
    assert play.asked() == ["b.cancel"]
    play.give(AttemptCancelled(1, Phase.SETTLE))
    assert play.asked() == ["b.compensation"]


def test_without_an_undo_a_saga_is_resolved_and_not_compensated() -> None:
    play = stuck_backward()
    assert refused(ask(play, A.SKIP_STEP, response=b"x")) == "SAGA_STATE", "nothing depends on a response any more"
    assert ask(play, A.SKIP_STEP) is None
    assert play.asked() == ["b.settle"], "and a is not undone before"
    settle(play, "b", done=True)
    assert (play.said(), play.asked()) == (["StepSkipped b"], ["a.compensation"])
    play.ends("a")
    assert play.said() == ["StepCompensated a", "SagaResolved"]


def test_a_step_found_undone_was_compensated_after_all() -> None:
    play = stuck_backward()
    ask(play, A.SKIP_STEP)
    settle(play, "b", done=False, undone=True)
    play.ends("a")
    assert play.state.status is SagaStatus.COMPENSATED


def test_forced_compensation_undoes_the_stuck_step_too() -> None:
    play = stuck_forward(LINE, "b")
    assert ask(play, A.FORCE_COMPENSATION) is None
    assert play.asked() == ["b.compensation"], "it may have run"
    play.ends("b")
    play.ends("a")
    assert play.state.status is SagaStatus.COMPENSATED
    assert refused(ask(stuck_backward(), A.FORCE_COMPENSATION)) == "SAGA_STATE"
    assert refused(ask(stuck_forward(PIVOTED, "p"), A.FORCE_COMPENSATION)) == "PAST_PIVOT"


def test_a_resolution_settles_what_may_have_run_and_nothing_else() -> None:
    play = stuck_backward()
    assert ask(play, A.RESOLVE) is None
    assert play.asked() == ["a.settle", "b.settle"]
    assert refused(ask(play, A.PAUSE)) == "SAGA_STATE"
    play.give(CancelRequested(2))
    (answer,) = play.events
    assert isinstance(answer, RequestConsumed)
    assert (refused(answer.refusal), play.asked()) == ("SAGA_STATE", [])
    play.claim()
    settle(play, "a", done=True)
    assert play.state.status is SagaStatus.COMPENSATING
    settle(play, "b", done=False, undone=True)
    assert play.said() == ["StepSettled b", "SagaResolved"]
    assert [step.status.name for step in play.state.steps] == ["SUCCEEDED", "COMPENSATED", "REJECTED"]
    assert play.state.failed_step == 1, "why it had to be resolved"


def test_a_participant_that_does_not_settle_holds_a_resolution_up() -> None:
    play = stuck_forward(LINE, "a")
    ask(play, A.RESOLVE)
    play.ends("a", Outcome.UNKNOWN)
    assert (play.said(), play.asked()) == (["StepBlocked a"], ["a.timer"])
    play.timer("a")
    settle(play, "a", done=False)
    assert play.state.status is SagaStatus.RESOLVED


def test_only_a_stuck_saga_is_resolved() -> None:
    assert refused(ask(Play(saga(*LINE)), A.RESOLVE)) == "SAGA_STATE"


def test_a_paused_saga_begins_nothing_and_goes_on_where_it_was() -> None:
    play = Play(saga(*LINE))
    assert ask(play, A.PAUSE) is None
    play.ends("a")
    assert (play.said(), play.asked()) == (["StepSucceeded a"], [])
    assert refused(ask(play, A.PAUSE)) == "SAGA_STATE"
    assert refused(ask(play, A.RETRY)) == "SAGA_STATE"
    assert ask(play, A.RESUME) is None
    assert play.asked() == ["b.action"]
    assert refused(ask(play, A.RESUME)) == "SAGA_STATE"


def test_a_deadline_that_passed_in_a_pause_counts_after_it() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    ask(play, A.PAUSE)
    play.now_us = play.state.deadline_us
    play.give(DeadlineReached())
    assert play.said() == []
    ask(play, A.RESUME)
    assert play.said() == ["RequestConsumed", "SagaUnpaused", "CompensationStarted"]


def test_a_saga_that_nobody_can_call_undone_can_only_be_resolved() -> None:
    play = Play(saga(Node("a"), Node("n", after="a", barrier=False)))
    play.ends("a")
    play.spend("n")
    assert ask(play, A.FORCE_COMPENSATION) is None
    play.ends("n")
    play.ends("a")
    assert play.state.status is SagaStatus.STUCK
    assert refused(ask(play, A.RETRY)) == "SAGA_STATE"
    assert ask(play, A.RESOLVE) is None
    assert play.said() == ["RequestConsumed", "ResolutionBegun", "SagaResolved"]
