"""The table of outcomes, swept: every code with every combination of what else an answer may carry."""

from itertools import product

import pytest

from orchestrator.core.outcome import MAX_CODE, RECLASSIFIABLE, Outcome, classify

VERDICTS = {3, 5, 6, 9, 11}
BUSY = {8, 10}
MISCONFIGURED = {7, 12, 16}
BARRIER = {
    "SUPERSEDED": Outcome.SUPERSEDED,
    "STALE_EPOCH": Outcome.STALE_EPOCH,
    "KEY_REUSED": Outcome.KEY_REUSED,
    "MISSING_METADATA": Outcome.MISCONFIGURED,
    "MESSAGE_TOO_LARGE": Outcome.REFUSED,
}
FLAGS = list(product([False, True], repeat=3))
REASONS = [None, "INVALID_REQUEST", *BARRIER]
CODES = [*range(MAX_CODE + 1), 17, 99]


@pytest.mark.parametrize("code", CODES)
def test_every_code_with_every_flag(code: int) -> None:
    for (proven, retry_delay, has_barrier), reason in product(FLAGS, REASONS):
        got = classify(
            code,
            proven=proven,
            retry_delay=retry_delay,
            barrier_reason=reason,
            has_barrier=has_barrier,
            reclassify={},
        )
        if code == 0:
            expected = Outcome.SUCCESS
        elif reason in BARRIER:
            expected = BARRIER[reason]
        elif retry_delay or code in BUSY:
            expected = Outcome.BUSY
        elif code in MISCONFIGURED:
            expected = Outcome.MISCONFIGURED
        elif code not in VERDICTS:
            expected = Outcome.UNKNOWN
        elif proven or (not has_barrier and reason is None):
            expected = Outcome.REJECTED
        else:
            expected = Outcome.REFUSED
        assert got is expected, (code, proven, retry_delay, has_barrier, reason)


@pytest.mark.parametrize("target", sorted(RECLASSIFIABLE))
@pytest.mark.parametrize("code", CODES[1:])
def test_reclassification_gives_no_proof_and_yields_to_barrier_and_delay(code: int, target: Outcome) -> None:
    for (proven, retry_delay, has_barrier), reason in product(FLAGS, REASONS):
        got = classify(
            code,
            proven=proven,
            retry_delay=retry_delay,
            barrier_reason=reason,
            has_barrier=has_barrier,
            reclassify={code: target},
        )
        if has_barrier and not proven:
            assert got is not Outcome.REJECTED
        if reason in BARRIER:
            assert got is BARRIER[reason]
        elif retry_delay:
            assert got is Outcome.BUSY
        elif target is Outcome.REJECTED and not proven and (has_barrier or reason is not None):
            assert got is Outcome.REFUSED
        else:
            assert got is target


def test_a_success_is_never_reclassified() -> None:
    got = classify(
        0,
        proven=False,
        retry_delay=False,
        barrier_reason=None,
        has_barrier=True,
        reclassify={0: Outcome.UNKNOWN},
    )
    assert got is Outcome.SUCCESS
