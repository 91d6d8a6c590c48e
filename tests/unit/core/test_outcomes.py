"""What the end of an attempt leads to: every kind of step, barrier, outcome, phase, side of the pivot and budget.

The saga is ``before → x`` where x stands before the pivot or is it, else ``before (the pivot) → x``. A cell holds the
events of the move; what it asks for follows from them and is checked beside it.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import pytest

from orchestrator.core.definition import SagaSpec, StepKind
from orchestrator.core.events import Phase
from orchestrator.core.inputs import StepSettled
from orchestrator.core.outcome import Outcome
from orchestrator.core.state import SagaStatus
from tests.unit.core.build import Node, Play, saga

# `turn` is CompensationStarted, `again` is AttemptFailed. Where two cells stand, the budget is left in the first and
# spent with this attempt in the second. `done` is StepSucceeded, and SagaCompleted with it: x is the last step.
ACTIONS: Final = """
kind           barrier past  outcome        budget left          budget spent
COMPENSATABLE  yes     no    SUCCESS        done                 done
COMPENSATABLE  yes     no    REJECTED       rejected,turn        rejected,turn
COMPENSATABLE  yes     no    REFUSED        unknown,turn         unknown,turn
COMPENSATABLE  yes     no    BUSY           again                unknown,turn
COMPENSATABLE  yes     no    UNKNOWN        again                unknown,turn
COMPENSATABLE  yes     no    MISCONFIGURED  blocked              blocked
COMPENSATABLE  yes     no    SUPERSEDED     stuck                stuck
COMPENSATABLE  yes     no    STALE_EPOCH    stuck                stuck
COMPENSATABLE  yes     no    KEY_REUSED     stuck                stuck

COMPENSATABLE  no      no    SUCCESS        done                 done
COMPENSATABLE  no      no    REJECTED       rejected,turn        rejected,turn
COMPENSATABLE  no      no    REFUSED        rejected,turn        rejected,turn
COMPENSATABLE  no      no    BUSY           again                unknown,stuck
COMPENSATABLE  no      no    UNKNOWN        again                unknown,stuck
COMPENSATABLE  no      no    MISCONFIGURED  blocked              blocked
COMPENSATABLE  no      no    SUPERSEDED     stuck                stuck
COMPENSATABLE  no      no    STALE_EPOCH    stuck                stuck
COMPENSATABLE  no      no    KEY_REUSED     stuck                stuck

PIVOT          yes     yes   SUCCESS        done                 done
PIVOT          yes     yes   REJECTED       rejected,turn        rejected,turn
PIVOT          yes     yes   REFUSED        unknown              unknown
PIVOT          yes     yes   BUSY           again                unknown
PIVOT          yes     yes   UNKNOWN        again                unknown
PIVOT          yes     yes   MISCONFIGURED  blocked              blocked
PIVOT          yes     yes   SUPERSEDED     stuck                stuck
PIVOT          yes     yes   STALE_EPOCH    stuck                stuck
PIVOT          yes     yes   KEY_REUSED     stuck                stuck

PIVOT          no      yes   SUCCESS        done                 done
PIVOT          no      yes   REJECTED       rejected,turn        rejected,turn
PIVOT          no      yes   REFUSED        rejected,turn        rejected,turn
PIVOT          no      yes   BUSY           again                unknown,stuck
PIVOT          no      yes   UNKNOWN        again                unknown,stuck
PIVOT          no      yes   MISCONFIGURED  blocked              blocked
PIVOT          no      yes   SUPERSEDED     stuck                stuck
PIVOT          no      yes   STALE_EPOCH    stuck                stuck
PIVOT          no      yes   KEY_REUSED     stuck                stuck

RETRIABLE      yes     yes   SUCCESS        done                 done
RETRIABLE      yes     yes   REJECTED       rejected,stuck       rejected,stuck
RETRIABLE      yes     yes   REFUSED        unknown,stuck        unknown,stuck
RETRIABLE      yes     yes   BUSY           again                unknown,stuck
RETRIABLE      yes     yes   UNKNOWN        again                unknown,stuck
RETRIABLE      yes     yes   MISCONFIGURED  blocked              blocked
RETRIABLE      yes     yes   SUPERSEDED     stuck                stuck
RETRIABLE      yes     yes   STALE_EPOCH    stuck                stuck
RETRIABLE      yes     yes   KEY_REUSED     stuck                stuck

