"""``python -m tests.chaos --seed N``: every class of the catalogue on real processes under load, a storm, a report.

Exits with 1 on a violation, on a class that did not fire, and on sagas that did not end within their bound.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import Run


async def play(arguments: argparse.Namespace) -> int:
    """Returns the exit code."""
    directory = Path(tempfile.mkdtemp(prefix="saga-chaos-"))
    run = Run(
        directory, arguments.seed, full=not arguments.short, only=arguments.only.split(",") if arguments.only else []
    )
    began = time.monotonic()
    ok = await run.play(storm_s=arguments.storm)
    sys.stdout.write(run.report(time.monotonic() - began) + "\n")
    if ok:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        sys.stdout.write(f"logs are in {directory}; again with --seed {arguments.seed}\n")
    return 0 if ok else 1


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="draws everything; printed (default: a new one)")
    parser.add_argument("--short", action="store_true", help="the quick classes alone, at their shortest")
    parser.add_argument("--only", default="", help="classes, such as F3,F8")
    parser.add_argument("--storm", type=float, default=300.0, help="seconds of faults one upon the other at the end")
    arguments = parser.parse_args()
    arguments.seed = arguments.seed or random.SystemRandom().randrange(1, 1 << 32)
    sys.stdout.write(f"seed {arguments.seed}\n")
    sys.exit(asyncio.run(play(arguments)))


if __name__ == "__main__":
    main()
