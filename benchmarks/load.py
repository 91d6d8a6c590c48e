"""The load generator: one process, a closed loop with so many orders in flight. ``python -m benchmarks.load``.

Reads a :class:`Task` as JSON from the variable ``BENCHMARK_TASK``. Prints three lines of JSON: ``begun`` after the
warm-up, ``measured`` with a :class:`Window` when the time is over, and ``ended`` with what it carried out in all.
It runs in the contender's own environment, so it imports no more than it needs.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from resource import RUSAGE_SELF, getrusage
from typing import Any, Final, cast

import uvloop
from orders.v1.orders_pb2 import PlaceOrderRequest

from benchmarks.clients import Client, bare_client, front_door_client
from benchmarks.orders import NOT_SERVED, orders
from benchmarks.scenarios import Contender

TASK_VARIABLE: Final = "BENCHMARK_TASK"
MAX_WARM_UP_S: Final = 45.0
MAX_WINDOW_S: Final = 45.0
COUNTERS_S: Final = 0.3
"""How long the load goes on after the window, while the counters are read: a backend that ends takes its own along."""
PEER_CLIENTS: Final = {
    Contender.HAND_WRITTEN: "benchmarks.peers.hand_written.client",
    Contender.DBOS: "benchmarks.peers.dbos.client",
    Contender.RESTATE: "benchmarks.peers.restate.client",
    Contender.TEMPORAL: "benchmarks.peers.temporal.client",
}
"""Each has ``open_client(task)``, an asynchronous context manager that gives a ``Client``."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do. ``addresses``: participants by full name of service. ``prefix`` begins the ids of the orders.

    ``where``: what the contender's client connects to, such as a node's address or a database's URL.
    """

    contender: Contender
    in_flight: int
    refused: float
    addresses: dict[str, str]
    where: dict[str, str]
    with_metadata: bool
    warm_up_s: float
    seconds: float
    prefix: str
    seed: int
    tls: dict[str, str] | None = None
    """Files of mutual TLS: ``ca_file``, ``cert_file`` and ``key_file``."""

    def client(self) -> AbstractAsyncContextManager[Client]:
        """Needs a running event loop."""
        if self.contender == Contender.BARE:
            return bare_client(self.addresses, self.tls, with_metadata=self.with_metadata)
        if self.contender == Contender.ENGINE:
            return front_door_client(self.where["node"], self.tls)
        module: Any = import_module(PEER_CLIENTS[Contender(self.contender)])
        return cast("AbstractAsyncContextManager[Client]", module.open_client(self))


@dataclass(frozen=True, slots=True)
class Window:
    """What ended between ``begun`` and ``measured``. ``cpu_s``: of this process, in seconds."""

    sagas: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_s: float


class UnexpectedEndError(Exception):
    """An order that should have been refused was not, or the other way round."""


class _Loop:
    """Keeps ``in_flight`` orders under way until it is told to stop, and then lets them end."""

    def __init__(self, client: Client, load: Iterator[PlaceOrderRequest]) -> None:
        self._client = client
        self._load = load
        self._stopping = False
        self.completed = 0
        self.refused = 0
        self.latencies_s: list[float] = []
        self._wanted = 0
        self._enough = asyncio.Event()

    async def run(self, warm: asyncio.Semaphore) -> None:
        """One of the orders in flight, again and again; releases ``warm`` after the first. Raises what they raise."""
        is_first = True
        while not self._stopping:
            order = next(self._load)
            begun = time.perf_counter()
            completed = await self._client(order)
            self.latencies_s.append(time.perf_counter() - begun)
            if len(self.latencies_s) >= self._wanted:
                self._enough.set()
            if completed == (order.ship_to.region_code == NOT_SERVED):
                raise UnexpectedEndError(f"order {order.order_id} ended the other way")
            if completed:
                self.completed += 1
            else:
                self.refused += 1
            if is_first:
                warm.release()
                is_first = False

    async def measured(self, seconds: float, sagas: int) -> None:
        """Returns after ``seconds``, and not before so many have ended: a slow contender's ends come in waves."""
        self.latencies_s.clear()
        self._enough.clear()
        self._wanted = sagas
        await asyncio.sleep(seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_WINDOW_S - seconds):
                await self._enough.wait()

    def stop(self) -> None:
        """Begins no more."""
        self._stopping = True


def _cpu_s() -> float:
    used = getrusage(RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def generate(task: Task) -> None:
    """Carries the task out. Raises an ``ExceptionGroup`` if an order failed."""
    async with task.client() as client:
        loop = _Loop(client, orders(task.prefix, task.seed, task.refused))
        async with asyncio.TaskGroup() as group:
            warm = asyncio.Semaphore(0)
            for _ in range(task.in_flight):
                group.create_task(loop.run(warm))
            await _warm_up(task, warm)
            _say("begun")
            begun, cpu_s = time.perf_counter(), _cpu_s()
            await loop.measured(task.seconds, task.in_flight)
            window = _window(loop.latencies_s, time.perf_counter() - begun, _cpu_s() - cpu_s)
            _say("measured", **asdict(window))
            await asyncio.sleep(COUNTERS_S)
            loop.stop()
        _say("ended", completed=loop.completed, refused=loop.refused)


async def _warm_up(task: Task, warm: asyncio.Semaphore) -> None:
    """At least ``warm_up_s``, and until each of the orders in flight has ended once: before, the queue still fills."""
    begun = time.perf_counter()
    try:
        async with asyncio.timeout(MAX_WARM_UP_S):
            for _ in range(task.in_flight):
                await warm.acquire()
    except TimeoutError:
        sys.stderr.write(f"not all of {task.in_flight} orders ended within {MAX_WARM_UP_S:g} s\n")
    await asyncio.sleep(max(0.0, begun + task.warm_up_s - time.perf_counter()))


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
    uvloop.run(generate(Task(**json.loads(os.environ[TASK_VARIABLE]))))