RETRIABLE      no      yes   SUCCESS        done                 done
RETRIABLE      no      yes   REJECTED       rejected,stuck       rejected,stuck
RETRIABLE      no      yes   REFUSED        rejected,stuck       rejected,stuck
RETRIABLE      no      yes   BUSY           again                unknown,stuck
RETRIABLE      no      yes   UNKNOWN        again                unknown,stuck
RETRIABLE      no      yes   MISCONFIGURED  blocked              blocked
RETRIABLE      no      yes   SUPERSEDED     stuck                stuck
RETRIABLE      no      yes   STALE_EPOCH    stuck                stuck
RETRIABLE      no      yes   KEY_REUSED     stuck                stuck

READ_ONLY      either  no    SUCCESS        done                 done
READ_ONLY      either  no    REJECTED       rejected,turn        rejected,turn
READ_ONLY      either  no    REFUSED        rejected,turn        rejected,turn
READ_ONLY      either  no    BUSY           again                unknown,turn
READ_ONLY      either  no    UNKNOWN        again                unknown,turn
READ_ONLY      either  no    MISCONFIGURED  blocked              blocked
READ_ONLY      either  no    SUPERSEDED     stuck                stuck
READ_ONLY      either  no    STALE_EPOCH    stuck                stuck
READ_ONLY      either  no    KEY_REUSED     stuck                stuck

READ_ONLY      either  yes   SUCCESS        done                 done
READ_ONLY      either  yes   REJECTED       rejected,stuck       rejected,stuck
READ_ONLY      either  yes   REFUSED        rejected,stuck       rejected,stuck
READ_ONLY      either  yes   BUSY           again                unknown,stuck
READ_ONLY      either  yes   UNKNOWN        again                unknown,stuck
READ_ONLY      either  yes   MISCONFIGURED  blocked              blocked
READ_ONLY      either  yes   SUPERSEDED     stuck                stuck
READ_ONLY      either  yes   STALE_EPOCH    stuck                stuck
READ_ONLY      either  yes   KEY_REUSED     stuck                stuck
"""

# An undo is never judged by whether a barrier is kept: it has to go through, or an operator is called.
UNDOS: Final = """
kind           barrier past  outcome        budget left          budget spent
COMPENSATABLE  either  no    SUCCESS        undone               undone
COMPENSATABLE  either  no    REJECTED       stuck                stuck
COMPENSATABLE  either  no    REFUSED        stuck                stuck
COMPENSATABLE  either  no    BUSY           again                stuck
COMPENSATABLE  either  no    UNKNOWN        again                stuck
COMPENSATABLE  either  no    MISCONFIGURED  blocked              blocked
COMPENSATABLE  either  no    SUPERSEDED     stuck                stuck
COMPENSATABLE  either  no    STALE_EPOCH    stuck                stuck
COMPENSATABLE  either  no    KEY_REUSED     stuck                stuck
"""

WORDS: Final = {
    "StepSucceeded x": "done",
    "StepRejected x": "rejected",
    "StepUnknown x": "unknown",
    "StepCompensated x": "undone",
    "StepBlocked x": "blocked",
    "AttemptFailed x": "again",
    "CompensationStarted x": "turn",
    "SagaStuck x": "stuck",
}


@dataclass(frozen=True, slots=True)
class Case:
    kind: StepKind
    barrier: bool
    past: bool
    outcome: Outcome
    spent: bool
    events: str

    def spec(self) -> SagaSpec:
        before = StepKind.PIVOT if self.past and self.kind is not StepKind.PIVOT else StepKind.COMPENSATABLE
        return saga(Node("before", before), Node("x", self.kind, "before", barrier=self.barrier))


def read(table: str) -> list[Case]:
    """The table's rows, one case for each barrier and each budget that a row speaks of."""
    cases = []
    for line in table.strip().splitlines()[1:]:
        if not line:
            continue
        kind, barrier, past, outcome, left, spent = line.split()
        barriers = {"yes": [True], "no": [False], "either": [True, False]}[barrier]
        cases += [
            Case(StepKind[kind], has, past == "yes", Outcome[outcome], is_spent, events)
            for has, (is_spent, events) in product(barriers, [(False, left), (True, spent)])
        ]
    return cases


def name(case: Case) -> str:
    barrier, past = ("" if case.barrier else "no-"), ("past" if case.past else "before")
    return f"{case.kind.name}-{barrier}barrier-{past}-{case.outcome.name}-{'spent' if case.spent else 'left'}"


