"""Counts and times the RPCs of callers, by method and status."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from inspect import isasyncgenfunction
from typing import Any, Final, TypeAlias, cast

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from contracts.call_ends import code_name
from contracts.wrapping import Handler, Wrapping

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class RpcMetrics(Wrapping):
    """Stands outside of whatever may refuse a call. Methods that are not served are counted together: anybody could
    name any number of them. Health checks are not counted.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._seconds: Final = Histogram(
            "saga_rpc_duration_seconds",
            "RPCs of callers, waiting included.",
            ("method", "code"),
            buckets=SECONDS,
            registry=registry,
        )
        self._running: Final = Gauge(
            "saga_rpc_in_flight", "RPCs of callers that are being served.", ("method",), registry=registry
        )
        self._unserved: Final = Counter(
            "saga_rpc_unserved", "Calls of methods that this node does not serve.", registry=registry
        )

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """See :class:`Wrapping`."""
        handler = await super().intercept_service(continuation, handler_call_details)
        if handler is None:
            self._unserved.inc()
        return handler

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`."""
        if handler.request_streaming or method.startswith("/grpc."):
            return handler
        method = method[1:]
        running = self._running.labels(method)
        by_code: dict[str, Histogram] = {}

        def ended(context: _Context, began_s: float, *, failed: bool) -> None:
            running.dec()
            code = code_name(context, is_cut_short=failed)
            child = by_code.get(code)
            if child is None:
                child = by_code[code] = self._seconds.labels(method, code)
            child.observe(time.monotonic() - began_s)

        serializers = handler.request_deserializer, handler.response_serializer
        if isasyncgenfunction(handler.unary_stream):
            serve_stream = cast("Callable[..., AsyncIterator[Any]]", handler.unary_stream)

            async def counted_stream(request: Any, context: _Context) -> AsyncIterator[Any]:
                began_s, failed = time.monotonic(), True
                running.inc()
                try:
                    async with aclosing(cast("Any", serve_stream(request, context))) as responses:
                        async for response in responses:
                            yield response
                    failed = False
                finally:
                    ended(context, began_s, failed=failed)

            return grpc.unary_stream_rpc_method_handler(counted_stream, *serializers)
        # A stream that writes to its context itself ends as a unary call does.
        serve = cast("Callable[..., Awaitable[Any]]", handler.unary_unary or handler.unary_stream)

        async def counted(request: Any, context: _Context) -> Any:
            began_s, failed = time.monotonic(), True
            running.inc()
            try:
                response = await serve(request, context)
                failed = False
                return response
            finally:
                ended(context, began_s, failed=failed)

        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(counted, *serializers)
        return grpc.unary_unary_rpc_method_handler(counted, *serializers)
