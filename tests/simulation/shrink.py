"""Makes a failing run small: fewer callers, then fewer mishaps, as long as the same invariant does not hold."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from tests.simulation.world import Plan, Run, run

PartT = TypeVar("PartT")
MAX_RUNS: Final = 200


def invariants(found: Run) -> frozenset[str]:
    """Names of what did not hold, such as ``I3``."""
    return frozenset(text.partition(":")[0] for text in found.violations)


class Shrinker:
    """Bounded by ``max_runs`` runs."""

    def __init__(self, failing: Run, *, max_runs: int = MAX_RUNS) -> None:
        self.best = failing
        self._wanted = invariants(failing)
        self._runs_left = max_runs

    def shrink(self) -> Run:
        """The smallest failing run that was found."""
        self._drop(list(range(self.best.plan.sagas)), self._without_callers)
        for kind in sorted({(fired.group, fired.kind) for fired in self.best.fired}):
            alike = [str(fired) for fired in self.best.fired if (fired.group, fired.kind) == kind]
            if self._runs_left > 0:
                self._still_fails(self._without_mishaps(alike))
        self._drop([str(fired) for fired in self.best.fired], self._without_mishaps)
        return self.best

    def _without_callers(self, dropped: Sequence[int]) -> Plan:
        return replace(self.best.plan, without_callers=self.best.plan.without_callers | frozenset(dropped))

    def _without_mishaps(self, dropped: Sequence[str]) -> Plan:
        return replace(self.best.plan, without=self.best.plan.without | frozenset(dropped))

    def _drop(self, parts: list[PartT], plan_without: Callable[[Sequence[PartT]], Plan]) -> None:
        """Leaves out halves, then quarters, down to single ones (Zeller, delta debugging)."""
        size = max(1, len(parts) // 2)
        while parts and self._runs_left > 0:
            at, shrunk = 0, False
            while at < len(parts) and self._runs_left > 0:
                dropped = parts[at : at + size]
                if self._still_fails(plan_without(dropped)):
                    del parts[at : at + size]
                    shrunk = True
                else:
                    at += size
            if size == 1 and not shrunk:
                return
            size = max(1, size // 2)

    def _still_fails(self, plan: Plan) -> bool:
        self._runs_left -= 1
        again = run(plan)
        if invariants(again) & self._wanted:
            self.best = again
            return True
        return False
