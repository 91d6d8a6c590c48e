"""``python -m benchmarks.scale`` fills a database and measures all of it; ``--soak MINUTES`` loads a node for long.

Exits with 1 if a promise does not hold. ``--write`` puts the results into ``docs/scale.md``, below what is said there.
"""

import argparse
import asyncio
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console

from benchmarks.scale.counters import tables
from benchmarks.scale.fill import fill_ended, fill_stuck, fill_waiting, pattern, settle
from benchmarks.scale.ground import Ground, standing
from benchmarks.scale.load import Task, measured
from benchmarks.scale.operators import ask
from benchmarks.scale.plans import plans
from benchmarks.scale.rates import Place, cost, idle, rounds
from benchmarks.scale.report import Found, promises, text
from benchmarks.scale.soak import flatness, soak
from benchmarks.scale.takeover import takeover
from orchestrator.local.stack import cancel_on_signals

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "scale.md"
RESULTS: Final = "<!-- results: written by the command -->\n"
PARTS: Final = ("rate", "idle", "plans", "operators", "takeover")
QUESTIONS: Final = 200
STUCK: Final = 1000
SOAK_ROOM: Final = 0.1
PACKAGES: Final = ("grpcio", "asyncpg")


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    ended: int
    waiting: int
    owned: int
    repeats: int
    seconds: float
    parts: Sequence[str]
    soak: float | None
    soak_room: float
    soak_pause_s: float
    write: bool


def options() -> Options:
    """Exits with a message if the command line is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--ended", type=int, default=1_000_000, help="ended sagas to store (default: a million)")
    parser.add_argument("--waiting", type=int, default=100_000, help="parked sagas to store (default: 100,000)")
    parser.add_argument("--owned", type=int, default=10_000, help="sagas of the killed node (default: 10,000)")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of empty against full (default: 7)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a window (default: 8)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="soak for so long instead")
    parser.add_argument("--soak-room", type=float, default=SOAK_ROOM, help="growth that still is flat (default: 0.1)")
    parser.add_argument("--soak-pause-s", type=float, default=0.0, help="between two orders of a customer (default: 0)")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    return Options(**vars(parser.parse_args()))


async def measure_full(ground: Ground, chosen: Options, found: Found, console: Console) -> None:
    """What a full database costs beside an empty one."""
    full, empty = await ground.database("full"), await ground.database("empty")
    first = await ground.node("full")
    await measured(Task(first.address, "FIRST", 2.0))
    copied = await pattern(full)
    await fill_ended(full, copied, chosen.ended)
    await fill_waiting(full, copied, chosen.waiting)
    await fill_stuck(full, copied, STUCK)
    await settle(full)
    await first.child.stop(30)
    found.stored = f"{chosen.ended:,} ended and {chosen.waiting:,} waiting and {STUCK:,} stuck sagas stored."
    console.print(found.stored)
    places = {
        "empty": Place(await ground.node("empty"), empty),
        "full": Place(await ground.node("full"), full),  # a node that finds them there when it starts
    }
    if "idle" in chosen.parts:
        found.idle = {name: await idle(place, 4 * chosen.seconds) for name, place in places.items()}
        console.print(found.idle)
    if "plans" in chosen.parts:
        found.plans = await plans(full, copied)
    if "operators" in chosen.parts:
        found.answers = await ask(places["full"].node, full, QUESTIONS)
        console.print(found.answers)
    if "rate" in chosen.parts:
        found.rounds = await rounds(places, chosen.repeats, chosen.seconds)
        console.print(found.rounds)
        found.cost = await cost(places["full"], 3 * chosen.seconds)
    found.tables = await tables(full)
    for place in places.values():
        await place.node.child.stop(30)


async def measure(ground: Ground, chosen: Options, console: Console) -> Found:
    """All that was asked for. Raises ``RuntimeError`` and ``TimeoutError`` if the nodes did not do what they should."""
    found = Found()
    if chosen.soak is not None:
        database = await ground.database("soak")
        node = await ground.node("soak")
        samples, rate = await soak(ground, database, node, chosen.soak * 60, chosen.soak_pause_s)
        found.soak = flatness(samples, chosen.soak_room)
        found.soak_told = f"{chosen.soak:g} minutes, {samples[-1].sagas:,} sagas, {rate:,.0f} a second"
        found.tables = await tables(database)
        return found
    if set(chosen.parts) - {"takeover"}:
        await measure_full(ground, chosen, found, console)
    if "takeover" in chosen.parts:
        for name, frozen in (("answer at once", False), ("answer nothing until all run", True)):
            found.takeovers[name] = await takeover(ground, f"taken_{frozen}".lower(), chosen.owned, frozen=frozen)
            console.print(found.takeovers)
    return found


async def machine(ground: Ground) -> dict[str, str]:
    """What it was measured on."""
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)]
    shown = await (await ground.connect("postgres")).fetchval("SHOW server_version")
    return {
        "CPU": f"{psutil.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory",
        "Versions": f"PostgreSQL {shown} (fsync on, settings at their defaults), {', '.join(versions)}",
        "Load after": f"{os.getloadavg()[0]:.1f} (one-minute average; whatever else runs shares the cores)",
        "Date": date.today().isoformat(),  # noqa: DTZ011  (a date to read, not a time)
    }


async def run(chosen: Options, console: Console) -> bool:
    """Whether every promise holds that was measured."""
    cancel_on_signals()
    var = ROOT / "var"  # on the same disk as a real database, where a temporary directory may be memory
    var.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="scale-", dir=var))
    try:
        async with standing(directory) as ground:
            found = await measure(ground, chosen, console)
            told = text(found, await machine(ground))
    except Exception:
        shutil.rmtree(directory / "postgres", ignore_errors=True)
        console.print(f"The logs are in {directory}/log", highlight=False)
        raise
    except asyncio.CancelledError:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)
    console.print(told, highlight=False, markup=False)
    if chosen.write:
        said, mark, _ = DOCUMENT.read_text().partition(RESULTS)
        DOCUMENT.write_text(f"{said}{mark}\n{told}")
    return all(holds for _, holds in promises(found))


def main() -> int:
    """Exit code."""
    console = Console(width=None if sys.stdout.isatty() else 250)
    try:
        return 0 if asyncio.run(run(options(), console)) else 1
    except asyncio.CancelledError:
        return 130


if __name__ == "__main__":
    sys.exit(main())
