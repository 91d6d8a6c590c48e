"""``python -m benchmarks`` runs all of it and prints the results; ``--write`` puts them into ``docs/benchmarks.md``."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.bench import Bench, running
from benchmarks.document import DOCUMENT, Outcome, write
from benchmarks.machine import disk, machine
from benchmarks.measure import Length, LoadError, Measurement, Turn, measure, stock_up
from benchmarks.open_loop import Overload, overload
from benchmarks.peers.environments import PeerMissingError, provide_peer
from benchmarks.processes import ROOT, ProgramError
from benchmarks.report import tables
from benchmarks.scenarios import IN_FLIGHT, PEERS, REFUSED, Contender, Scenario, Site, features, rounds, scenarios
from benchmarks.summary import summarise
from orchestrator.local.stack import cancel_on_signals

TABLE_WIDTH: Final = 200
FIRST_SEED: Final = 20_000
PARTS: Final = ("speed", "features", "open-loop")
NAMES: Final = {peer.name.lower().replace("_", "-"): peer for peer in PEERS}


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    length: Length
    repeats: int
    overload_s: float
    sites: Sequence[Site]
    in_flight: Sequence[int]
    refused: Sequence[float]
    peers: Sequence[Contender]
    parts: Sequence[str]
    write: bool

    def __str__(self) -> str:
        return (
            f"{self.repeats} repeats of {self.length.seconds:g} s each, after a warm-up of at least"
            f" {self.length.warm_up_s:g} s, seeds from {FIRST_SEED}"
        )

    def scenarios(self) -> tuple[Scenario, ...]:
        """What the closed loop measures."""
        plain = scenarios(self.sites, self.in_flight, self.refused, self.peers) if "speed" in self.parts else ()
        return tuple(dict.fromkeys((*plain, *features()))) if "features" in self.parts else plain


def options() -> Options:
    """Exits with a message if the command line is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run (default: 5)")
    parser.add_argument("--warm-up-s", type=float, default=1.0, help="seconds before each run (default: 1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each scenario (default: 3)")
    parser.add_argument("--overload-s", type=float, default=60.0, help="length of the open loop (default: 60)")
    parser.add_argument("--sites", nargs="+", type=Site, choices=list(Site), default=list(Site))
    parser.add_argument("--in-flight", nargs="+", type=int, default=list(IN_FLIGHT))
    parser.add_argument("--refused", nargs="+", type=float, default=list(REFUSED), help="shares of the orders, 0 to 1")
    parser.add_argument("--peers", nargs="+", choices=["none", "all", *NAMES], default=["none"], metavar="PEER")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} and its plots")
    given = parser.parse_args()
    chosen = list(PEERS) if "all" in given.peers else [NAMES[name] for name in given.peers if name != "none"]
    return Options(
        length=Length(given.seconds, given.warm_up_s),
        repeats=given.repeats,
        overload_s=given.overload_s,
        sites=given.sites,
        in_flight=given.in_flight,
        refused=given.refused,
        peers=chosen,
        parts=given.parts,
        write=given.write,
    )


async def run(bench: Bench, chosen: Options, console: Console) -> list[Measurement]:
    """Measures every scenario in turn. Raises ``LoadError`` and ``ProgramError``."""
    if bench.real:
        await stock_up(bench)
    measurements: list[Measurement] = []
    for number, (repeat, scenario) in enumerate(rounds(chosen.scenarios(), chosen.repeats)):
        found = await measure(bench, scenario, Turn(repeat, number, FIRST_SEED + number), chosen.length)
        measurements.append(found)
        told = f"[{repeat + 1}/{chosen.repeats}] {scenario}: {found.sagas_per_s:,.0f} sagas/s"
        console.print(told, style="dim", highlight=False, markup=False)
    return measurements


@asynccontextmanager
async def directory_of_a_run(console: Console) -> AsyncIterator[Path]:
    """A directory for data and logs; it stays if the run fails."""
    var = ROOT / "var"  # on the same disk as a real database, where a temporary directory may be memory
    var.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=var))
    try:
        yield directory
    except Exception:
        console.print(f"The logs are in {directory}/log", highlight=False)
        raise
    except asyncio.CancelledError:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)


async def benchmark(chosen: Options, console: Console) -> None:
    """All of it. Raises ``LoadError``, ``PeerMissingError``, ``ProgramError``, and what the stack's parts raise."""
    cancel_on_signals()
    began = time.monotonic()
    for peer in chosen.peers:
        provide_peer(peer)
    overloads: list[Overload] = []
    with_real = "speed" in chosen.parts and Site.REAL in chosen.sites
    async with directory_of_a_run(console) as directory, running(directory, with_real=with_real) as bench:
        about = await machine(bench, directory, chosen.peers)
        measurements = await run(bench, chosen, console)
        if "open-loop" in chosen.parts:
            overloads = await overload(bench, chosen.overload_s, chosen.length, FIRST_SEED)
        about["Disk after"] = disk(directory)
    rows = summarise(measurements)
    for table in tables(rows, overloads):
        console.print(table.for_terminal())
    for label, value in about.items():
        console.print(f"{label}: {value}", highlight=False)
    console.print(f"{chosen}; {time.monotonic() - began:.0f} s in all.", highlight=False)
    if chosen.write:
        write(Outcome(rows, measurements, overloads, about, str(chosen)))
        console.print(f"Written to {DOCUMENT.relative_to(ROOT)}")


def main() -> int:
    """Exit code 1 if the load failed, a process did not start, or the participants count something else."""
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    try:
        asyncio.run(benchmark(options(), console))
    except (LoadError, PeerMissingError, ProgramError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except asyncio.CancelledError:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
