"""``python -m tests.simulation --seed 1 --rounds 100``: many runs, and a table of what they went through."""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

from tests.simulation.by_hand import FOLLOWED_BY
from tests.simulation.definitions import SETS
from tests.simulation.mishaps import GROUPS
from tests.simulation.report import explain
from tests.simulation.rounds import MODES, Judged, Kind, judge, prepare
from tests.simulation.world import run

START: Final = "fork" if sys.platform == "linux" else "spawn"
"""How processes begin. A fork has every module at once; no thread and nothing of gRPC exists yet that would mind."""


def main(arguments: Sequence[str]) -> int:
    """Runs ``rounds`` seeds from ``seed`` on; returns 1 at the first seed with which an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--sagas", type=int, default=150, help="in one round")
    parser.add_argument("--mode", choices=MODES, default="both", help="whether all is healed in the end")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="rounds at once")
    parser.add_argument(
        "--definitions", default="all", help=f"{', '.join(SETS)}, all, or modules with sagas, with commas between them"
    )
    given = parser.parse_args(arguments)
    kind = Kind(given.sagas, given.definitions, given.mode)
    say(f"seed {given.seed}, {given.rounds} rounds of {given.sagas} sagas, {given.jobs} at once, mode {given.mode}")
    kind.load()
    gc.collect()
    gc.freeze()  # once for all processes that are forked from here
    began_s = time.monotonic()
    done: list[Judged] = []
    with multiprocessing.get_context(START).Pool(given.jobs, prepare) as pool:
        # In the order of the seeds, whichever ends first: the same command says the same.
        for judged in pool.imap(partial(judge, kind=kind), range(given.seed, given.seed + given.rounds)):
            if judged.has_failed:
                pool.terminate()
                return fail(judged.seed, kind)
            done.append(judged)
        elapsed_s = time.monotonic() - began_s
    report(done, elapsed_s)
    return 0


def report(done: Sequence[Judged], elapsed_s: float) -> None:
    """How fast it went, how sagas ended, and what went wrong how often."""
    ends = sum((judged.ends for judged in done), Counter[str]())
    mishaps = sum((judged.mishaps for judged in done), Counter[str]())
    actions = sum((judged.actions for judged in done), Counter[str]())
    sagas, cpu_s = ends.total(), sum(judged.cpu_s for judged in done)
    say(f"{sagas} sagas in {elapsed_s:.1f} s: {sagas / elapsed_s:.0f} a second, {sagas / cpu_s:.0f} a second of CPU")
    say("no violation")
    say("ends: " + ", ".join(f"{count} {name}" for name, count in ends.most_common()))
    for answer in ("granted", "refused"):
        say(f"{answer}: " + ", ".join(f"{kind} {actions[f'{answer} {kind}']}" for kind in FOLLOWED_BY))
    for group, kinds in GROUPS.items():
        say(f"{group}: " + ", ".join(f"{kind} {mishaps[f'{group}:{kind}']}" for kind in kinds))


def fail(seed: int, kind: Kind) -> int:
    """Says what was found, and how to find it again."""
    for line in explain(run(kind.plan(seed))):
        say(line)
    say(f"again: make simulate SEED={seed} ROUNDS=1 SAGAS={kind.sagas} DEFINITIONS={kind.definitions} MODE={kind.mode}")
    return 1


def say(line: str) -> None:
    """One line of the report."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
