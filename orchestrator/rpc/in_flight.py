"""Knows which RPCs are in flight: refuses more than the server may hold, and lets a stop wait for their ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias

import grpc

from contracts.errors import Reason, RpcError, to_trailers
from orchestrator.rpc.calls import Context

# Quoted: generic in the type stubs alone.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_HEALTH: Final = "/grpc.health.v1.Health/"
_RETRY_S: Final = 0.5


class InFlight(grpc.aio.ServerInterceptor):
    """The outermost interceptor. gRPC runs each RPC, interceptors and handler, in one task of its own."""

    def __init__(self, max_concurrent_rpcs: int) -> None:
        self._max: Final = max_concurrent_rpcs
        self._tasks: Final[set[asyncio.Task[Any]]] = set()
        self._refusing: Final[_Handler] = grpc.unary_unary_rpc_method_handler(self._refuse)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Awaitable[_Handler | None]"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Lets the RPC through, or answers RESOURCE_EXHAUSTED. Health is always answered."""
        if not handler_call_details.method.startswith(_HEALTH):
            if len(self._tasks) >= self._max:
                return self._refusing
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await continuation(handler_call_details)

    async def ended(self, timeout_s: float) -> bool:
        """Waits until every handler has ended, ``finally`` blocks and all. False if some had not in time.

        ``grpc.aio.Server.stop`` only tells them to.
        """
        tasks = list(self._tasks)
        if not tasks:
            return True
        _, pending = await asyncio.wait(tasks, timeout=timeout_s)
        return not pending

    async def _refuse(self, _request: bytes, context: Context) -> NoReturn:
        text = f"this node serves {self._max} calls at once and not more; repeat the call after the delay"
        error = RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVER_CAPACITY, text, retry_delay_s=_RETRY_S)
        await context.abort(error.code, error.message, to_trailers(error))