def spend_all_but_one(play: Play) -> None:
    """Leaves one attempt; without an unknown end, which would say something of its own."""
    for _ in range(2):
        play.ends("x", Outcome.BUSY)
        play.timer("x")


def ended_attempts(case: Case) -> int:
    """How many were counted: all, the one that stopped the saga too, but for those that found the way blocked."""
    return (2 if case.spent else 0) + (case.events != "blocked")


def told(play: Play) -> str:
    return ",".join(WORDS[word] for word in play.said() if not word.startswith("SagaCompleted"))


def test_the_tables_name_every_case() -> None:
    sides = {
        StepKind.COMPENSATABLE: [False],  # an ancestor of the pivot
        StepKind.PIVOT: [True],  # from its own intent on
        StepKind.RETRIABLE: [True],
        StepKind.READ_ONLY: [False, True],
    }
    every = {
        (kind, barrier, past, outcome, spent)
        for kind, barrier, outcome, spent in product(StepKind, (True, False), Outcome, (False, True))
        for past in sides[kind]
    }
    cases = [(case.kind, case.barrier, case.past, case.outcome, case.spent) for case in read(ACTIONS)]
    assert len(cases) == len(set(cases))
    assert set(cases) == every
    assert len(read(UNDOS)) == 2 * 2 * len(Outcome)


@pytest.mark.parametrize("case", read(ACTIONS), ids=name)
def test_the_end_of_an_action(case: Case) -> None:
    play = Play(case.spec())
    play.ends("before")
    if case.spent:
        spend_all_but_one(play)
    assert play.step("x").in_flight is Phase.ACTION
    play.ends("x", case.outcome)
    assert told(play) == case.events
    x_may_have_run = play.said()[0] == "StepUnknown x" and case.kind is StepKind.COMPENSATABLE
    assert play.asked() == {
        "done": [],
        "again": ["x.timer"],
        "blocked": ["x.timer"],
        "unknown": ["x.settle"],
        "rejected,turn": ["before.compensation"],
        "unknown,turn": ["x.compensation" if x_may_have_run else "before.compensation"],
    }.get(case.events, [])
    assert (play.state.status is SagaStatus.COMPLETED) == (case.events == "done")
    assert play.step("x").attempts == ended_attempts(case)


@pytest.mark.parametrize("case", read(UNDOS), ids=name)
def test_the_end_of_a_compensation(case: Case) -> None:
    play = Play(saga(Node("before"), Node("x", after="before", barrier=case.barrier), Node("z", after="x")))
    for done in ("before", "x"):
        play.ends(done)
    play.ends("z", Outcome.REJECTED)
    if case.spent:
        spend_all_but_one(play)
    assert play.step("x").in_flight is Phase.COMPENSATION
    play.ends("x", case.outcome)
    assert told(play) == case.events
    waits, goes_on = case.events in {"again", "blocked"}, case.events == "undone"
    assert play.asked() == (["x.timer"] if waits else ["before.compensation"] if goes_on else [])
    assert (play.step("x").attempts, play.step("x").compensation_attempts) == (1, ended_attempts(case))


@pytest.mark.parametrize("outcome", Outcome)
def test_a_settling_that_did_not_answer_is_blocked_whatever_it_said(outcome: Outcome) -> None:
    play = Play(saga(Node("before"), Node("x", StepKind.PIVOT, "before")))
    play.ends("before")
    play.ends("x", Outcome.REFUSED)
    for recorded in (["StepBlocked x"], []):
        play.ends("x", outcome)
        assert (play.said(), play.asked()) == (recorded, ["x.timer"])
        play.timer("x")
        assert play.asked() == ["x.settle"]


@pytest.mark.parametrize(
    ("done", "undone", "said", "asked"),
    [
        (True, False, ["StepSucceeded x", "SagaCompleted"], []),
        (False, False, ["StepRejected x", "CompensationStarted x"], ["before.compensation"]),
        (False, True, ["SagaStuck x"], []),
    ],
)
def test_a_settling_that_answered(*, done: bool, undone: bool, said: list[str], asked: list[str]) -> None:
    play = Play(saga(Node("before"), Node("x", StepKind.PIVOT, "before")))
    play.ends("before")
    play.ends("x", Outcome.REFUSED)
    play.give(StepSettled(1, done, undone, b""))
    assert (play.said(), play.asked()) == (said, asked)
