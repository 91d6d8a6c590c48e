"""Callers that come at their own pace, whether or not those before them were served: what each of them got."""

import asyncio
import itertools
import random
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import grpc
from orders.v1.orders_pb2 import PlaceOrderRequest
from orders.v1.orders_pb2_grpc import OrderServiceStub
from saga.v1.saga_pb2 import SAGA_STATE_COMPLETED

from contracts.errors import retry_delay_s
from tests.system.orders import new_request

CHANNELS: Final = 4
"""Connections: all of a node's callers do not share one."""
TIMEOUT_S: Final = 10.0
"""Of one call."""
PATIENCE_S: Final = 10.0
"""How long a caller repeats a call that was refused, before it gives up."""
TICK_S: Final = 0.005
OWN_BACKOFF_S: Final = (0.1, 0.2, 0.4, 0.8)
"""Before jitter."""

_numbers: Final = itertools.count(1)
_PREFIX: Final = f"{time.time_ns():x}"


class Manners(StrEnum):
    """What a caller does that is refused."""

    HONOURS = "honours"
    """Comes again after the delay of RetryInfo, unless its patience ends before."""
    IGNORES = "ignores"
    """Comes again at once, in the place of a new caller: there are as many calls a second whatever is answered."""
    STORMS = "storms"
    """Five attempts by its own backoff, as gRPC's retry policy makes them: several times as many calls."""


@dataclass(frozen=True, slots=True)
class Try:
    """An order, and until when its caller tries."""

    request: PlaceOrderRequest
    give_up_s: float


@dataclass(slots=True)
class Load:
    """What came of the calls that began in one phase. Times in seconds."""

    seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    """How many callers got what: ``ok``, ``gave up``, or the name of a status."""
    in_time: int = 0
    """Of those that got ``ok`` in an open loop: while others still came."""
    calls: int = 0
    latencies_s: list[float] = field(default_factory=list)
    """Of the call that was accepted and led to OK, alone."""
    refused_in_s: list[float] = field(default_factory=list)
    """How long each refusal took."""
    delays_s: list[float] = field(default_factory=list)
    """What RetryInfo said."""


def quantile(share: float, of: list[float]) -> float:
    """0 without any."""
    return sorted(of)[min(len(of) - 1, int(share * len(of)))] if of else 0.0


class Callers:
    """The callers of one node's typed front door."""

    def __init__(self, address: str) -> None:
        """Needs a running event loop."""
        self._channels = [
            grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
            for _ in range(CHANNELS)
        ]
        self._place: list[Any] = [OrderServiceStub(channel).PlaceOrder for channel in self._channels]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def closed_loop(self, in_flight: int, seconds: float) -> Load:
        """So many callers, each with the next order as soon as the last has ended; they honour RetryInfo."""
        until_s = time.monotonic() + seconds
        load = Load(seconds=seconds)

        async def caller() -> None:
            while time.monotonic() < until_s:
                await self._honour(load, self._next())

        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return load

    async def open_loop(self, rate: float, seconds: float, manners: Manners) -> Load:
        """``rate`` callers a second, whatever becomes of them. Returns once each got something; ``ends`` has what those
        got that came while others did.
        """
        load = Load(seconds=seconds)
        again: deque[Try] = deque()
        callers: set[asyncio.Task[None]] = set()
        began_s, begun = time.monotonic(), 0
        while (now_s := time.monotonic()) < began_s + seconds:
            while begun < rate * (now_s - began_s):
                begun += 1
                if manners is Manners.IGNORES:
                    work = self._offer(load, again.popleft() if again else self._next(), again)
                elif manners is Manners.STORMS:
                    work = self._storm(load, self._next())
                else:
                    work = self._honour(load, self._next())
                task = asyncio.create_task(work)
                callers.add(task)
                task.add_done_callback(callers.discard)
            await asyncio.sleep(TICK_S)
        load.in_time = load.ends["ok"]
        if callers:
            await asyncio.wait(callers)
        load.ends["gave up"] += len(again)
        return load

    async def burst(self, count: int, timeout_s: float) -> Load:
        """So many callers at once, none of which repeats a call."""
        load = Load()

        async def caller() -> None:
            if await self._call(load, self._next(), timeout_s) is not None:
                load.ends["gave up"] += 1

        await asyncio.gather(*(caller() for _ in range(count)))
        return load

    def _next(self) -> Try:
        number = next(_numbers)
        request = new_request(number)
        request.request_id = request.order_id = f"{_PREFIX}-{number}"
        return Try(request, time.monotonic() + PATIENCE_S)

    async def _honour(self, load: Load, one: Try) -> None:
        while (delay_s := await self._call(load, one)) is not None:
            if time.monotonic() + delay_s > one.give_up_s:
                load.ends["gave up"] += 1
                return
            await asyncio.sleep(delay_s)

    async def _storm(self, load: Load, one: Try) -> None:
        for delay_s in OWN_BACKOFF_S:
            if await self._call(load, one) is None:
                return
            await asyncio.sleep(random.uniform(0.8, 1.2) * delay_s)
        if await self._call(load, one) is not None:
            load.ends["gave up"] += 1

    async def _offer(self, load: Load, one: Try, again: deque[Try]) -> None:
        if await self._call(load, one) is None:
            return
        if time.monotonic() > one.give_up_s:
            load.ends["gave up"] += 1
        else:
            again.append(one)

    async def _call(self, load: Load, one: Try, timeout_s: float = TIMEOUT_S) -> float | None:
        """One call; the delay that its refusal asks for, or None if it was no refusal."""
        place = self._place[load.calls % CHANNELS]
        load.calls += 1
        began_s = time.monotonic()
        try:
            response = await place(one.request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                load.ends[error.code().name] += 1
                return None
            load.refused_in_s.append(time.monotonic() - began_s)
            delay_s = retry_delay_s(tuple(error.trailing_metadata() or ()))
            assert delay_s is not None, "a refusal says when to come again"
            load.delays_s.append(delay_s)
            return delay_s
        if response.state != SAGA_STATE_COMPLETED:
            load.ends["not ended"] += 1
            return None
        load.ends["ok"] += 1
        load.latencies_s.append(time.monotonic() - began_s)
        return None
