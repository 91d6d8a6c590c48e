"""One measurement: the load generator runs once, while this process reads the counters around its window."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

import grpc
import psutil
from inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from benchmarks.bench import Bench
from benchmarks.calls import open_channels
from benchmarks.contenders import Running, up
from benchmarks.counters import Effects, Usage, effects, usage
from benchmarks.load import MAX_WARM_UP_S, MAX_WINDOW_S, TASK_VARIABLE, Task, Window
from benchmarks.orders import deliveries
from benchmarks.processes import START_TIMEOUT_S, Program
from benchmarks.scenarios import Scenario, Site

END_TIMEOUT_S: Final = 120.0
"""For what is in flight when the window closes: a slow contender has a long queue."""
STOCK_TIMEOUT_S: Final = 30.0


class LoadError(Exception):
    """The load generator failed, or the participants did something else than it says; the message says which."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long one run takes, in seconds; the warm-up is at least so long."""

    seconds: float = 5.0
    warm_up_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Which run it is. ``number`` is another one for each, ``seed`` draws its orders."""

    repeat: int
    number: int
    seed: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one scenario gave. ``used`` covers the same sagas as ``window``."""

    scenario: Scenario
    repeat: int
    window: Window
    used: Usage

    @property
    def sagas_per_s(self) -> float:
        """Sagas that ended in the window, a second."""
        return self.window.sagas / self.window.seconds

    @property
    def others_share(self) -> float:
        """Share of the machine's CPUs that went to what is not measured here: 0 on an idle machine, 1 is all of it."""
        used = self.used
        measured_s = used.server_cpu_s + used.worker_cpu_s + used.postgres_cpu_s + used.participants_cpu_s
        load_s = self.window.cpu_s * used.taken_at / self.window.seconds
        cpus = psutil.cpu_count() or 1
        return max(0.0, used.machine_cpu_s - measured_s - load_s) / (used.taken_at * cpus)


async def measure(bench: Bench, scenario: Scenario, turn: Turn, length: Length) -> Measurement:
    """Starts the scenario, measures it and ends it. Raises ``LoadError`` and ``ProgramError``."""
    async with up(bench, scenario) as running:
        return await closed_loop(bench, running, scenario, turn, length)


async def closed_loop(bench: Bench, running: Running, scenario: Scenario, turn: Turn, length: Length) -> Measurement:
    """Measures what is up. Raises as :func:`measure` does."""
    task = Task(
        contender=scenario.contender,
        in_flight=scenario.in_flight,
        refused=scenario.refused,
        addresses=running.addresses,
        where=running.server.where,
        with_metadata=scenario.site is Site.REAL,
        warm_up_s=length.warm_up_s,
        seconds=length.seconds,
        prefix=f"ORD-{turn.number:03d}",
        seed=turn.seed,
        tls=running.tls,
    )
    async with channels_to(running.addresses, running.tls) as channels:
        before = await effects(channels)
        window, used, expected = await _run(bench, running, task)
        happened = await effects(channels) - before
    if happened != expected:
        raise LoadError(f"{scenario}: the ends of the sagas mean {expected}, but the participants count {happened}")
    return Measurement(scenario, turn.repeat, window, used)


@asynccontextmanager
async def channels_to(
    addresses: Mapping[str, str], tls: Mapping[str, str] | None = None
) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    """By full name of service, closed at the end. ``tls``: files of mutual TLS."""
    channels = open_channels(addresses, tls)
    try:
        yield channels
    finally:
        for channel in set(channels.values()):
            await channel.close()


async def stock_up(bench: Bench) -> None:
    """Gives the real inventory enough for everything."""
    async with channels_to(bench.real) as channels:
        inventory = InventoryServiceStub(channels["inventory.v1.InventoryService"])
        for delivery in deliveries():
            await inventory.ReceiveStock(delivery, timeout=STOCK_TIMEOUT_S)


async def _run(bench: Bench, running: Running, task: Task) -> tuple[Window, Usage, Effects]:
    """What ended in the window, what was used meanwhile, and what all the sagas' ends mean for the participants."""
    command = [str(running.python), "-m", "benchmarks.load"]
    environment = {TASK_VARIABLE: json.dumps(asdict(task))}
    async with Program("load", command, bench.directory / "log" / "load.log", environment) as load:
        await said(load, "begun", START_TIMEOUT_S + task.warm_up_s + MAX_WARM_UP_S)
        begun = await usage(bench, running)
        measured = await said(load, "measured", START_TIMEOUT_S + max(task.seconds, MAX_WINDOW_S))
        used = await usage(bench, running) - begun
        ended = await said(load, "ended", END_TIMEOUT_S)
    return Window(**measured), used, Effects.of(int(ended["completed"]), int(ended["refused"]))


async def said(load: Program, event: str, timeout_s: float) -> dict[str, Any]:
    """What the load generator says with ``event``. Raises ``LoadError`` if that is something else."""
    words = await load.said(timeout_s)
    if words.pop("event", None) != event:
        raise LoadError(f"the load generator said something else than {event!r}")
    return words
