"""The load generator: one process, a closed loop with so many orders in flight. ``python -m benchmarks.load TASK``.

``TASK`` is a :class:`Task` as JSON. Prints three lines of JSON: ``begun`` after the warm-up, ``measured`` with a
:class:`Window` when the time is over, and ``ended`` with how many sagas it completed in all.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from resource import RUSAGE_SELF, getrusage

import uvloop
from orders.v1.orders_pb2 import PlaceOrderRequest

from benchmarks.clients import Client, bare_client, front_door_client
from benchmarks.orders import orders
from benchmarks.scenarios import Contender


@dataclass(frozen=True, slots=True)
class Task:
    """What to do. ``addresses``: participants by full name of service. ``prefix`` begins the ids of the orders."""

    contender: Contender
    in_flight: int
    addresses: dict[str, str]
    node_address: str
    with_metadata: bool
    warm_up_s: float
    seconds: float
    prefix: str
    seed: int

    def client(self) -> Client:
        """Needs a running event loop."""
        if self.contender == Contender.BARE:
            return bare_client(self.addresses, with_metadata=self.with_metadata)
        return front_door_client(self.node_address)


@dataclass(frozen=True, slots=True)
class Window:
    """What ended between ``begun`` and ``measured``. ``cpu_s``: of this process, in seconds."""

    sagas: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


class _Loop:
    """Keeps ``in_flight`` orders under way until it is told to stop, and then lets them end."""

    def __init__(self, client: Client, load: Iterator[PlaceOrderRequest]) -> None:
        self._client = client
        self._load = load
        self._stopping = False
        self.completed = 0
        self.latencies_s: list[float] = []

    async def run(self) -> None:
        """One of the orders in flight, again and again. Raises what the client raises."""
        while not self._stopping:
            order = next(self._load)
            begun = time.perf_counter()
            await self._client(order)
            self.latencies_s.append(time.perf_counter() - begun)
            self.completed += 1

    def stop(self) -> None:
        """Begins no more."""
        self._stopping = True


def _cpu_s() -> float:
    used = getrusage(RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def generate(task: Task) -> None:
    """Carries the task out. Raises an ``ExceptionGroup`` if an order failed."""
    loop = _Loop(task.client(), orders(task.prefix, task.seed))
    async with asyncio.TaskGroup() as group:
        for _ in range(task.in_flight):
            group.create_task(loop.run())
        await asyncio.sleep(task.warm_up_s)
        loop.latencies_s.clear()
        _say("begun")
        begun, cpu_s = time.perf_counter(), _cpu_s()
        await asyncio.sleep(task.seconds)
        window = _window(loop.latencies_s, time.perf_counter() - begun, _cpu_s() - cpu_s)
        loop.stop()
        _say("measured", **asdict(window))
    _say("ended", completed=loop.completed)


def _window(latencies_s: list[float], seconds: float, cpu_s: float) -> Window:
    ordered = sorted(latencies_s)
    return Window(len(ordered), seconds, percentile(ordered, 0.5) * 1000, percentile(ordered, 0.99) * 1000, cpu_s)


def percentile(ordered: list[float], share: float) -> float:
    """The value that ``share`` of an ascending list do not exceed (nearest rank); 0 of an empty one."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _say(event: str, **values: float) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(generate(Task(**json.loads(sys.argv[1]))))
