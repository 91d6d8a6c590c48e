"""A span for each traced RPC that a server of ours serves: who called, how long it took, how it ended."""

import asyncio
import inspect
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any, Final, TypeAlias

import grpc
from opentelemetry import context as otel_context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from contracts.call_ends import code_name
from contracts.traces.current import CURRENT, ServerSpan
from contracts.traces.export import Spans
from contracts.traces.position import position_of

# Quoted: these are generic in the type stubs alone.
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_SERVERS_FAULT: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
"""What the semantic conventions call an error of a server; every other status is an answer."""


class ServerSpans(grpc.aio.ServerInterceptor):
    """Stands outside of whatever may refuse a call. The caller decides whether its call is traced; of callers who do
    not say, a share is. Calls that are not traced go on to their handlers untouched.
    """

    def __init__(self, spans: Spans, ratio: float) -> None:
        self._spans: Final = spans
        self._ratio: Final = ratio
        self._traced: Final[dict[str, tuple[_Handler, _Handler]]] = {}

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Returns the handler, or for a call that is traced one that tells of it; wraps each method once."""
        method = handler_call_details.method
        caller = position_of(handler_call_details.invocation_metadata)
        is_traced = random.random() < self._ratio if caller is None else caller.sampled  # noqa: S311  (a share)
        if not is_traced or method.startswith("/grpc."):
            return await continuation(handler_call_details)
        CURRENT.set(ServerSpan(self._spans, caller))  # gRPC runs interceptors and handler in one task of their own
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        known = self._traced.get(method)
        if known is None or known[0] is not handler:
            known = self._traced[method] = handler, _wrap(method[1:], handler)
        return known[1]


def _wrap(method: str, handler: "_Handler") -> "_Handler":
    serializers = handler.request_deserializer, handler.response_serializer
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(method, handler.unary_stream), *serializers)
    return grpc.unary_unary_rpc_method_handler(_coroutine(method, handler.unary_unary), *serializers)


def _coroutine(method: str, behavior: Any) -> Callable[..., Any]:
    async def traced(request: Any, context: _Context) -> Any:
        with _serving(method, context):
            return await behavior(request, context)

    return traced


def _stream(method: str, behavior: Any) -> Callable[..., Any]:
    if not inspect.isasyncgenfunction(behavior):
        return _coroutine(method, behavior)  # it writes to the context itself

    async def traced(request: Any, context: _Context) -> AsyncGenerator[Any, None]:
        with _serving(method, context):
            async with aclosing(behavior(request, context)) as responses:
                async for response in responses:
                    yield response

    return traced


@contextmanager
def _serving(method: str, context: _Context) -> Iterator[None]:
    span = CURRENT.get()
    if span is None:  # a caller that is not traced, of a method that once was
        yield
        return
    # What handlers' own instrumentation sees of OpenTelemetry's context, so that its spans belong below this one.
    otel_context.attach(set_span_in_context(NonRecordingSpan(_otel(span))))
    is_cut_short = True
    try:
        yield
        is_cut_short = False
    except asyncio.CancelledError:
        raise
    except BaseException:
        is_cut_short = False
        raise
    finally:
        code = code_name(context, is_cut_short=is_cut_short)
        failed = code in _SERVERS_FAULT
        span.attributes.update({"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": code})
        if failed:
            span.attributes["error.type"] = code
        span.spans.add(
            method,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            kind=SpanKind.SERVER,
            began_ns=span.began_ns,
            ended_ns=time.time_ns(),
            attributes=span.attributes,
            failed=failed,
        )


def _otel(span: ServerSpan) -> SpanContext:
    return SpanContext(
        int(span.trace_id, 16), int(span.span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
