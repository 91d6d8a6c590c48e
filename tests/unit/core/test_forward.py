"""Sagas that go forward: exactly which events, and what is asked of the engine, at every move."""

import pytest

from orchestrator.core import events as ev
from orchestrator.core.backoff import CorePolicy
from orchestrator.core.definition import RetryPolicy
from orchestrator.core.effects import Invoke, SetTimer
from orchestrator.core.events import Failure, Phase
from orchestrator.core.inputs import BuildFailed, CancelRequested, StepSettled, StepUnblocked, TimerFired
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus, StepStatus
from tests.unit.core.build import NO, SECOND, Node, P, Play, Q, R, saga

AWAY = Failure(14, "UNAVAILABLE", "connection refused")
DENIED = Failure(16, "UNAUTHENTICATED", "no token")


def test_a_linear_saga_is_one_event_for_each_step_and_two_around_them() -> None:
    play = Play(saga(Node("a"), Node("b", after="a"), Node("c", after="b")))
    assert play.said() == ["SagaStarted"]
    assert play.effects == (Invoke(0, Phase.ACTION, 1),)
    for name, then in [("a", "b"), ("b", "c")]:
        play.ends(name)
        assert (play.said(), play.asked()) == ([f"StepSucceeded {name}"], [f"{then}.action"])
    play.ends("c")
    assert (play.said(), play.asked()) == (["StepSucceeded c", "SagaCompleted"], [])
    assert play.state.status is SagaStatus.COMPLETED
    assert [step.response for step in play.state.steps] == [b"a", b"b", b"c"]
    assert len(play.journal) == 5


def test_a_level_of_the_graph_starts_in_one_move() -> None:
    play = Play(saga(Node("a"), Node("b"), Node("c", after="a b"), Node("d", after="a b")))
    assert (play.said(), play.asked()) == (["SagaStarted"], ["a.action", "b.action"])
    play.ends("b")
    assert (play.said(), play.asked()) == (["StepSucceeded b"], [])
    play.ends("a")
    assert (play.said(), play.asked()) == (["StepSucceeded a"], ["c.action", "d.action"])


def test_an_unknown_end_is_tried_again_under_its_key_until_the_stored_response_settles_it() -> None:
    play = Play(saga(Node("a")))
    play.ends("a", Outcome.UNKNOWN, failure=AWAY)
    (failed,) = play.events
    assert isinstance(failed, ev.AttemptFailed)
    assert (failed.attempt, failed.unknown, failed.counted, failed.failure) == (1, True, True, AWAY)
    assert play.effects == (SetTimer(0, failed.next_attempt_us),)
    assert play.now_us <= failed.next_attempt_us <= play.now_us + SECOND
    again = play.timer("a")
    assert (again.events, again.effects) == ((), (Invoke(0, Phase.ACTION, 2),))
    play.ends("a")
    assert play.said() == ["StepSucceeded a", "SagaCompleted"]
    assert play.step("a").attempts == 2


def test_a_timer_that_fires_early_is_set_again() -> None:
    play = Play(saga(Node("a", retry=RetryPolicy(initial_backoff_s=100, max_backoff_s=100))))
    play.ends("a", Outcome.UNKNOWN)
    at_us = play.step("a").timer_us
    assert at_us is not None
    play.give(TimerFired(0), after_s=(at_us - play.now_us - 1) / SECOND)
    assert (play.events, play.effects) == ((), (SetTimer(0, at_us),))
    play.timer("a")
    assert play.asked() == ["a.action"]


def test_a_pivot_is_intended_before_it_is_called() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a"), Node("r", R, "p")))
    play.ends("a")
    assert (play.said(), play.asked()) == (["StepSucceeded a", "StepIntended p"], ["p.action"])
    play.ends("p")
    play.ends("r")
    assert play.said() == ["StepSucceeded r", "SagaCompleted"]


def test_a_participant_without_a_barrier_is_intended_before_it_is_called() -> None:
    play = Play(saga(Node("a", barrier=False), Node("q", Q, "a", barrier=False)))
    assert (play.said(), play.asked()) == (["SagaStarted", "StepIntended a"], ["a.action"])
    play.ends("a")
    assert (play.said(), play.asked()) == (["StepSucceeded a"], ["q.action"])


def test_a_lost_pivot_is_settled_and_found_done() -> None:
    play = Play(saga(Node("p", P), Node("r", R, "p")))
    play.spend("p")
    assert (play.said(), play.asked()) == (["StepUnknown p"], ["p.settle"])
    play.give(StepSettled(0, done=True, undone=False, response=b"paid"))
    assert (play.said(), play.asked()) == (["StepSucceeded p"], ["r.action"])
    assert play.step("p").response == b"paid"


