"""More orders than a node can carry out: what it still completes, how late, and what that does to its memory."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import grpc
import psutil

from benchmarks.arrivals import ATTEMPTS, CALL_TIMEOUT_S, Arrived, OpenTask
from benchmarks.bench import Bench
from benchmarks.contenders import Running, up
from benchmarks.cores import apart
from benchmarks.counters import Effects, effects
from benchmarks.load import TASK_VARIABLE
from benchmarks.measure import Length, LoadError, Turn, channels_to, closed_loop, said
from benchmarks.processes import START_TIMEOUT_S, Program
from benchmarks.scenarios import Contender, Scenario, Site

OVERLOAD: Final = 2.0
"""Arrivals, in multiples of the closed loop's peak."""
PEAK_IN_FLIGHT: Final = (64, 512)
SAMPLE_S: Final = 0.5
CALM_TIMEOUT_S: Final = 60.0
CALM_POLL_S: Final = 0.5
FIRST_NUMBER: Final = 800
"""Of the runs here, so that their orders' ids are unlike all others."""


@dataclass(frozen=True, slots=True)
class Overload:
    """One run of the open loop. Memory in MiB (RSS of the node): before, half-way, at its highest, and afterwards.

    ``peak_per_s`` is the closed loop's best rate before, ``after_per_s`` its rate right after.
    """

    honours: bool
    rate: float
    peak_per_s: float
    after_per_s: float
    arrived: Arrived
    before_mib: float
    middle_mib: float
    highest_mib: float
    after_mib: float


async def overload(bench: Bench, seconds: float, length: Length, seed: int) -> list[Overload]:
    """One node: its peak, then the overload with callers of either kind, each followed by the closed loop again.

    Raises ``LoadError`` and ``ProgramError``.
    """
    scenario = Scenario(Site.TRIVIAL, PEAK_IN_FLIGHT[0], Contender.ENGINE)
    async with up(bench, scenario) as running:
        with apart((bench.postgres.pid, *running.participant_pids, *running.server.pids)):
            return await _overloads(bench, running, seconds, length, seed)


async def _overloads(bench: Bench, running: Running, seconds: float, length: Length, seed: int) -> list[Overload]:
    found: list[Overload] = []
    number = FIRST_NUMBER
    rates: dict[int, float] = {}
    for in_flight in PEAK_IN_FLIGHT:
        number += 1
        tried = Scenario(Site.TRIVIAL, in_flight, Contender.ENGINE)
        rates[in_flight] = (await closed_loop(bench, running, tried, Turn(0, number, seed), length)).sagas_per_s
    for honours in (True, False):
        number += 2
        rate = OVERLOAD * max(rates.values())
        task = OpenTask(running.server.where["node"], rate, seconds, honours, f"ORD-{number:03d}", seed + number)
        arrived, memory = await _flood(bench, running, task)
        again = Scenario(Site.TRIVIAL, PEAK_IN_FLIGHT[0], Contender.ENGINE)
        after = await closed_loop(bench, running, again, Turn(0, number + 1, seed), length)
        found.append(
            Overload(
                honours=honours,
                rate=rate,
                peak_per_s=max(rates.values()),
                after_per_s=after.sagas_per_s,
                arrived=arrived,
                before_mib=memory[0],
                middle_mib=memory[len(memory) // 2],
                highest_mib=max(memory),
                after_mib=_memory_mib(running),
            )
        )
    return found


async def _flood(bench: Bench, running: Running, task: OpenTask) -> tuple[Arrived, list[float]]:
    """What became of the orders, and the node's memory from the first of them to the last."""
    environment = {TASK_VARIABLE: json.dumps(asdict(task))}
    command = [sys.executable, "-m", "benchmarks.arrivals"]
    log = bench.directory / "log" / "arrivals.log"
    async with channels_to(running.addresses) as channels:
        before = await effects(channels)
        memory = [_memory_mib(running)]
        async with Program("arrivals", command, log, environment) as load:
            await said(load, "begun", START_TIMEOUT_S)
            limit_s = task.seconds + ATTEMPTS * 2 * CALL_TIMEOUT_S + START_TIMEOUT_S
            ending = asyncio.create_task(said(load, "ended", limit_s))
            try:
                while not ending.done():
                    await asyncio.wait({ending}, timeout=SAMPLE_S)
                    memory.append(_memory_mib(running))
            finally:
                ending.cancel()
            arrived = Arrived(**ending.result())
        happened = await _calm(channels) - before
    if happened != Effects.of(happened.reserved, 0) or happened.reserved < arrived.completed:
        raise LoadError(f"overload: {arrived.completed} orders completed, but the participants count {happened}")
    return arrived, memory


async def _calm(channels: Mapping[str, grpc.aio.Channel]) -> Effects:
    """What the participants count once no saga is left that still changes it."""
    async with asyncio.timeout(CALM_TIMEOUT_S):
        last = await effects(channels)
        while True:
            await asyncio.sleep(CALM_POLL_S)
            now = await effects(channels)
            if now == last and now.reserved == now.captured == now.booked:
                return now
            last = now


def _memory_mib(running: Running) -> float:
    return float(sum(psutil.Process(pid).memory_info().rss for pid in running.server.pids)) / 2**20
