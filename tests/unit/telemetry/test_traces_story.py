"""What is kept of a traced saga beside its run, and what of it is read off the journal again."""

from orchestrator.core import events as ev
from orchestrator.core.events import CompensationCause, Failure, Phase
from orchestrator.core.state import StepState, StepStatus
from orchestrator.telemetry.traces_story import MAX_EVENTS, PAUSE, Story, Wait

NO = Failure(14, "UNAVAILABLE", "words of a participant")


def failed(step: int = 0, attempt: int = 1) -> ev.AttemptFailed:
    return ev.AttemptFailed(
        step, Phase.ACTION, attempt, NO, unknown=True, counted=True, next_attempt_us=0, duration_ms=5
    )


def blocked(step: int = 0) -> ev.StepBlocked:
    return ev.StepBlocked(step, Phase.ACTION, NO, 0)


def story() -> Story:
    return Story(("a", "b"))


def test_a_wait_lasts_until_its_step_gets_on() -> None:
    told = story()
    assert told.hear(ev.SagaStarted(9), 10, 1) == []
    assert told.began_us == 10
    assert told.hear(failed(), 20, 1) == []
    assert told.waits == {0: Wait("backoff", 0, 20, "UNAVAILABLE")}
    assert told.hear(ev.StepSucceeded(0, 2, b"", 1), 30, 1) == [Wait("backoff", 0, 20, "UNAVAILABLE")]
    assert told.waits == {}


def test_a_block_goes_on_while_the_breaker_is_open() -> None:
    told = story()
    told.hear(failed(), 10, 1)
    assert told.hear(blocked(), 20, 1) == [Wait("backoff", 0, 10, "UNAVAILABLE")]
    assert told.hear(blocked(), 30, 1) == []
    assert told.waits[0] == Wait("blocked", 0, 20, "UNAVAILABLE")


def test_a_turn_ends_every_wait_and_a_pause_is_one() -> None:
    told = story()
    told.hear(failed(0), 10, 1)
    told.hear(ev.SagaPaused(), 20, 1)
    over = told.hear(ev.CompensationStarted(CompensationCause.CANCELLED, None, NO), 30, 1)
    assert over == [Wait("backoff", 0, 10, "UNAVAILABLE"), Wait("paused", PAUSE, 20)]
    told.hear(ev.SagaPaused(), 40, 1)
    assert told.hear(ev.SagaUnpaused(), 50, 1) == [Wait("paused", PAUSE, 40)]


def test_no_word_of_a_participant_or_an_operator_is_kept() -> None:
    told = story()
    told.hear(ev.CompensationStarted(CompensationCause.STEP_FAILED, 1, NO), 10, 1)
    told.hear(ev.RequestConsumed(1, "retry", NO, "ann", "because of order 4711"), 20, 1)
    told.hear(ev.SagaStuck(1, Phase.ACTION, NO), 30, 1)
    kept = " ".join(f"{event.name} {dict(event.attributes or {})}" for event in told.events)
    assert "4711" not in kept
    assert "words" not in kept
    assert "UNAVAILABLE" in kept
    assert "'saga.step': 'b'" in kept


def test_events_have_a_bound() -> None:
    told = story()
    for number in range(MAX_EVENTS + 3):
        told.hear(ev.SagaClaimed("node", crashed=False), number, number)
    assert len(told.events) == MAX_EVENTS
    assert told.left_out == 3


def test_calls_that_owners_died_with_are_made_again() -> None:
    told = story()
    told.recall(ev.SagaStarted(9), 10, 1)
    told.recall(ev.SagaClaimed("second", crashed=True), 20, 2)
    told.recall(ev.SagaClaimed("third", crashed=True), 30, 3)
    assert told.dead_epochs == [1, 2]
    told.hear(ev.StepIntended(1), 40, 3)
    running = StepState(StepStatus.RUNNING, in_flight=Phase.ACTION)
    told.resumed((running, running))
    assert told.again == {0: Phase.ACTION}, "the other was not intended before, so nobody called it"


def test_who_let_go_left_no_call_behind() -> None:
    told = story()
    told.recall(ev.SagaStarted(9), 10, 1)
    told.recall(ev.SagaClaimed("second", crashed=True), 20, 2)
    told.recall(ev.SagaClaimed("third", crashed=False), 30, 3)
    told.resumed((StepState(StepStatus.RUNNING, in_flight=Phase.ACTION),))
    assert told.again == {}


def test_what_was_told_before_is_not_told_again() -> None:
    told = story()
    told.recall(ev.SagaStarted(9), 10, 1)
    told.recall(failed(), 15, 1)
    told.recall(ev.SagaStuck(0, Phase.ACTION, NO), 20, 1)
    assert (told.halted, told.events, told.waits) == (False, [], {})
    told.recall(ev.SagaClaimed("second", crashed=False), 30, 2)
    told.hear(ev.RequestConsumed(1, "retry", None), 40, 2)
    assert not told.went_on
    told.hear(ev.StepRetried(0, Phase.ACTION), 41, 2)
    assert (told.went_on, told.began_us) == (True, 41)
    told.hear(ev.SagaCompleted(), 50, 2)
    assert told.halted


def test_a_wait_that_was_open_when_its_owner_died_goes_on() -> None:
    told = story()
    told.recall(ev.SagaStarted(9), 10, 1)
    told.recall(failed(), 20, 1)
    told.recall(ev.SagaClaimed("second", crashed=True), 30, 2)
    assert told.waits == {0: Wait("backoff", 0, 20, "UNAVAILABLE")}
