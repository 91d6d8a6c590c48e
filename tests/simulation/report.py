"""Prints a failing run so that a person can follow it."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from orchestrator.core.state import SagaStatus
from tests.simulation.by_hand import FOLLOWED_BY, answers
from tests.simulation.shrink import Shrinker, callers
from tests.simulation.world import Run, told

MAX_LINES: Final = 400
MAX_VIOLATIONS: Final = 10


def explain(failing: Run) -> Iterator[str]:
    """The violations, what it takes to see them, and who did what when, in the smallest run that shows them."""
    plan = failing.plan
    yield f"seed {plan.seed}: {len(failing.violations)} violations"
    yield from (f"  {text}" for text in failing.violations[:MAX_VIOLATIONS])
    shrinker = Shrinker(failing)
    small = shrinker.shrink()
    again = told(small.plan)
    rest = f"{len(callers(small.plan))} sagas on {small.plan.nodes} nodes and {len(again.fired)} mishaps"
    yield f"shrunk to {rest}, {'each of which it needs' if shrinker.is_minimal else 'and no time for more'}:"
    yield from (f"  {fired}" for fired in again.fired)
    yield from (f"  {text}" for text in again.violations[:MAX_VIOLATIONS])
    yield "who did what when (virtual seconds):"
    if len(again.transcript) > MAX_LINES:
        yield f"  ... {len(again.transcript) - MAX_LINES} lines before"
    yield from (f"  {line}" for line in again.transcript[-MAX_LINES:])


def actions(runs: Iterable[Run]) -> Counter[str]:
    """Over many runs: operators' actions as the journals answer them, such as ``granted retry``."""
    return Counter(
        f"{'refused' if answer.HasField('refusal') else 'granted'} {answer.kind}"
        for each in runs
        for saga in each.history.sagas.values()
        for _, answer in answers(saga)
        if answer.kind in FOLLOWED_BY
    )


def summary(runs: Iterable[Run]) -> tuple[Counter[str], Counter[str]]:
    """Over many runs: sagas by end, and mishaps by kind."""
    ends: Counter[str] = Counter()
    mishaps: Counter[str] = Counter()
    for each in runs:
        ends.update(SagaStatus(saga.state).name for saga in each.history.sagas.values())
        mishaps.update(each.counts)
    return ends, mishaps
