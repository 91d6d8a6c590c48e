"""Participants cannot make as many series as they like."""

from orchestrator.telemetry.labels import MAX_REASONS, OTHER, Reasons


def test_a_reason_is_a_label() -> None:
    reasons = Reasons()
    assert reasons.bounded("OUT_OF_STOCK") == "OUT_OF_STOCK"


def test_what_does_not_look_like_a_reason_is_none() -> None:
    reasons = Reasons()
    for given in ("", "alice@example.org", "Out of stock", "A" * 65, "\N{FULLWIDTH LATIN CAPITAL LETTER A}", "A\n"):
        assert reasons.bounded(given) == OTHER, given


def test_there_are_never_too_many() -> None:
    reasons = Reasons()
    given = {reasons.bounded(f"REASON_{number}") for number in range(10 * MAX_REASONS)}
    assert len(given) == MAX_REASONS + 1
    assert reasons.bounded("REASON_0") == "REASON_0", "those that are known stay"