def test_a_lost_pivot_that_never_ran_turns_the_saga_around() -> None:
    play = Play(saga(Node("a"), Node("p", P, "a")))
    play.ends("a")
    play.spend("p")
    play.give(StepSettled(1, done=False, undone=False, response=b""))
    assert (play.said(), play.asked()) == (["StepRejected p", "CompensationStarted p"], ["a.compensation"])
    play.ends("a")
    assert play.state.status is SagaStatus.COMPENSATED


def test_settling_is_blocked_until_it_answers_and_a_crash_goes_on_with_it() -> None:
    play = Play(saga(Node("p", P)))
    play.spend("p")
    play.ends("p", Outcome.UNKNOWN)
    assert (play.said(), play.asked()) == (["StepBlocked p"], ["p.timer"])
    play.claim()
    play.timer("p")
    assert play.asked() == ["p.settle"]
    play.give(StepSettled(0, done=False, undone=True, response=b""))
    assert play.said() == ["SagaStuck p"]


def test_a_pivot_without_a_barrier_cannot_be_settled() -> None:
    play = Play(saga(Node("p", P, barrier=False)))
    play.spend("p")
    assert (play.said(), play.asked()) == (["StepUnknown p", "SagaStuck p"], [])


@pytest.mark.parametrize("spent", [False, True])
def test_a_retriable_step_that_cannot_go_through_is_stuck(*, spent: bool) -> None:
    play = Play(saga(Node("p", P), Node("r", R, "p"), Node("s", R, "p")))
    play.ends("p")
    if spent:
        play.spend("r")
    else:
        play.ends("r", Outcome.REJECTED)
    assert play.said()[-1] == "SagaStuck r"
    assert play.asked() == ["s.cancel"]
    assert play.state.stuck_from is SagaStatus.RUNNING


def test_a_participant_that_names_a_delay_is_polled_at_that_pace_and_spends_no_attempts() -> None:
    play = Play(saga(Node("a", retry=RetryPolicy(initial_backoff_s=1, max_attempts=2, budget_s=100))))
    for poll in range(1, 9):
        play.ends("a", Outcome.BUSY, retry_after_s=10)
        (failed,) = play.events
        assert isinstance(failed, ev.AttemptFailed)
        assert (failed.attempt, failed.counted, failed.unknown) == (poll, False, False)
        assert 10 * SECOND <= failed.next_attempt_us - play.now_us < 11 * SECOND
        play.timer("a")
    assert play.step("a").counted_attempts == 0
    play.ends("a", Outcome.BUSY, retry_after_s=10, after_s=100)  # time is spent all the same
    assert play.said()[:2] == ["StepUnknown a", "CompensationStarted a"]


def test_a_participant_may_not_ask_for_more_than_an_hour() -> None:
    play = Play(saga(Node("a")))
    play.ends("a", Outcome.BUSY, retry_after_s=1e6)
    assert play.step("a").next_attempt_us - play.now_us <= 3601 * SECOND


def test_a_busy_answer_without_a_delay_spends_an_attempt() -> None:
    play = Play(saga(Node("a")))
    play.spend("a", Outcome.BUSY)
    assert play.said()[:2] == ["StepUnknown a", "CompensationStarted a"]


def test_a_blocked_step_is_called_as_soon_as_what_it_waits_for_is_there() -> None:
    play = Play(saga(Node("a"), Node("b", P, "a")))
    play.ends("a", Outcome.MISCONFIGURED, failure=DENIED)
    assert play.give(StepUnblocked(0), after_s=1).effects == (Invoke(0, Phase.ACTION, 1),)
    assert play.give(StepUnblocked(0)).effects == (), "it is on its way"
    play.ends("a")
    play.spend("b")
    play.ends("b", Outcome.MISCONFIGURED, failure=DENIED)
    assert play.give(StepUnblocked(1)).effects == (Invoke(1, Phase.SETTLE, 4),)


def test_a_blocked_undo_is_called_as_soon_as_what_it_waits_for_is_there() -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.MISCONFIGURED, failure=DENIED)
    play.give(CancelRequested(1))
    play.ends("b", Outcome.MISCONFIGURED, failure=DENIED)
    assert play.give(StepUnblocked(1)).effects == (Invoke(1, Phase.COMPENSATION, 1),)


def test_a_step_that_waits_for_its_next_attempt_is_not_hurried() -> None:
    play = Play(saga(Node("a")))
    play.ends("a", Outcome.UNKNOWN)
    assert play.give(StepUnblocked(0)).effects == ()


