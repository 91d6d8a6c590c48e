"""Turns away what one caller asks for beyond its bounds, before anything is spent on it."""

import asyncio
import inspect
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import Message

from contracts.errors import Reason, RpcError, to_trailers
from contracts.wrapping import Handler, Wrapping
from orchestrator.rpc.calls import Context, caller_of
from orchestrator.rpc.limits.callers import CallerPolicy, Callers, Place, Refusal

WAITS: Final = frozenset({"/saga.v1.SagaService/WaitSaga"})
"""Unary calls that are counted with the streams: they last as long as their callers like."""
_TENTHS: Final = 10
"""Parts of a second in the delays that callers are told: few enough for each refusal to be made once."""
_TEXTS: Final = {
    Reason.TOO_MANY_CALLS: "this caller has as much under way at this node as it may, and nothing was done for this "
    "call; let some of it end, read the answers, and repeat the call after the delay",
    Reason.RATE_LIMITED: "this caller calls more often than it may, and nothing was done for this call; repeat it "
    "after the delay",
}


class CallerLimits(Wrapping):
    """Stands behind whatever finds out who calls, and before whatever costs something. Health checks pass uncounted."""

    def __init__(
        self, policy: CallerPolicy, capacity: int, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.callers: Final = Callers(policy, capacity, monotonic_s)

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`."""
        if handler.request_streaming or method.startswith("/grpc."):
            return handler
        parse, serialize = handler.request_deserializer, handler.response_serializer
        if handler.response_streaming:
            stream = _limited_stream(self.callers, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, parse, serialize)
        unary = _limited_unary(self.callers, handler.unary_unary, is_watcher=method in WAITS)
        return grpc.unary_unary_rpc_method_handler(unary, parse, serialize)


def _limited_unary(callers: Callers, behavior: Any, *, is_watcher: bool) -> Callable[..., Any]:
    async def limited(raw: Any, context: Context) -> Any:
        place = callers.enter(caller_of(context), is_watcher)
        if isinstance(place, Refusal):
            await _refuse(place, context)
        _hold(place)
        answer: Message = await behavior(raw, context)
        place.answered(answer.ByteSize())
        return answer

    return limited


def _limited_stream(callers: Callers, behavior: Any) -> Callable[..., Any]:
    async def enter(context: Context) -> None:
        place = callers.enter(caller_of(context), is_watcher=True)
        if isinstance(place, Refusal):
            await _refuse(place, context)
        _hold(place)

    async def writing(raw: Any, context: Context) -> None:
        await enter(context)
        await behavior(raw, context)

    async def yielding(raw: Any, context: Context) -> AsyncGenerator[Message, None]:
        await enter(context)
        async with aclosing(behavior(raw, context)) as responses:
            async for response in responses:
                yield response

    return yielding if inspect.isasyncgenfunction(behavior) else writing


def _hold(place: Place) -> None:
    """Until the RPC's task is over: a client that does not read its answer, or its status, keeps the task from that."""
    task = asyncio.current_task()
    assert task is not None, "gRPC serves each RPC in a task of its own"
    task.add_done_callback(place.leave)


async def _refuse(refusal: Refusal, context: Context) -> NoReturn:
    await context.abort(*_status(refusal.reason, max(1, round(refusal.delay_s * _TENTHS))))


@lru_cache(maxsize=1024)
def _status(reason: Reason, tenths: int) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    error = RpcError(code, reason, _TEXTS[reason], retry_delay_s=tenths / _TENTHS)
    return error.code, error.message, to_trailers(error)
