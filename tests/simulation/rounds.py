"""Single rounds, each of which may run in a process of its own."""

import gc
from collections import Counter
from dataclasses import dataclass

from tests.simulation.definitions import SETS, find_registry
from tests.simulation.report import summary
from tests.simulation.world import Plan, run


@dataclass(frozen=True, slots=True)
class Judged:
    """What a round came to."""

    seed: int
    ends: Counter[str]
    mishaps: Counter[str]
    has_failed: bool


def plan_of(seed: int, *, sagas: int, definitions: str) -> Plan:
    """The plan that a seed stands for."""
    names = list(SETS) if definitions == "all" else [definitions]
    # Every fourth seed in safety mode: judged as it stands, in the middle of everything.
    return Plan(seed, find_registry(names[seed % len(names)]), sagas=sagas, heals=seed % 4 != 3)


def judge(seed: int, *, sagas: int, definitions: str) -> Judged:
    """One round, in a process of its own."""
    gc.collect()
    gc.disable()  # a round is short, and walking its objects again and again costs a tenth of it
    done = run(plan_of(seed, sagas=sagas, definitions=definitions))
    return Judged(seed, *summary([done]), bool(done.violations))
