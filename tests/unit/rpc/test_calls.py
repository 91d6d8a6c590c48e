"""How long a handler may wait for its caller's sake."""

from typing import Any, cast

import pytest

from orchestrator.rpc.calls import wait_budget_s


class Context:
    """As much of a call as is asked for."""

    def __init__(self, remaining_s: float | None) -> None:
        self._remaining_s = remaining_s

    def time_remaining(self) -> float | None:
        return self._remaining_s


@pytest.mark.parametrize(
    ("remaining_s", "expected_s"),
    [(None, 60.0), (10.0, 9.5), (0.2, 0.15), (0.05, 0.0), (0.0, 0.0), (1e6, 60.0)],
)
def test_the_answer_leaves_before_the_deadline(remaining_s: float | None, expected_s: float) -> None:
    assert wait_budget_s(cast("Any", Context(remaining_s)), 60.0) == pytest.approx(expected_s)
