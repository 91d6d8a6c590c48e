"""What the console remembers of people is bounded."""

from orchestrator.console.access.pace import Allowance, Pace
from orchestrator.console.access.sessions import Sessions
from orchestrator.console.access.viewer import Viewer
from tests.unit.console.signed import Clock

ADA, EVE = Viewer("ada"), Viewer("eve")


def _sessions(clock: Clock) -> Sessions:
    return Sessions(lifetime_s=100, idle_s=50, max_sessions=20, max_per_name=5, monotonic=clock)


def test_the_least_recently_used_session_goes_first() -> None:
    sessions = _sessions(Clock())
    ids = [sessions.begin("t", Viewer(f"person-{number}"), 1000) for number in range(20)]
    assert sessions.find(ids[0], is_use=True)
    sessions.begin("t", EVE, 1000)
    assert len(sessions) == 20
    assert sessions.find(ids[0], is_use=False)
    assert sessions.find(ids[1], is_use=False) is None


def test_whoever_signs_in_again_and_again_puts_out_nobody_else() -> None:
    sessions = _sessions(Clock())
    ada = sessions.begin("t", ADA, 1000)
    eves = [sessions.begin("t", EVE, 1000) for _ in range(1000)]
    assert len(sessions) == 6
    assert sessions.find(ada, is_use=False)
    assert [bool(sessions.find(each, is_use=False)) for each in eves[-6:]] == [False, *[True] * 5]


def test_a_session_ends_by_its_lifetime_its_token_or_its_idleness() -> None:
    clock = Clock(start_s=1000)
    sessions = _sessions(clock)
    long, short, idle = (
        sessions.begin("t", Viewer(name), left_s) for name, left_s in (("a", 1e9), ("b", 60), ("c", 99))
    )

    def alive() -> list[bool]:
        return [sessions.find(each, is_use=each != idle) is not None for each in (long, short, idle)]

    assert alive() == [True, True, True]
    clock.passed_s = 40
    assert alive() == [True, True, True]
    clock.passed_s = 55
    assert alive() == [True, True, False]
    clock.passed_s = 61
    assert alive() == [True, False, False]
    clock.passed_s = 101
    assert alive() == [False, False, False]
    assert len(sessions) == 0


def test_no_id_is_kept() -> None:
    sessions = _sessions(Clock())
    session_id = sessions.begin("t", ADA, 1000)
    session = sessions.find(session_id, is_use=False)
    assert session
    assert len(session.key) == 32
    assert session_id.encode() not in session.key
    assert len({sessions.begin("t", ADA, 1000) for _ in range(100)}) == 100


def _pace(clock: Clock) -> Pace:
    return Pace(Allowance(3, 10.0), Allowance(8, 1.0), 4, clock)


def test_each_client_has_a_pace_of_its_own_and_all_together_one() -> None:
    clock = Clock(start_s=5)
    pace = _pace(clock)
    assert [pace.wait_s("192.0.2.1") for _ in range(4)] == [0, 0, 0, 10]
    assert [pace.wait_s("192.0.2.2") for _ in range(3)] == [0, 0, 0]
    assert [pace.wait_s("192.0.2.3") for _ in range(3)] == [0, 0, 1], "eight in all"
    clock.passed_s = 10
    assert pace.wait_s("192.0.2.1") == 0
    assert pace.wait_s("192.0.2.1") == 10


def test_a_network_of_one_site_counts_as_one_client() -> None:
    pace = _pace(Clock())
    assert [pace.wait_s(f"2001:db8:0:1::{number}") for number in range(4)] == [0, 0, 0, 10]
    assert pace.wait_s("2001:db8:0:2::1") == 0


def test_no_more_clients_are_remembered_than_that() -> None:
    pace = _pace(Clock())
    for number in range(1000):
        pace.wait_s(f"10.0.{number // 256}.{number % 256}")
    assert len(pace) == 4