def test_a_block_lasts_as_long_as_it_is_said_to_and_no_shorter_than_usual() -> None:
    for said_s, lasts_s in ((1.0, 15.0), (40.0, 40.0), (1e9, 3600.0)):
        play = Play(saga(Node("a")))
        play.ends("a", Outcome.MISCONFIGURED, failure=DENIED, retry_after_s=said_s)
        assert play.step("a").timer_us == play.now_us + int(lasts_s * SECOND)


def test_a_blocked_step_is_recorded_once_and_spends_nothing() -> None:
    play = Play(saga(Node("a")))
    play.ends("a", Outcome.MISCONFIGURED, failure=DENIED)
    assert (play.said(), play.asked()) == (["StepBlocked a"], ["a.timer"])
    for _ in range(50):
        play.timer("a")
        assert (play.events, play.effects) == ((), (Invoke(0, Phase.ACTION, 1),))
        play.ends("a", Outcome.MISCONFIGURED, failure=DENIED)
        assert (play.said(), play.asked()) == ([], ["a.timer"])
        assert play.step("a").blocked == DENIED
    # The block lasted far longer than the time budget, which starts anew once it ends.
    play.timer("a")
    play.ends("a", Outcome.UNKNOWN)
    assert play.said() == ["AttemptFailed a"]
    assert play.step("a").blocked is None
    play.timer("a")
    play.ends("a")
    assert play.state.status is SagaStatus.COMPLETED


def test_another_reason_for_a_block_is_recorded() -> None:
    play = Play(saga(Node("a")))
    play.ends("a", Outcome.MISCONFIGURED, failure=DENIED)
    play.timer("a")
    play.ends("a", Outcome.MISCONFIGURED, failure=Failure(12, "UNIMPLEMENTED", "no such method"))
    assert play.said() == ["StepBlocked a"]


def test_a_read_only_step_has_nothing_to_undo() -> None:
    play = Play(saga(Node("a"), Node("q", Q, "a"), Node("b", after="q")))
    play.ends("a")
    play.ends("q")
    play.ends("b", Outcome.REJECTED)
    assert (play.said(), play.asked()) == (["StepRejected b", "CompensationStarted b"], ["a.compensation"])
    play.ends("a")
    assert play.said() == ["StepCompensated a", "SagaCompensated"]
    assert [step.status.name for step in play.state.steps] == ["COMPENSATED", "SUCCEEDED", "REJECTED"]


def test_a_request_that_cannot_be_built_stops_the_saga_with_the_reason() -> None:
    play = Play(saga(Node("a"), Node("b")))
    play.give(BuildFailed(0, Phase.ACTION, Failure(0, "BUILDER_FAILED", "division by zero")))
    assert (play.said(), play.asked()) == (["SagaStuck a"], ["b.cancel"])
    assert play.step("a").status is StepStatus.STUCK
    assert play.state.failure == Failure(0, "BUILDER_FAILED", "division by zero")


def test_a_saga_that_kills_its_nodes_is_stuck() -> None:
    play = Play(saga(Node("a")))
    for _ in range(4):
        play.claim()
        assert play.asked() == ["a.action"]
    play.claim()
    assert play.said() == ["SagaStuck"]
    assert play.state.failure is not None
    assert play.state.failure.reason == "CRASH_LOOP"
    assert CorePolicy().max_stale_claims == 5


def test_progress_between_claims_is_no_crash_loop() -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    for _ in range(4):
        play.claim()
    play.ends("a")
    for _ in range(4):
        play.claim()
    assert play.state.status is SagaStatus.RUNNING


def test_a_saga_that_is_blocked_while_nodes_come_and_go_is_no_crash_loop() -> None:
    play = Play(saga(Node("a")))
    play.ends("a", Outcome.MISCONFIGURED, failure=DENIED)
    for _ in range(20):
        play.claim(after_s=20)
        play.ends("a", Outcome.MISCONFIGURED, failure=DENIED)
    assert play.state.status is SagaStatus.RUNNING


def test_a_crash_spends_no_attempt() -> None:
    play = Play(saga(Node("a")))
    play.claim(after_s=1000)
    assert play.effects == (Invoke(0, Phase.ACTION, 1),)
    play.ends("a", Outcome.UNKNOWN)
    assert play.said() == ["AttemptFailed a"]
    play.claim()
    assert play.asked() in (["a.timer"], ["a.action"])


def test_a_rejection_carries_its_verdict() -> None:
    play = Play(saga(Node("a"), Node("b", after="a")))
    play.ends("a")
    play.ends("b", Outcome.REJECTED)
    assert (play.state.failed_step, play.state.failure) == (1, NO)
