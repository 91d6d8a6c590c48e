"""The open loop: orders arrive at their own rate, whatever becomes of those before. ``python -m benchmarks.arrivals``.

Reads an :class:`OpenTask` as JSON from ``BENCHMARK_TASK``; prints ``begun`` and then ``ended`` with :class:`Arrived`.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final

import grpc
import uvloop
from orders.v1.orders_pb2 import PlaceOrderRequest
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED

from benchmarks.load import TASK_VARIABLE, percentile
from benchmarks.orders import orders
from contracts.errors import retry_delay_s
from orchestrator.rpc.targets import ChannelSettings, Target, open_channel

ATTEMPTS: Final = 3
"""How often a caller asks before it gives the order up."""
CALL_TIMEOUT_S: Final = 10.0
MAX_WAITING: Final = 30_000
"""Callers at a time: the generator is bounded too."""
SETTLE_S: Final = 5.0
"""The first seconds, in which queues fill, do not count."""
REFUSALS: Final = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class OpenTask:
    """``rate``: arrivals a second, at random times (Poisson). ``honours``: callers wait as long as RetryInfo says,
    and half as long again at random; otherwise they ask again at once."""

    node: str
    rate: float
    seconds: float
    honours: bool
    prefix: str
    seed: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of the orders. Rates a second and latencies leave out the first ``SETTLE_S``.

    Latencies are those of the call that was accepted; ``from_arrival_p99_ms`` counts the waits between calls too.
    ``refusals`` are answers, ``gave_up`` orders whose caller was refused every time, ``late`` orders accepted and not
    ended within the caller's deadline, ``failed`` all else.
    """

    arrived: int
    completed: int
    goodput_per_s: float
    lowest_per_s: float
    p50_ms: float
    p99_ms: float
    from_arrival_p99_ms: float
    refusals: int
    gave_up: int
    late: int
    failed: int
    not_sent: int


class _Callers:
    def __init__(self, task: OpenTask) -> None:
        self._task = task
        self._channel = open_channel(Target(task.node), ChannelSettings())
        self._place = OrderServiceStub(self._channel).PlaceOrder
        self._draw = random.Random(task.seed)  # noqa: S311  (a load, not a secret)
        self._begun = time.perf_counter()
        self._counts = Counter[str]()
        self._ends: list[tuple[float, float, float]] = []
        """When it ended, in seconds from the beginning, its latency, and that from its arrival."""

    async def run(self) -> Arrived:
        """Sends all orders and waits for their ends."""
        load = orders(self._task.prefix, self._task.seed)
        at_s, waiting = 0.0, set[asyncio.Task[None]]()
        while at_s < self._task.seconds:
            await asyncio.sleep(max(0.0, self._begun + at_s - time.perf_counter()))
            self._counts["arrived"] += 1
            order = next(load)
            if len(waiting) < MAX_WAITING:
                caller = asyncio.create_task(self._carry_out(order))
                waiting.add(caller)
                caller.add_done_callback(waiting.discard)
            else:
                self._counts["not_sent"] += 1
            at_s += self._draw.expovariate(self._task.rate)
        await asyncio.gather(*waiting)
        await self._channel.close()
        return self._result()

    async def _carry_out(self, order: PlaceOrderRequest) -> None:
        arrived = time.perf_counter()
        for _ in range(ATTEMPTS):
            called = time.perf_counter()
            try:
                response = await self._place(order, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() not in REFUSALS:
                    is_late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                    self._counts["late" if is_late else "failed"] += 1
                    return
                self._counts["refusals"] += 1
                if self._task.honours:
                    delay_s = retry_delay_s(tuple(error.trailing_metadata())) or 0.0
                    await asyncio.sleep(delay_s * (1 + self._draw.random() / 2))
                continue
            now = time.perf_counter()
            if response.state == SAGA_STATE_COMPLETED:
                self._ends.append((now - self._begun, now - called, now - arrived))
            else:
                self._counts["late"] += 1
            return
        self._counts["gave_up"] += 1

    def _result(self) -> Arrived:
        counted = [end for end in self._ends if SETTLE_S <= end[0] < self._task.seconds]
        by_second = Counter(int(end[0]) for end in counted)
        seconds = range(int(SETTLE_S), int(self._task.seconds))
        latencies, from_arrival = sorted(end[1] for end in counted), sorted(end[2] for end in counted)
        return Arrived(
            arrived=self._counts["arrived"],
            completed=len(self._ends),
            goodput_per_s=len(counted) / max(1.0, self._task.seconds - SETTLE_S),
            lowest_per_s=min((by_second[second] for second in seconds), default=0),
            p50_ms=percentile(latencies, 0.5) * 1000,
            p99_ms=percentile(latencies, 0.99) * 1000,
            from_arrival_p99_ms=percentile(from_arrival, 0.99) * 1000,
            refusals=self._counts["refusals"],
            gave_up=self._counts["gave_up"],
            late=self._counts["late"],
            failed=self._counts["failed"],
            not_sent=self._counts["not_sent"],
        )


async def generate(task: OpenTask) -> None:
    """Carries the task out."""
    sys.stdout.write(json.dumps({"event": "begun"}) + "\n")
    sys.stdout.flush()
    found = await _Callers(task).run()
    sys.stdout.write(json.dumps({"event": "ended", **asdict(found)}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(generate(OpenTask(**json.loads(os.environ[TASK_VARIABLE]))))
