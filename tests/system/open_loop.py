"""Callers that come at their own pace, whether or not those before them were served: what each of them got."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

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
"""How a caller repeats that does not honour RetryInfo: gRPC's own policy of five attempts, before jitter."""

_numbers: Final = itertools.count(1)
_PREFIX: Final = f"{time.time_ns():x}"


@dataclass(slots=True)
class Load:
    """What came of the calls that began in one phase. Times in seconds."""

    ends: Counter[str] = field(default_factory=Counter)
    """How many callers got what: ``ok``, ``gave up``, or the name of a status."""
    refusals: int = 0
    latencies_s: list[float] = field(default_factory=list)
    """Of the call that was accepted and led to OK, alone."""
    refused_in_s: list[float] = field(default_factory=list)
    """How long a refusal took."""
    delays_s: list[float] = field(default_factory=list)
    """What RetryInfo said."""

    def p(self, share: float, of: list[float]) -> float:
        """A quantile; 0 without any."""
        return sorted(of)[min(len(of) - 1, int(share * len(of)))] if of else 0.0


class Callers:
    """The callers of one node's typed front door."""

    def __init__(self, address: str) -> None:
        """Needs a running event loop."""
        self._channels = [
            grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
            for _ in range(CHANNELS)
        ]
        self._place = [OrderServiceStub(channel).PlaceOrder for channel in self._channels]

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def closed_loop(self, in_flight: int, seconds: float) -> float:
        """So many callers, each with the next order as soon as the last has ended; returns orders per second."""
        until_s = time.monotonic() + seconds
        load = Load()

        async def caller() -> None:
            while time.monotonic() < until_s:
                await self._one(load, honours=True)

        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return load.ends["ok"] / seconds

    async def open_loop(self, rate: float, seconds: float, *, honours: bool) -> tuple[Load, float]:
        """``rate`` new callers a second; returns once each got something, with the orders per second that were
        answered OK while callers came. ``honours``: they wait for as long as RetryInfo says.
        """
        load = Load()
        began_s = time.monotonic()
        callers: set[asyncio.Task[None]] = set()
        begun = 0
        while (now_s := time.monotonic()) < began_s + seconds:
            while begun < rate * (now_s - began_s):
                begun += 1
                task = asyncio.create_task(self._one(load, honours=honours))
                callers.add(task)
                task.add_done_callback(callers.discard)
            await asyncio.sleep(TICK_S)
        in_time = load.ends["ok"]
        if callers:
            await asyncio.wait(callers)
        return load, in_time / seconds

    async def burst(self, count: int, *, timeout_s: float = TIMEOUT_S) -> Load:
        """So many callers at once, none of which repeats a call."""
        load = Load()
        await asyncio.gather(*(self._one(load, honours=None, timeout_s=timeout_s) for _ in range(count)))
        return load

    async def _one(self, load: Load, *, honours: bool | None, timeout_s: float = TIMEOUT_S) -> None:
        number = next(_numbers)
        request = new_request(number)
        request.request_id = request.order_id = f"{_PREFIX}-{number}"
        place = self._place[number % CHANNELS]
        give_up_s = time.monotonic() + PATIENCE_S
        backoff = iter(OWN_BACKOFF_S)
        while True:
            delay_s = await self._call(load, place, request, timeout_s)
            if delay_s is None:
                return
            if honours is False:
                delay_s = random.uniform(0.8, 1.2) * next(backoff, PATIENCE_S)
            if honours is None or time.monotonic() + delay_s > give_up_s:
                load.ends["gave up"] += 1
                return
            await asyncio.sleep(delay_s)

    async def _call(
        self,
        load: Load,
        place: Callable[..., Awaitable[object]],
        request: PlaceOrderRequest,
        timeout_s: float,
    ) -> float | None:
        """One call; the delay that its refusal asks for, or None if it was no refusal."""
        began_s = time.monotonic()
        try:
            response = await place(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                load.refusals += 1
                load.refused_in_s.append(time.monotonic() - began_s)
                delay_s = retry_delay_s(tuple(error.trailing_metadata() or ()))
                assert delay_s is not None, "a refusal says when to come again"
                load.delays_s.append(delay_s)
                return delay_s
            load.ends[error.code().name] += 1
        else:
            state = response.state  # type: ignore[attr-defined]  # a PlaceOrderResponse
            load.ends["ok" if state == SAGA_STATE_COMPLETED else "not ended"] += 1
            if state == SAGA_STATE_COMPLETED:
                load.latencies_s.append(time.monotonic() - began_s)
        return None
