"""``python -m benchmarks`` runs all of it and prints the results; ``--write`` puts them into ``docs/benchmarks.md``."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from rich.console import Console

from benchmarks.clients import open_channels
from benchmarks.load import Task
from benchmarks.machine import disk, machine
from benchmarks.measure import LoadError, Measurement, measure
from benchmarks.orders import deliveries
from benchmarks.report import document, tables
from benchmarks.scenarios import IN_FLIGHT, Scenario, Site, rounds, scenarios
from benchmarks.sites import Bench, running
from benchmarks.summary import summarise
from orchestrator.local.stack import cancel_on_signals

ROOT: Final = Path(__file__).parents[1]
DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
STOCK_TIMEOUT_S: Final = 30.0
TABLE_WIDTH: Final = 120
FIRST_SEED: Final = 20_000


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    seconds: float
    warm_up_s: float
    repeats: int
    sites: Sequence[Site]
    in_flight: Sequence[int]
    write: bool

    def __str__(self) -> str:
        return (
            f"{self.repeats} repeats of {self.seconds:g} s each, after a warm-up of {self.warm_up_s:g} s,"
            f" seeds from {FIRST_SEED}"
        )


def options() -> Options:
    """Exits with a message if the command line is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each run (default: 5)")
    parser.add_argument("--warm-up-s", type=float, default=1.0, help="seconds before each run (default: 1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each scenario (default: 3)")
    parser.add_argument("--sites", nargs="+", type=Site, choices=list(Site), default=list(Site))
    parser.add_argument("--in-flight", nargs="+", type=int, default=list(IN_FLIGHT))
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    return Options(**vars(parser.parse_args()))


async def run(bench: Bench, chosen: Options, console: Console) -> list[Measurement]:
    """Measures every scenario in turn. Raises ``LoadError``."""
    channels = {site: open_channels(found.addresses) for site, found in bench.sites.items()}
    if Site.REAL in channels:
        await _stock(channels[Site.REAL]["inventory.v1.InventoryService"])
    measurements: list[Measurement] = []
    for number, (repeat, scenario) in enumerate(rounds(scenarios(chosen.sites, chosen.in_flight), chosen.repeats)):
        task = _task(bench, chosen, scenario, number)
        found = await measure(bench, task, scenario, repeat, channels[scenario.site])
        measurements.append(found)
        console.print(
            f"[{repeat + 1}/{chosen.repeats}] {scenario.site} participants, {scenario.in_flight} in flight,"
            f" {scenario.contender}: {found.sagas_per_s:,.0f} sagas/s",
            style="dim",
            highlight=False,
            markup=False,
        )
    for channel in {channel for several in channels.values() for channel in several.values()}:
        await channel.close()
    return measurements


def _task(bench: Bench, chosen: Options, scenario: Scenario, number: int) -> Task:
    site = bench.sites[scenario.site]
    return Task(
        contender=scenario.contender,
        in_flight=scenario.in_flight,
        addresses=site.addresses,
        node_address=site.node_address,
        with_metadata=scenario.site is Site.REAL,
        warm_up_s=chosen.warm_up_s,
        seconds=chosen.seconds,
        prefix=f"ORD-{number:03d}",
        seed=FIRST_SEED + number,
    )


async def _stock(channel: grpc.aio.Channel) -> None:
    inventory = InventoryServiceStub(channel)
    for delivery in deliveries():
        await inventory.ReceiveStock(delivery, timeout=STOCK_TIMEOUT_S)


async def benchmark(chosen: Options, console: Console) -> None:
    """All of it. Raises ``LoadError``, and what the parts of the stack raise."""
    cancel_on_signals()
    var = ROOT / "var"  # on the same disk as a real database, where a temporary directory may be memory
    var.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=var))
    try:
        async with running(directory, chosen.sites) as bench:
            about = await machine(bench, directory)
            measurements = await run(bench, chosen, console)
            about["Disk after"] = disk(directory)
    except Exception:
        console.print(f"The logs are in {directory}/log", highlight=False)
        raise
    except asyncio.CancelledError:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)
    rows = summarise(measurements)
    for table in tables(rows):
        console.print(table)
    for label, value in about.items():
        console.print(f"{label}: {value}", highlight=False)
    console.print(f"{chosen}.", highlight=False)
    if chosen.write:
        DOCUMENT.write_text(document(rows, measurements, about, str(chosen)))
        console.print(f"Written to {DOCUMENT.relative_to(ROOT)}")


def main() -> int:
    """Exit code 1 if the load failed or the participants count something else."""
    console = Console(width=None if sys.stdout.isatty() else TABLE_WIDTH)
    try:
        asyncio.run(benchmark(options(), console))
    except LoadError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except asyncio.CancelledError:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
