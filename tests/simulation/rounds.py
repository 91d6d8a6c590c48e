"""Single rounds, each of which may run in a process of its own."""

import gc
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import structlog

from tests.simulation.definitions import SETS, find_registry
from tests.simulation.report import actions, summary
from tests.simulation.world import Plan, run

MODES: Final = ("both", "safety", "liveness")


@dataclass(frozen=True, slots=True)
class Kind:
    """What all rounds of a command have in common."""

    sagas: int = 150
    definitions: str = "all"
    mode: str = "both"

    @property
    def _sets(self) -> list[str]:
        return list(SETS) if self.definitions == "all" else [self.definitions]

    def load(self) -> None:
        """Loads the definitions, so that no process that is forked from here has to. Raises ``DefinitionErrors``."""
        for name in self._sets:
            find_registry(name)

    def plan(self, seed: int) -> Plan:
        """What a seed stands for. In both modes, every fourth is judged as it stands, in the middle of everything."""
        names = self._sets
        heals = seed % 4 != 3 if self.mode == "both" else self.mode == "liveness"
        return Plan(seed, find_registry(names[seed % len(names)]), sagas=self.sagas, heals=heals)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a round came to."""

    seed: int
    ends: Counter[str]
    mishaps: Counter[str]
    actions: Counter[str]
    has_failed: bool
    cpu_s: float


def judge(seed: int, kind: Kind) -> Judged:
    """One round."""
    began_s = time.process_time()
    done = run(kind.plan(seed))
    ends, mishaps, acted, has_failed = *summary([done]), actions([done]), bool(done.violations)
    del done
    gc.collect()
    return Judged(seed, ends, mishaps, acted, has_failed, time.process_time() - began_s)


def prepare() -> None:
    """For a process that judges many rounds: what a round leaves is collected after it, and nothing else is walked; and
    loggers are made once.
    """
    structlog.configure(cache_logger_on_first_use=True)
    gc.collect()
    gc.freeze()  # modules and descriptors are a hundred times as much as a round leaves
    gc.disable()
