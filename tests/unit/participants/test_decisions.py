"""The barrier's table, every state against every epoch and hash."""

from itertools import product

import pytest

from contracts.errors import Reason
from participants.kit.decisions import (
    Bury,
    Refuse,
    Replay,
    ReplayVerdict,
    Row,
    Run,
    judge_action,
    judge_compensation,
    judge_settle,
)
from participants.kit.table import BarrierState

D, R, T, U = BarrierState.DONE, BarrierState.REJECTED, BarrierState.TOMBSTONE, BarrierState.UNDONE
HASH = b"h" * 32


def row(state: BarrierState) -> Row:
    answered = b"answer" if state in (D, U) else None
    return Row(state, 5, HASH, answered, b"verdict" if state is R else None)


ANSWER = Replay(b"answer")
SUPERSEDED, REUSED = Refuse(Reason.SUPERSEDED), Refuse(Reason.KEY_REUSED)

ACTION = {
    # state: same epoch, newer epoch, other request
    D: (ANSWER, ANSWER, REUSED),
    R: (ReplayVerdict(b"verdict"), Run(), REUSED),
    T: (SUPERSEDED, SUPERSEDED, SUPERSEDED),
    U: (SUPERSEDED, SUPERSEDED, SUPERSEDED),
}
COMPENSATION = {D: Run(), R: Bury(), T: Replay(b""), U: ANSWER}
SETTLE = {D: ANSWER, R: Bury(), T: Replay(b""), U: ANSWER}


@pytest.mark.parametrize("state", BarrierState)
def test_action(state: BarrierState) -> None:
    same, newer, other = ACTION[state]
    assert judge_action(row(state), 5, HASH) == same
    assert judge_action(row(state), 6, HASH) == newer
    assert judge_action(row(state), 6, b"other") == other


@pytest.mark.parametrize(("state", "epoch"), list(product(BarrierState, (5, 6))))
def test_compensation_and_settle(state: BarrierState, epoch: int) -> None:
    assert judge_compensation(row(state), epoch) == COMPENSATION[state]
    assert judge_settle(row(state), epoch) == SETTLE[state]


@pytest.mark.parametrize("state", BarrierState)
def test_older_epoch_is_stale_whatever_else_holds(state: BarrierState) -> None:
    stale = Refuse(Reason.STALE_EPOCH)
    assert judge_action(row(state), 4, b"other") == stale
    assert judge_compensation(row(state), 4) == stale
    assert judge_settle(row(state), 4) == stale
