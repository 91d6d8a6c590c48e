"""Time as the node estimates it, and ids that sort by it."""

from itertools import pairwise

from orchestrator.engine.clock import DatabaseClock
from orchestrator.engine.ids import uuid7


def test_the_clock_stands_until_the_database_has_answered() -> None:
    clock = DatabaseClock(lambda: 5.0)
    assert clock.now_us() == 0


def test_the_clock_runs_with_the_monotonic_one_from_the_middle_of_the_question() -> None:
    now_s = [10.0]
    clock = DatabaseClock(lambda: now_s[0])
    clock.observe(1_000_000_000, 9.0, 10.0)
    assert clock.now_us() == 1_000_500_000
    now_s[0] = 12.0
    assert clock.now_us() == 1_002_500_000
    assert clock.seconds_until(1_003_000_000) == 0.5
    assert clock.seconds_until(1_000_000_000) == 0.0


def test_the_clock_never_goes_back() -> None:
    clock = DatabaseClock(lambda: 10.0)
    clock.observe(1_000_000_000, 10.0, 10.0)
    assert clock.now_us() == 1_000_000_000
    clock.observe(900_000_000, 10.0, 10.0)
    assert clock.now_us() == 1_000_000_000
    clock.observe(1_100_000_000, 10.0, 10.0)
    assert clock.now_us() == 1_100_000_000


def test_ids_are_version_7_and_sort_by_their_microsecond() -> None:
    start_us = 1_790_000_000_123_457
    ids = [uuid7(start_us + step, lambda count: b"\xff" * count) for step in range(0, 5000, 7)]
    assert all(before < after for before, after in pairwise(ids))
    assert {(each.version, each.variant) for each in ids} == {(7, "specified in RFC 4122")}
    assert ids[0].int >> 80 == start_us // 1000
    lows = [uuid7(start_us, lambda count, fill=fill: bytes([fill]) * count) for fill in (0, 255)]  # type: ignore[misc]  # a default binds the fill
    assert lows[0] != lows[1]
