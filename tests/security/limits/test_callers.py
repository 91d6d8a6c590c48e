"""The books of callers, by a clock that the test turns."""

import pytest

from contracts.errors import Reason
from orchestrator.rpc.limits import callers as module
from orchestrator.rpc.limits.callers import CallerPolicy, Callers, Place, Refusal

CAPACITY = 100


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def entered(callers: Callers, name: str, *, is_watcher: bool = False) -> Place:
    place = callers.enter(name, is_watcher)
    assert isinstance(place, Place)
    return place


def refused(callers: Callers, name: str, *, is_watcher: bool = False) -> Refusal:
    refusal = callers.enter(name, is_watcher)
    assert isinstance(refusal, Refusal)
    return refusal


def test_calls_and_watchers_are_counted_apart_and_a_place_is_free_again(clock: Clock) -> None:
    callers = Callers(CallerPolicy(max_calls=2, max_watchers=1), CAPACITY, clock)
    first, _, watcher = entered(callers, "a"), entered(callers, "a"), entered(callers, "a", is_watcher=True)
    assert refused(callers, "a").reason is Reason.TOO_MANY_CALLS
    assert refused(callers, "a", is_watcher=True).reason is Reason.TOO_MANY_CALLS
    entered(callers, "b")
    first.leave()
    entered(callers, "a")
    watcher.leave()
    entered(callers, "a", is_watcher=True)


def test_a_caller_alone_may_have_all_and_shares_once_others_come(clock: Clock) -> None:
    callers = Callers(CallerPolicy(max_calls=CAPACITY), CAPACITY, clock)
    places = [entered(callers, "a") for _ in range(90)]
    entered(callers, "b")
    assert refused(callers, "a").reason is Reason.TOO_MANY_CALLS, "it has more than half, and two share"
    for _ in range(9):
        entered(callers, "b")
    for place in places[:41]:
        place.leave()
    entered(callers, "a")
    assert refused(callers, "a").reason is Reason.TOO_MANY_CALLS


def test_nobody_is_held_to_a_share_while_there_is_room(clock: Clock) -> None:
    callers = Callers(CallerPolicy(max_calls=CAPACITY), CAPACITY, clock)
    for number in range(10):
        entered(callers, f"other-{number}")
    for _ in range(39):
        entered(callers, "a")


def test_answers_that_nobody_reads_stop_a_caller(clock: Clock) -> None:
    callers = Callers(CallerPolicy(max_unread_bytes=1000), CAPACITY, clock)
    place = entered(callers, "a")
    place.answered(1001)
    assert refused(callers, "a").reason is Reason.TOO_MANY_CALLS
    entered(callers, "b")
    place.leave()
    entered(callers, "a")


def test_a_caller_may_save_up_a_second_of_calls_and_then_keeps_its_rate(clock: Clock) -> None:
    callers = Callers(CallerPolicy(max_calls_per_s=10), CAPACITY, clock)
    clock.now_s += 60
    for _ in range(10):
        entered(callers, "a").leave()
    refusals = [refused(callers, "a") for _ in range(3)]
    assert [each.delay_s for each in refusals] == pytest.approx([0.1, 0.2, 0.3]), "each is told a time of its own"
    assert {each.reason for each in refusals} == {Reason.RATE_LIMITED}
    entered(callers, "b")
    clock.now_s += 0.125
    entered(callers, "a").leave()
    refused(callers, "a")
    for _ in range(1000):
        assert refused(callers, "a").delay_s <= module.LONGEST_S


def test_a_rate_below_one_a_second_lets_one_through_at_a_time(clock: Clock) -> None:
    callers = Callers(CallerPolicy(max_calls_per_s=0.1), CAPACITY, clock)
    entered(callers, "a").leave()
    assert refused(callers, "a").delay_s == pytest.approx(10)
    clock.now_s += 10
    entered(callers, "a")


def test_callers_without_end_are_not_remembered_without_end(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KNOWN", 50)
    callers = Callers(CallerPolicy(max_calls_per_s=1), CAPACITY, clock)
    busy = [entered(callers, f"busy-{number}") for number in range(10)]
    for number in range(10_000):
        entered(callers, f"caller-{number}").leave()
    assert callers.known == 50
    for place in busy:
        place.leave()
    assert callers.known == 50
