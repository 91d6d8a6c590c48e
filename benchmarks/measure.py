"""One measurement: the load generator runs once, while this process reads the counters around its window."""

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import grpc
import psutil

from benchmarks.counters import Effects, Usage, effects, usage
from benchmarks.load import Task, Window
from benchmarks.scenarios import Scenario
from benchmarks.sites import Bench

START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 45.0


class LoadError(Exception):
    """The load generator failed, or the participants did something else than it says; the message says which."""


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
        measured_s = self.used.node_cpu_s + self.used.postgres_cpu_s + self.used.participants_cpu_s
        load_s = self.window.cpu_s * self.used.taken_at / self.window.seconds
        cpus = psutil.cpu_count() or 1
        return max(0.0, self.used.machine_cpu_s - measured_s - load_s) / (self.used.taken_at * cpus)


async def measure(
    bench: Bench, task: Task, scenario: Scenario, repeat: int, channels: dict[str, grpc.aio.Channel]
) -> Measurement:
    """Runs the task. Raises ``LoadError``."""
    before = await effects(channels)
    site = bench.sites[scenario.site]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load",
        json.dumps(asdict(task)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        await _event(process, "begun", START_TIMEOUT_S + task.warm_up_s)
        begun = await usage(bench, site)
        measured = await _event(process, "measured", START_TIMEOUT_S + task.seconds)
        used = await usage(bench, site) - begun
        ended = await _event(process, "ended", END_TIMEOUT_S)
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    del measured["event"]
    _verify(scenario, int(ended["completed"]), await effects(channels) - before)
    return Measurement(scenario, repeat, Window(**measured), used)


async def _event(process: asyncio.subprocess.Process, event: str, timeout_s: float) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(timeout_s):
        line = await process.stdout.readline()
    if not line:
        raise LoadError(f"the load generator ended before it said {event!r}; what it printed says why")
    said: dict[str, Any] = json.loads(line)
    if said["event"] != event:
        raise LoadError(f"the load generator said {said['event']!r} instead of {event!r}")
    return said


def _verify(scenario: Scenario, completed: int, happened: Effects) -> None:
    """Each saga had each effect exactly once."""
    if happened != Effects(completed, completed, completed):
        raise LoadError(f"{scenario}: {completed} sagas completed, but the participants count {happened}")
