"""Waiting and giving up: bounded, spread out, and the same on every replay."""

from statistics import mean

import pytest

from orchestrator.core.backoff import US, backoff_us, is_spent, jitter
from orchestrator.core.definition import RetryPolicy

POLICY = RetryPolicy(initial_backoff_s=0.5, multiplier=2.0, max_backoff_s=8.0, max_attempts=4, budget_s=60.0)


def test_jitter_depends_on_its_arguments_alone() -> None:
    assert jitter("saga", "step", 1) == jitter("saga", "step", 1)
    assert len({jitter(saga, step, n) for saga in ("s", "t") for step in ("a", "b") for n in range(50)}) == 200


def test_jitter_never_changes_between_versions() -> None:
    assert jitter("0190-saga", "reserve/1", 1) == pytest.approx(0.332698, abs=1e-6)


def test_jitter_is_spread_over_the_whole_range() -> None:
    drawn = [jitter(f"saga-{n}", "step", 1) for n in range(2000)]
    assert all(0 <= value < 1 for value in drawn)
    assert mean(drawn) == pytest.approx(0.5, abs=0.03)
    assert min(drawn) < 0.01
    assert max(drawn) > 0.99


@pytest.mark.parametrize(
    ("counted", "bound_s"), [(0, 0.5), (1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 8), (65, 8), (10**6, 8)]
)
def test_the_wait_stays_below_the_bound(counted: int, bound_s: float) -> None:
    drawn = [backoff_us(POLICY, f"s{n}", "a", attempt=1, counted_attempts=counted) for n in range(500)]
    assert all(0 <= wait < bound_s * US for wait in drawn)
    assert max(drawn) > 0.95 * bound_s * US


@pytest.mark.parametrize(
    ("counted", "elapsed_s", "spent"), [(0, 0, False), (3, 59, False), (4, 0, True), (0, 60, True), (9, 99, True)]
)
def test_either_budget_may_be_spent(counted: int, elapsed_s: int, *, spent: bool) -> None:
    assert is_spent(POLICY, counted, 7 * US, (7 + elapsed_s) * US) is spent
