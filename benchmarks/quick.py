"""``python -m benchmarks.quick``: in two minutes, the ratios that the full benchmark tracks, next to those kept.

``--keep`` puts them into ``benchmarks/baseline.json``. Ratios and counts of a saga travel between machines better than
rates; a change for the worse of more than 15 % is marked.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import TABLE_WIDTH, Options, directory_of_a_run, run
from benchmarks.bench import running
from benchmarks.measure import Length, LoadError
from benchmarks.processes import ProgramError
from benchmarks.scenarios import Site
from benchmarks.summary import QUICK, summarise, tracked
from orchestrator.local.stack import cancel_on_signals

BASELINE: Final = Path(__file__).with_name("baseline.json")
WORSE: Final = 0.15
LENGTH: Final = Length(seconds=4.0, warm_up_s=1.0)
REPEATS: Final = 3


async def measure(console: Console) -> dict[str, float]:
    """The values now. Raises ``LoadError`` and ``ProgramError``."""
    cancel_on_signals()
    chosen = Options(LENGTH, REPEATS, 0.0, [Site.TRIVIAL], [1, 64], [0.0], [], ["speed"], write=False)
    async with directory_of_a_run(console) as directory, running(directory, with_real=False) as bench:
        return tracked(summarise(await run(bench, chosen, console)))


def kept() -> dict[str, float]:
    """The values of the last run that was kept; empty if none was."""
    if not BASELINE.exists():
        return {}
    return {name: float(value) for name, value in json.loads(BASELINE.read_text())["values"].items()}


def change(name: str, now: float, before: float) -> float:
    """How much worse it became: 0.2 is a fifth; negative if it became better."""
    if not before:
        return 0.0
    return (before - now) / before if QUICK[name] else (now - before) / before


def table(now: Mapping[str, float], before: Mapping[str, float]) -> Table:
    """What the terminal shows."""
    found = Table(title="Tracked by the benchmark", title_justify="left")
    for heading in ("", "now", "kept", "change", ""):
        found.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for name, value in now.items():
        if name not in before:
            found.add_row(name, f"{value:.3g}", "", "", "")
            continue
        relative = value / before[name] - 1 if before[name] else 0.0
        mark = "WORSE" if change(name, value, before[name]) > WORSE else ""
        found.add_row(name, f"{value:.3g}", f"{before[name]:.3g}", f"{relative:+.0%}", mark)
    return found


def main() -> int:
    """Exit code 1 only if it could not measure: on a busy machine a mark is a hint, not a verdict."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quick", description=__doc__)
    parser.add_argument("--keep", action="store_true", help=f"write {BASELINE.name}")
    keep = parser.parse_args().keep
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    try:
        now = asyncio.run(measure(console))
    except (LoadError, ProgramError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except asyncio.CancelledError:
        return 130
    console.print(table(now, kept()))
    if keep:
        today = date.today().isoformat()  # noqa: DTZ011  (a date to read, not a time)
        values = {name: float(f"{value:.3g}") for name, value in now.items()}
        BASELINE.write_text(json.dumps({"date": today, "values": values}, indent=2) + "\n")
        console.print(f"Kept in {BASELINE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
