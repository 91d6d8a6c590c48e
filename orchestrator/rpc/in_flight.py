"""Knows which RPCs are in flight, so that a stop can wait for their ends."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import grpc

# Quoted: generic in the type stubs alone.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class InFlight(grpc.aio.ServerInterceptor):
    """The outermost interceptor. gRPC runs each RPC, interceptors and handler, in one task of its own."""

    def __init__(self) -> None:
        self._tasks: Final[set[asyncio.Task[Any]]] = set()
        self._last_came_s = 0.0
        self._begun = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Awaitable[_Handler | None]"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Notes the RPC's task and lets it through."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._begun += 1
        self._last_came_s = time.monotonic()
        task.add_done_callback(self._tasks.discard)
        return await continuation(handler_call_details)

    def handled(self) -> tuple[int, int]:
        """How many RPCs have come here, and how many of these are in flight."""
        return self._begun, len(self._tasks)

    async def quiet(self, quiet_s: float, timeout_s: float) -> bool:
        """Waits until no RPC has come for ``quiet_s``. False if callers did not leave off within ``timeout_s``."""
        deadline_s = time.monotonic() + timeout_s
        while (rest_s := max(self._last_came_s, deadline_s - timeout_s) + quiet_s - time.monotonic()) > 0:
            if time.monotonic() >= deadline_s:
                return False
            await asyncio.sleep(min(rest_s, timeout_s))
        return True

    async def ended(self, timeout_s: float) -> bool:
        """Waits until every handler has ended, ``finally`` blocks and all. False if some had not in time.

        ``grpc.aio.Server.stop`` only tells them to.
        """
        tasks = list(self._tasks)
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=timeout_s)
        return not pending
