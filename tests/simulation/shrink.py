"""Makes a failing run small: fewer sagas, nodes and mishaps, until it fails only with every one that is left."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from tests.simulation.world import Plan, Run, run

PartT = TypeVar("PartT")
MAX_RUNS: Final = 600
SCHEDULES: Final = 4
FEW: Final = 10


def invariants(found: Run) -> frozenset[str]:
    """Names of what did not hold, such as ``I3``."""
    return frozenset(text.partition(":")[0] for text in found.violations)


def callers(plan: Plan) -> list[int]:
    """Numbers of the callers that a plan has."""
    return [number for number in range(plan.sagas) if number not in plan.without_callers]


class Shrinker:
    """Bounded by ``max_runs`` runs."""

    def __init__(self, failing: Run, *, max_runs: int = MAX_RUNS) -> None:
        self.best = failing
        self.is_minimal = False
        """Whether each saga and each mishap that is left was left out once more, alone, and the run did not fail."""
        self._wanted = invariants(failing)
        self._runs_left = max_runs

    def shrink(self) -> Run:
        """The smallest failing run that was found."""
        while self._runs_left > 0:
            before = self._size()
            self._reduce(callers(self.best.plan), self._with_callers)
            self._drop_nodes()
            self._drop_kinds()
            self._reduce([str(fired) for fired in self.best.fired], self._with_mishaps)
            if self._size() == before:
                break
        self.is_minimal = self._runs_left > 0
        return self.best

    def _size(self) -> tuple[int, int, int]:
        return len(callers(self.best.plan)), self.best.plan.nodes, len(self.best.fired)

    def _with_callers(self, kept: Sequence[int]) -> Plan:
        return replace(self.best.plan, without_callers=frozenset(range(self.best.plan.sagas)) - frozenset(kept))

    def _with_mishaps(self, kept: Sequence[str]) -> Plan:
        # What did not happen in the run before may not happen in the next one either, or it would never get small.
        return replace(self.best.plan, only=frozenset(kept))

    def _drop_nodes(self) -> None:
        while self.best.plan.nodes > 1 and self._still_fails(replace(self.best.plan, nodes=self.best.plan.nodes - 1)):
            pass

    def _drop_kinds(self) -> None:
        for kind in sorted({(fired.group, fired.kind) for fired in self.best.fired}):
            self._still_fails(
                self._with_mishaps([str(each) for each in self.best.fired if (each.group, each.kind) != kind])
            )

    def _reduce(self, parts: list[PartT], plan_with: Callable[[Sequence[PartT]], Plan]) -> None:
        """Leaves out halves, then quarters, down to single ones, and those until none can go (Zeller and Hildebrandt,
        "Simplifying and isolating failure-inducing input", 2002: the complements of ddmin).
        """
        size = max(1, len(parts) // 2)
        while parts and self._runs_left > 0:
            at, shrunk = 0, False
            while at < len(parts):
                kept = parts[:at] + parts[at + size :]
                if self._still_fails(plan_with(kept)):
                    parts, shrunk = kept, True
                else:
                    at += size
            if size == 1 and not shrunk:
                return
            size = max(1, size // 2)

    def _still_fails(self, plan: Plan) -> bool:
        """Tries a small plan in a few other orders of the same things, too: what was left out may have decided that."""
        for schedule in range(SCHEDULES if len(callers(plan)) <= FEW else 1):
            if self._runs_left <= 0:
                break
            self._runs_left -= 1
            again = run(replace(plan, schedule=plan.schedule + schedule))
            if invariants(again) & self._wanted:
                self.best = again
                return True
        return False
