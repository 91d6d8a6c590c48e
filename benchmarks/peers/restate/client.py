"""Invokes the saga through Restate's ingress and waits for its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from orders.v1.orders_pb2 import PlaceOrderRequest

from benchmarks.clients import CALL_TIMEOUT_S, Client, NotEndedError
from benchmarks.load import Task

ENDS: Final = {b"completed": True, b"refused": False}


@asynccontextmanager
async def open_client(task: Task) -> AsyncIterator[Client]:
    """One connection for each order in flight. The order's id makes a repeated call the same invocation."""
    connector = aiohttp.TCPConnector(limit=task.in_flight)
    timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
    url = f"{task.where['ingress']}/PlaceOrder/run"
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def carry_out(order: PlaceOrderRequest) -> bool:
            headers = {"idempotency-key": order.request_id, "content-type": "application/octet-stream"}
            async with session.post(url, data=order.SerializeToString(), headers=headers) as response:
                body = await response.read()
                if response.status != 200 or body not in ENDS:
                    raise NotEndedError(f"Restate answered {response.status}: {body[:200]!r}")
                return ENDS[body]

        yield carry_out
