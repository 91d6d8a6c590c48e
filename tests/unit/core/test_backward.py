"""Sagas that turn around, and those that may not."""

from dataclasses import replace

import pytest

from orchestrator.core import events as ev
from orchestrator.core.events import CompensationCause, Failure, Phase
from orchestrator.core.inputs import AttemptCancelled, BuildFailed, CancelRequested, DeadlineReached
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus, StepStatus
from tests.unit.core.build import NO, Node, P, Play, Q, R, saga

LINE = (Node("a"), Node("b", after="a"), Node("c", after="b"), Node("d", after="c"))


def cause(play: Play) -> CompensationCause:
    (started,) = [event for event in play.events if isinstance(event, ev.CompensationStarted)]
    return started.cause


def test_a_rejection_in_the_middle_undoes_what_came_before_in_reverse_order() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    play.ends("b")
    play.ends("c", Outcome.REJECTED)
    assert (play.said(), play.asked()) == (["StepRejected c", "CompensationStarted c"], ["b.compensation"])
    assert cause(play) is CompensationCause.STEP_FAILED
    play.ends("b")
    assert (play.said(), play.asked()) == (["StepCompensated b"], ["a.compensation"])
    play.ends("a")
    assert (play.said(), play.asked()) == (["StepCompensated a", "SagaCompensated"], [])
    assert [step.status.name for step in play.state.steps] == ["COMPENSATED", "COMPENSATED", "REJECTED", "SKIPPED"]
    assert (play.state.failed_step, play.state.failure) == (2, NO)


def test_a_spent_budget_undoes_the_step_itself_too() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    play.spend("b")
    assert (play.said(), play.asked()) == (["StepUnknown b", "CompensationStarted b"], ["b.compensation"])
    play.ends("b")
    assert play.asked() == ["a.compensation"]


def test_a_refusal_without_proof_is_unknown_at_once() -> None:
    play = Play(saga(*LINE))
    play.ends("a", Outcome.REFUSED)
    assert (play.said(), play.asked()) == (["StepUnknown a", "CompensationStarted a"], ["a.compensation"])


def test_order_holds_through_steps_that_have_nothing_to_undo() -> None:
    play = Play(saga(Node("a"), Node("q", Q, "a"), Node("b", after="q"), Node("c", after="b")))
    for name in ("a", "q", "b"):
        play.ends(name)
    play.ends("c", Outcome.REJECTED)
    assert play.asked() == ["b.compensation"], "b follows from a, through q"
    play.ends("b", after_s=1000)
    assert play.asked() == ["a.compensation"]
    play.ends("a", Outcome.UNKNOWN)
    assert play.said() == ["AttemptFailed a"], "its time budget began when its turn came"


