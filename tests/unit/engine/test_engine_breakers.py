"""When a breaker opens, probes and closes."""

import pytest

from orchestrator.engine.breakers import Breaker, BreakerPolicy, BreakerState

POLICY = BreakerPolicy(window_s=10.0, min_calls=20, failure_share=0.5, open_s=2.0, max_open_s=5.0, probes=3)


def after(ends: str, breaker: Breaker | None = None, now_s: float = 100.0) -> Breaker:
    """A breaker that has seen these calls: ``.`` was answered, ``x`` was not, ``-`` was cut short."""
    breaker = breaker or Breaker(POLICY)
    for end in ends:
        breaker.end(breaker.begin(), now_s, failed={".": False, "x": True, "-": None}[end])
    return breaker


def opened() -> Breaker:
    return after("x" * 20)


def probing() -> Breaker:
    breaker = opened()
    breaker.probe()
    return breaker


def test_it_opens_once_half_of_enough_calls_failed() -> None:
    assert after("x" * 19).state is BreakerState.CLOSED, "too few to judge by"
    breaker = after("." * 10 + "x" * 9)
    assert breaker.failure_share(100.0) == pytest.approx(9 / 19)
    assert after("x", breaker=breaker).state is BreakerState.OPEN
    assert (breaker.opens, breaker.opened_s, breaker.pause_s) == (1, 100.0, 2.0)
    assert after("." * 30 + "x" * 29).state is BreakerState.CLOSED


def test_what_says_nothing_does_not_count() -> None:
    assert after("-" * 100 + "x" * 19).state is BreakerState.CLOSED


def test_what_is_older_than_the_window_is_forgotten() -> None:
    breaker = after("x" * 19, now_s=100.0)
    assert breaker.failure_share(109.0) == 1.0
    assert after("x", breaker=breaker, now_s=111.0).state is BreakerState.CLOSED
    assert breaker.failure_share(111.0) == 1.0
    assert breaker.failure_share(200.0) == 0.0


def test_it_sends_a_few_probes_and_closes_when_one_is_answered() -> None:
    breaker = opened()
    assert breaker.probes_left == 0
    breaker.probe()
    generations = [breaker.begin() for _ in range(3)]
    assert breaker.probes_left == 0
    for generation in generations[:2]:
        breaker.end(generation, 103.0, failed=True)
    assert (breaker.state, breaker.probes_left) == (BreakerState.HALF_OPEN, 0)
    breaker.end(generations[2], 103.0, failed=False)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.failure_share(103.0) == 0.0, "it begins anew"


def test_a_probe_that_is_cut_short_makes_room_for_another() -> None:
    breaker = after("---", breaker=probing())
    assert (breaker.state, breaker.probes_left) == (BreakerState.HALF_OPEN, 3)


def test_probes_that_all_fail_open_it_for_longer_up_to_a_bound() -> None:
    breaker = probing()
    pauses = []
    for _ in range(3):
        after("x-xx", breaker=breaker)
        assert breaker.state is BreakerState.OPEN
        pauses.append(breaker.pause_s)
        breaker.probe()
    assert pauses == [4.0, 5.0, 5.0]
    assert breaker.opens == 1, "it was never closed in between"
    after(".", breaker=breaker)
    assert after("x" * 20, breaker=breaker).pause_s == 2.0


def test_a_call_from_before_counts_for_nothing() -> None:
    breaker = Breaker(POLICY)
    early = [breaker.begin() for _ in range(5)]
    after("x" * 20, breaker=breaker)
    breaker.end(early[0], 101.0, failed=False)
    breaker.probe()
    breaker.end(early[1], 103.0, failed=True)
    assert (breaker.state, breaker.probes_left) == (BreakerState.HALF_OPEN, 3)
    after(".", breaker=breaker)
    breaker.end(early[2], 104.0, failed=True)
    assert breaker.failure_share(104.0) == 0.0
