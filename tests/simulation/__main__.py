"""``python -m tests.simulation --seed 1 --rounds 100``: many runs, and a table of what they went through."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence

from orchestrator.core.state import SagaStatus
from tests.simulation.definitions import SETS, find_registry
from tests.simulation.mishaps import GROUPS
from tests.simulation.report import explain
from tests.simulation.world import Plan, run


def main(arguments: Sequence[str]) -> int:
    """Runs ``rounds`` seeds from ``seed`` on, in both modes; returns 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sagas", type=int, default=150, help="in one round")
    parser.add_argument(
        "--definitions", default="all", help=f"{', '.join(SETS)}, all, or modules with sagas, with commas between them"
    )
    given = parser.parse_args(arguments)
    names = list(SETS) if given.definitions == "all" else [given.definitions]
    registries = [find_registry(name) for name in names]
    ends: Counter[str] = Counter()
    mishaps: Counter[str] = Counter()
    began_s, sagas = time.monotonic(), 0
    say(f"seed {given.seed}, {given.rounds} rounds of {given.sagas} sagas")
    for seed in range(given.seed, given.seed + given.rounds):
        registry = registries[seed % len(registries)]
        # Every fourth seed in safety mode: judged as it stands, in the middle of everything.
        done = run(Plan(seed, registry, sagas=given.sagas, heals=seed % 4 != 3))
        if done.violations:
            for line in explain(done):
                say(line)
            say(f"again: make simulate SEED={seed} ROUNDS=1 SAGAS={given.sagas} DEFINITIONS={given.definitions}")
            return 1
        sagas += len(done.history.sagas)
        ends.update(SagaStatus(saga.state).name for saga in done.history.sagas.values())
        mishaps.update(done.counts)
    elapsed_s = time.monotonic() - began_s
    say(f"{sagas} sagas in {elapsed_s:.1f} s: {sagas / elapsed_s:.0f} a second; no violation")
    say("ends: " + ", ".join(f"{count} {name}" for name, count in ends.most_common()))
    for group, kinds in GROUPS.items():
        say(f"{group}: " + ", ".join(f"{kind} {mishaps[f'{group}:{kind}']}" for kind in kinds))
    return 0


def say(line: str) -> None:
    """One line of the report."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
