"""How many calls a participant gets at a time."""

from typing import Final

from orchestrator.engine.breakers import BreakerPolicy, BreakerState
from orchestrator.engine.lanes import Lane, LanePolicy

SERVICE: Final = "inventory.v1.InventoryService"
NOW_S: Final = 100.0


def lane(max_calls: int = 8) -> Lane:
    return Lane(SERVICE, LanePolicy(max_calls, breaker=BreakerPolicy(min_calls=4)))


def play(lane: Lane, *, failed: bool | None, times: int = 1) -> None:
    for _ in range(times):
        lane.end(lane.begin(), NOW_S, failed=failed)


def test_a_lane_has_room_for_so_many_calls_and_queues_the_rest() -> None:
    full = lane(max_calls=2)
    tokens = [full.begin(), full.begin()]
    assert (full.room, full.is_shut) == (0, False)
    full.end(tokens[0], NOW_S, failed=None)
    assert full.room == 1


def test_an_open_breaker_shuts_the_lane() -> None:
    shut = lane()
    play(shut, failed=True, times=4)
    assert (shut.room, shut.is_shut) == (0, True)
    shut.breaker.probe()
    assert (shut.room, shut.is_shut) == (3, True)


def test_after_the_probes_the_calls_grow_by_one_with_each_success() -> None:
    back = lane()
    play(back, failed=True, times=4)
    back.breaker.probe()
    play(back, failed=False)
    rooms = [back.room]
    for _ in range(7):
        play(back, failed=False)
        rooms.append(back.room)
    assert rooms == [3, 4, 5, 6, 7, 8, 8, 8]


def test_calls_that_hang_from_before_take_room_from_those_after() -> None:
    back = lane()
    hanging = [back.begin() for _ in range(2)]
    play(back, failed=True, times=4)
    back.breaker.probe()
    play(back, failed=False)
    assert back.room == 1
    for token in hanging:
        back.end(token, NOW_S, failed=True)
    assert (back.room, back.breaker.state) == (3, BreakerState.CLOSED)


def test_a_hold_shuts_the_lane_until_its_release_whatever_the_breaker_says() -> None:
    held = lane()
    held.held = True
    assert (held.room, held.is_shut) == (0, True)
    held.release()
    held.release()
    assert (held.room, held.is_shut) == (3, False)


def test_the_status_tells_what_there_is() -> None:
    told = lane()
    play(told, failed=True)
    told.begin()
    status = told.status(NOW_S)
    assert (status.service, status.breaker, status.held) == (SERVICE, BreakerState.CLOSED, False)
    assert (status.in_flight, status.queued, status.blocked) == (1, 0, 0)
    assert (status.recent_calls, status.failure_share, status.opens, status.probe_in_s) == (1, 1.0, 0, None)
    told.probe_s = NOW_S + 2
    assert told.status(NOW_S + 0.5).probe_in_s == 1.5
    assert told.status(NOW_S + 5).probe_in_s == 0.0
