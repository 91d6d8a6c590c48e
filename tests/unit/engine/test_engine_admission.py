"""Which starts are turned away, and until when."""

import asyncio
from itertools import count
from uuid import UUID

import pytest

from orchestrator.engine.admission import LEAST_DELAY_S, SAMPLES, Admission, AdmissionPolicy
from orchestrator.engine.pulse import BEAT_S, REST_S, Pulse

POLICY = AdmissionPolicy(max_sagas=100, max_sagas_per_caller=60, min_sagas=10, target_delay_s=0.1)
MANY = 50
"""Sagas in memory: enough to turn others away for a delay."""
_ids = count(1)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def admission(clock: Clock | None = None) -> Admission:
    """One that draws nothing at random."""
    return Admission(POLICY, clock or Clock(), lambda low, high: (low + high) / 2)


def lagging(delay_s: float, backlog_s: float = 0.0) -> Admission:
    found = admission()
    for _ in range(SAMPLES):
        found.sample(delay_s, backlog_s)
    return found


def start(admission: Admission, caller: str = "a", times: int = 1) -> list[UUID]:
    ids = [UUID(int=next(_ids)) for _ in range(times)]
    for saga_id in ids:
        admission.started(saga_id, caller)
    return ids


@pytest.mark.parametrize(
    ("delay_s", "turned_away"), [(0.0, 0), (0.1, 0), (0.15, 25), (0.2, 50), (0.3, 100), (9.0, 100)]
)
def test_the_share_that_is_turned_away_grows_with_the_delay(delay_s: float, turned_away: int) -> None:
    late = lagging(delay_s)
    assert sum(late.shed(MANY, "a") for _ in range(100)) == pytest.approx(turned_away, abs=1)


def test_turning_away_is_spread_evenly() -> None:
    late = lagging(0.2001)
    assert [late.shed(MANY, "a") for _ in range(6)] == [False, True] * 3


def test_a_caller_that_asked_for_little_is_not_turned_away_for_what_others_ask() -> None:
    late = lagging(9.0)
    start(late, "flood", 40)
    assert late.shed(MANY, "flood")
    assert not late.shed(MANY, "new")
    start(late, "small", 9)
    assert not late.shed(MANY, "small"), "two share 49 sagas, and it has less than a quarter"
    start(late, "small", 5)
    assert late.shed(MANY, "small")


def test_a_node_with_little_to_do_turns_nobody_away_for_a_delay() -> None:
    late = lagging(9.0)
    assert not late.shed(POLICY.min_sagas - 1, "a")
    assert late.shed(POLICY.min_sagas, "a")


def test_a_node_that_cannot_even_take_the_calls_turns_a_share_away_however_few_sagas_it_has() -> None:
    late = lagging(0.0, backlog_s=0.2)
    assert sum(late.shed(3, "a") for _ in range(100)) == pytest.approx(50, abs=1)
    assert late.lags
    assert not lagging(0.0, backlog_s=0.1).lags
    flooded = lagging(0.0, backlog_s=9.0)
    assert sum(flooded.shed(3, "a") for _ in range(99)) == pytest.approx(66, abs=1), "or it would only refuse"
    assert sum(flooded.shed(MANY, "a") for _ in range(99)) == 99, "it has enough to do without"


def test_a_delay_counts_once_it_stands() -> None:
    late = admission()
    for _ in range(SAMPLES - 1):
        late.sample(9.0, 0.0)
    assert not late.shed(MANY, "a")
    late.sample(9.0, 0.0)
    assert late.shed(MANY, "a")
    late.sample(0.0, 0.0)
    assert not late.shed(MANY, "a"), "the backlog was gone for a moment, so there is none that stands"
    late.forget_samples()
    assert late.delay_s == 0.0


def test_the_caps_hold_for_the_node_for_starts_and_for_each_caller() -> None:
    few = admission()
    assert few.is_full(POLICY.max_sagas, "a")
    first, *_ = start(few, "a", POLICY.max_sagas_per_caller)
    assert few.is_full(60, "a")
    assert not few.is_full(60, "b")
    start(few, "b", 15)
    assert few.is_full(75, "c"), "a quarter is left for what is taken over"
    few.left(first)
    few.left(first)
    assert not few.is_full(74, "a")


def test_takeovers_leave_room_for_starts_and_starts_for_takeovers() -> None:
    taken = admission()
    assert taken.room_for_claims(0) == 75
    assert taken.room_for_claims(75) == 0
    start(taken, times=50)
    assert taken.room_for_claims(50) == 50
    assert taken.room_for_claims(100) == 0


def test_each_that_is_turned_away_is_told_to_come_behind_the_others() -> None:
    clock = Clock()
    full = admission(clock)
    told = [full.appointment_s() for _ in range(200)]
    assert told[0] == LEAST_DELAY_S
    assert told == sorted(told)
    assert told[-1] == pytest.approx(200 / 50, rel=0.01), "at half of 100 a second, which is assumed at first"
    clock.now_s += 2.0
    assert full.appointment_s() == pytest.approx(201 / 50 - 2, rel=0.01), "time has passed for all of them"
    assert full.refused == 201


def test_the_pace_of_appointments_is_that_of_the_starts_and_the_delay_is_bounded() -> None:
    clock = Clock()
    full = admission(clock)
    told = [0.0]
    for _ in range(30):
        start(full, times=20)
        told = [full.appointment_s() for _ in range(50)]
        clock.now_s += 1.0
    assert full.appointment_s() <= 30.0
    assert told[-1] > 20.0
    clock.now_s += 60.0
    told = [full.appointment_s() for _ in range(20)]
    assert told[-1] == pytest.approx(2.0, rel=0.1), "twenty at half of 20 a second"


def test_a_quiet_hour_does_not_make_the_node_look_slow() -> None:
    clock = Clock()
    full = admission(clock)
    for _ in range(10):
        clock.now_s += 60.0
        start(full)
    assert [full.appointment_s() for _ in range(50)][-1] == pytest.approx(1.0)


async def test_the_pulse_tells_the_greatest_delays_while_starts_are_asked_for() -> None:
    clock, samples, rested = Clock(), asyncio.Queue[tuple[float, float]](), asyncio.Event()
    pulse = Pulse(clock, lambda: clock.now_s - 0.2, lambda *both: samples.put_nowait(both), rested.set)
    pulse.watch(lambda: 0.7)
    pulse.watch(lambda: 0.6)
    async with asyncio.timeout(5):
        pulse.touch()
        for _ in range(2):
            assert await samples.get() == pytest.approx((0.2, 0.7))
        clock.now_s += 3 * REST_S  # it stood still for as long, too
        await rested.wait()
        assert max(samples.get_nowait()[0] for _ in range(samples.qsize())) == pytest.approx(3 * REST_S - BEAT_S)
        pulse.touch()
        assert await samples.get() == pytest.approx((0.2, 0.7))
