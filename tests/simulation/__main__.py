"""``python -m tests.simulation --seed 1 --rounds 100``: many runs, and a table of what they went through."""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial

from tests.simulation.definitions import SETS
from tests.simulation.mishaps import GROUPS
from tests.simulation.report import explain
from tests.simulation.rounds import judge, plan_of
from tests.simulation.world import Plan, run


def main(arguments: Sequence[str]) -> int:
    """Runs ``rounds`` seeds from ``seed`` on, in both modes; returns 1 if an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sagas", type=int, default=150, help="in one round")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rounds at once")
    parser.add_argument(
        "--definitions", default="all", help=f"{', '.join(SETS)}, all, or modules with sagas, with commas between them"
    )
    given = parser.parse_args(arguments)
    say(f"seed {given.seed}, {given.rounds} rounds of {given.sagas} sagas")
    began_s = time.monotonic()
    ends: Counter[str] = Counter()
    mishaps: Counter[str] = Counter()
    work = partial(judge, sagas=given.sagas, definitions=given.definitions)
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        for judged in pool.imap(work, range(given.seed, given.seed + given.rounds)):
            if judged.has_failed:
                pool.terminate()
                return fail(plan_of(judged.seed, sagas=given.sagas, definitions=given.definitions), given.definitions)
            ends += judged.ends
            mishaps += judged.mishaps
    elapsed_s = time.monotonic() - began_s
    say(f"{ends.total()} sagas in {elapsed_s:.1f} s, {ends.total() / elapsed_s:.0f} a second; no violation")
    say("ends: " + ", ".join(f"{count} {name}" for name, count in ends.most_common()))
    for group, kinds in GROUPS.items():
        say(f"{group}: " + ", ".join(f"{kind} {mishaps[f'{group}:{kind}']}" for kind in kinds))
    return 0


def fail(plan: Plan, definitions: str) -> int:
    """Says what was found, and how to find it again."""
    for line in explain(run(plan)):
        say(line)
    say(f"again: make simulate SEED={plan.seed} ROUNDS=1 SAGAS={plan.sagas} DEFINITIONS={definitions}")
    return 1


def say(line: str) -> None:
    """One line of the report."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