def test_parallel_branches_are_cancelled_first_and_undone_only_after_they_ended() -> None:
    play = Play(saga(Node("a"), Node("b", after="a"), Node("c", after="a"), Node("d", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    assert play.asked() == ["c.cancel", "d.cancel"]
    play.give(AttemptCancelled(2, Phase.ACTION))
    assert (play.said(), play.asked()) == ([], ["c.compensation"])
    play.ends("d")  # its end came before the cancellation took hold; its undo does not depend on it
    assert (play.said(), play.asked()) == ([], ["d.compensation"])
    play.ends("c")
    assert (play.said(), play.asked()) == (["StepCompensated c"], [])
    play.ends("d")
    assert (play.said(), play.asked()) == (["StepCompensated d"], ["a.compensation"])


def test_waiting_branches_are_undone_without_being_called_again() -> None:
    play = Play(saga(Node("a"), Node("b")))
    play.ends("a", Outcome.UNKNOWN)
    play.ends("b", Outcome.REJECTED)
    assert play.asked() == ["a.compensation"]


def test_a_request_that_cannot_be_built_does_not_stop_the_way_back() -> None:
    play = Play(saga(Node("a"), Node("b")))
    play.ends("b", Outcome.REJECTED)
    assert play.asked() == ["a.cancel"]
    play.give(BuildFailed(0, Phase.ACTION, Failure(0, "BUILDER_FAILED", "")))
    assert (play.said(), play.asked()) == ([], ["a.compensation"])


def test_a_compensation_that_cannot_be_built_stops_the_saga() -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    play.give(BuildFailed(0, Phase.COMPENSATION, Failure(0, "BUILDER_FAILED", "")))
    assert play.said() == ["SagaStuck a"]
    assert (play.state.stuck_from, play.state.stuck_phase) == (SagaStatus.COMPENSATING, Phase.COMPENSATION)
    assert play.step("a").compensation_attempts == 0, "nothing was called"


@pytest.mark.parametrize(
    "outcome",
    [Outcome.REJECTED, Outcome.REFUSED, Outcome.SUPERSEDED, Outcome.STALE_EPOCH, Outcome.KEY_REUSED],
)
def test_a_refused_undo_stops_the_saga(outcome: Outcome) -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    play.ends("a", outcome)
    assert play.said() == ["SagaStuck a"]
    assert (play.step("a").attempts, play.step("a").compensation_attempts) == (1, 1)


def test_an_undo_is_tried_until_its_budget_is_spent() -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    play.spend("a")
    assert play.said() == ["SagaStuck a"]
    assert play.step("a").compensation_attempts == play.spec.steps[0].compensation_retry.max_attempts


def test_a_journal_that_does_not_count_the_last_attempt_is_read_as_it_stands() -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    play.spend("a")
    stuck, at_us, epoch = play.journal[-1]
    assert isinstance(stuck, ev.SagaStuck)
    play.journal[-1] = (replace(stuck, attempt=0), at_us, epoch)
    made = play.replay().steps[0]
    assert made.compensation_attempts == play.spec.steps[0].compensation_retry.max_attempts - 1
    assert made.status is StepStatus.STUCK


def test_an_undo_goes_on_after_a_crash() -> None:
    play = Play(saga(*LINE))
    play.ends("a")
    play.ends("b")
    play.ends("c", Outcome.REJECTED)
    play.claim()
    assert play.asked() == ["b.compensation"]
    play.ends("b")
    play.claim()
    assert play.asked() == ["a.compensation"]


def test_cancel_before_the_pivot_turns_around_and_is_granted() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a")))
    play.give(CancelRequested(7))
    assert (play.said(), play.asked()) == (["RequestConsumed", "CompensationStarted"], ["a.cancel"])
    assert play.events[0] == ev.RequestConsumed(7, "cancel", None)
    assert cause(play) is CompensationCause.CANCELLED
    play.give(CancelRequested(8))
    assert play.events == (ev.RequestConsumed(8, "cancel", None),)
    play.give(AttemptCancelled(0, Phase.ACTION))
    play.ends("a")
    assert play.state.status is SagaStatus.COMPENSATED


@pytest.mark.parametrize("pivot", ["intended", "unknown", "done"])
def test_cancel_past_the_pivot_is_refused(pivot: str) -> None:
    play = Play(saga(Node("a"), Node("p", P, "a"), Node("r", R, "p")))
    play.ends("a")
    if pivot == "unknown":
        play.spend("p")
    elif pivot == "done":
        play.ends("p")
    play.give(CancelRequested(7))
    (consumed,) = play.events
    assert isinstance(consumed, ev.RequestConsumed)
    assert consumed.refusal is not None
    assert consumed.refusal.reason == "PAST_PIVOT"
    assert play.state.status is SagaStatus.RUNNING


def test_cancel_of_a_stuck_saga_is_refused() -> None:
    play = Play(saga(Node("p", P), Node("r", R, "p")))
    play.ends("p")
    play.ends("r", Outcome.REJECTED)
    play.give(CancelRequested(7))
    (consumed,) = play.events
    assert isinstance(consumed, ev.RequestConsumed)
    assert consumed.refusal is not None
    assert consumed.refusal.reason == "SAGA_STATE"


def test_the_deadline_before_the_pivot_turns_around() -> None:
    play = Play(saga(Node("a"), deadline_s=10))
    play.give(DeadlineReached(), after_s=9)
    assert (play.events, play.effects) == ((), ())
    play.give(DeadlineReached(), after_s=1)
    assert (play.said(), play.asked()) == (["CompensationStarted"], ["a.cancel"])
    assert cause(play) is CompensationCause.DEADLINE


def test_the_deadline_past_the_pivot_is_only_noted() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a"), deadline_s=10))
    play.ends("a")
    play.give(DeadlineReached(), after_s=11)
    assert (play.said(), play.asked()) == (["DeadlinePassed"], [])
    play.give(DeadlineReached(), after_s=11)
    assert (play.said(), play.asked()) == ([], [])
    play.ends("p")
    assert play.state.status is SagaStatus.COMPLETED


def test_without_a_barrier_an_unknown_outcome_is_stuck() -> None:
    play = Play(saga(Node("a"), Node("b", after="a", barrier=False)))
    play.ends("a")
    play.spend("b")
    assert play.said() == ["StepUnknown b", "SagaStuck b"]


def test_without_a_barrier_a_rejection_after_an_unknown_end_proves_nothing() -> None:
    play = Play(saga(Node("a", barrier=False)))
    play.ends("a", Outcome.UNKNOWN)
    play.timer("a")
    play.ends("a", Outcome.REJECTED)
    assert play.said() == ["StepUnknown a", "SagaStuck a"]


def test_without_a_barrier_an_undo_after_an_unknown_end_is_no_honest_end() -> None:
    play = Play(saga(Node("a", barrier=False), Node("b", after="a")))
    play.ends("a", Outcome.UNKNOWN)
    play.timer("a")
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    assert play.asked() == ["a.compensation"]
    play.ends("a")
    assert play.said() == ["StepCompensated a", "SagaStuck"], "the first attempt may land after the undo"


def test_without_a_barrier_a_rejection_after_a_crash_proves_nothing() -> None:
    play = Play(saga(Node("a", barrier=False)))
    play.claim()
    play.ends("a", Outcome.REJECTED)
    assert play.said() == ["StepUnknown a", "SagaStuck a"]


def test_without_a_barrier_a_rejection_after_a_resume_without_a_claim_proves_nothing() -> None:
    play = Play(saga(Node("a", barrier=False), Node("b")))
    play.resume()
    assert (play.said(), play.asked()) == (["AttemptFailed a"], ["a.action", "b.action"])
    assert play.step("a").counted_attempts == 0
    play.resume()
    assert (play.said(), play.asked()) == ([], ["a.action", "b.action"]), "said once"
    play.ends("a", Outcome.REJECTED)
    assert play.said() == ["StepUnknown a", "SagaStuck a"]


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.REFUSED])
def test_without_a_barrier_a_first_rejection_is_definite(outcome: Outcome) -> None:
    play = Play(saga(Node("a"), Node("b", after="a", barrier=False)))
    play.ends("a")
    play.ends("b", outcome)
    assert (play.said(), play.asked()) == (["StepRejected b", "CompensationStarted b"], ["a.compensation"])


FLIGHT = (Node("a"), Node("n", after="a", barrier=False), Node("b", after="a"))


@pytest.mark.parametrize(
    ("outcome", "said", "asked"),
    [
        (Outcome.SUCCESS, ["StepSucceeded n"], ["n.compensation"]),
        (Outcome.REJECTED, ["StepRejected n"], ["a.compensation"]),
        (Outcome.REFUSED, ["StepRejected n"], ["a.compensation"]),
        (Outcome.UNKNOWN, ["StepUnknown n", "SagaStuck n"], []),
        (Outcome.BUSY, ["StepUnknown n", "SagaStuck n"], []),
        (Outcome.MISCONFIGURED, ["StepUnknown n", "SagaStuck n"], []),
    ],
)
def test_without_a_barrier_an_attempt_in_flight_is_awaited(outcome: Outcome, said: list[str], asked: list[str]) -> None:
    play = Play(saga(*FLIGHT))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    assert play.asked() == [], "only its end tells whether there is something to undo"
    play.ends("n", outcome)
    assert (play.said(), play.asked()) == (said, asked)


def test_without_a_barrier_a_crash_on_the_way_back_leaves_an_unknown_outcome() -> None:
    play = Play(saga(*FLIGHT))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    play.claim()
    assert play.said() == ["StepUnknown n", "SagaStuck n"]


def test_a_read_only_attempt_in_flight_is_cancelled_and_skipped() -> None:
    play = Play(saga(Node("a"), Node("q", Q, "a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    assert play.asked() == ["q.cancel"]
    play.give(AttemptCancelled(1, Phase.ACTION))
    assert play.asked() == ["a.compensation"]
    assert play.step("q").status is StepStatus.SKIPPED


def test_a_read_only_step_that_fails_turns_around_before_the_pivot_and_is_stuck_after_it() -> None:
    play = Play(saga(Node("q", Q), Node("a", after="q")))
    play.ends("q", Outcome.REJECTED)
    assert play.said() == ["StepRejected q", "CompensationStarted q", "SagaCompensated"]
    play = Play(saga(Node("p", P), Node("q", Q, "p")))
    play.ends("p")
    play.ends("q", Outcome.REJECTED)
    assert play.said() == ["StepRejected q", "SagaStuck q"]
