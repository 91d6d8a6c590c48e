"""What every server of ours does around its handlers: size, rules, and one clean status for every end."""

import asyncio
import inspect
import ipaddress
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NoReturn, TypeAlias, cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # no stubs, and no other name for the error below

from contracts.errors import Reason, RpcError, to_trailers
from contracts.rules import violations
from contracts.shape import misshapen
from contracts.tracebacks import frames, kinds
from contracts.traces.position import position_of
from contracts.wrapping import Handler, Wrapping

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_log = structlog.get_logger(__name__)

MAX_PENDING_CALLS: Final = 20_000
"""Calls that the transport holds before a handler takes them."""

_TRANSPORT_HEADROOM: Final = 4
"""How many times the bound on a message the transport still reads, so that our own answer names what is wrong."""

_OVER_CAPACITY_DELAY_S: Final = 1.0

MAX_CONNECTIONS: Final = 2_000
"""Open connections; further ones are closed as they come. A process can have no more than it may open files."""
MAX_STREAMS_PER_CONNECTION: Final = 10_000
"""Calls under way on one connection; the client's own library holds further ones back."""
_HANDSHAKE_S: Final = 10
"""How long a connection may take until it speaks TLS and HTTP/2."""
_IDLE_CONNECTION_S: Final = 1800
"""How long a connection without calls stays open."""


def SERVER_OPTIONS(  # noqa: N802  (a table, as gRPC's own options)
    max_message_bytes: int, *, reuse_port: bool = False, max_connections: int = MAX_CONNECTIONS
) -> list[tuple[str, int]]:
    """Channel arguments of a server.

    ``max_message_bytes`` is the bound that :class:`ServingInterceptor` enforces. The transport reads up to four times
    that; beyond it gRPC itself answers RESOURCE_EXHAUSTED, without details, and never hands the message out.
    ``reuse_port`` lets several processes share one port.
    """
    return [
        ("grpc.max_receive_message_length", _TRANSPORT_HEADROOM * max_message_bytes),
        ("grpc.max_send_message_length", _TRANSPORT_HEADROOM * max_message_bytes),
        ("grpc.max_metadata_size", 16 * 1024),
        # Calls that came in one burst wait here until a handler takes them, which then refuses in words. gRPC's own
        # limits begin to drop at random far below, and its callers see CANCELLED without a reason.
        ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
        ("grpc.so_reuseport", int(reuse_port)),
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.max_concurrent_streams", MAX_STREAMS_PER_CONNECTION),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_S * 1000),
        ("grpc.max_connection_idle_ms", _IDLE_CONNECTION_S * 1000),
        # A peer that is gone is found in half a minute, and clients may ping as often as every 5 s, idle or not:
        # gRPC's defaults answer such a client with GOAWAY.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 0),
    ]


def is_loopback(address: str) -> bool:
    """Whether nothing but this machine reaches ``host:port``, ``[v6]:port`` or ``unix:path``."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServingInterceptor(Wrapping):
    """Guards unary and server-streaming handlers; handlers that read a stream pass through untouched.

    Before the handler: a message over ``max_message_bytes`` is RESOURCE_EXHAUSTED ``MESSAGE_TOO_LARGE``, one that does
    not parse, is misshapen (:mod:`contracts.shape`) or breaks a rule of its contract INVALID_ARGUMENT
    ``INVALID_REQUEST``, and a call beyond ``max_concurrent_calls`` running ones RESOURCE_EXHAUSTED ``OVER_CAPACITY``
    (gRPC's own limit ends such calls with CANCELLED, which says nothing; health checks are not counted). After it:
    :class:`RpcError` becomes its status and trailers; any other exception, and a ``CancelledError`` that nobody asked
    for, becomes INTERNAL, which tells the client nothing while the log has the traceback. A stream whose client does
    not take a message within ``slow_reader_s`` ends with RESOURCE_EXHAUSTED ``SLOW_READER``; until then it holds one.
    """

    def __init__(
        self, max_message_bytes: int, *, max_concurrent_calls: int | None = None, slow_reader_s: float = 10.0
    ) -> None:
        super().__init__()
        self._max_message_bytes = max_message_bytes
        self._slow_reader_s = slow_reader_s
        self._capacity = _Capacity(max_concurrent_calls)

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`."""
        if handler.request_streaming:
            return handler
        parse = cast("Callable[[bytes], Message]", handler.request_deserializer)
        capacity = _Capacity(None) if method.startswith("/grpc.") else self._capacity
        if handler.response_streaming:
            stream = _guard_stream(
                method, self._checked(parse), handler.unary_stream, capacity, slow_reader_s=self._slow_reader_s
            )
            return grpc.unary_stream_rpc_method_handler(stream, None, handler.response_serializer)
        unary = _guard_unary(method, self._checked(parse), handler.unary_unary, capacity)
        return grpc.unary_unary_rpc_method_handler(unary, None, handler.response_serializer)

    def _checked(self, parse: Callable[[bytes], Message]) -> Callable[[bytes], Message]:
        """Parses and checks a request. Raises :class:`RpcError`."""
        limit = self._max_message_bytes

        def checked(raw: bytes) -> Message:
            if len(raw) > limit:
                text = f"the message has {len(raw)} bytes, and this server takes {limit} at the most"
                raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE, text)
            try:
                request = parse(raw)
            except DecodeError:
                text = "the request does not parse as the message of this method; check the version of the contract"
                raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, text) from None
            fault = misshapen(request)
            if fault is not None:
                raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, fault)
            broken = violations(request)
            if broken:
                text = f"{broken[0].field} {broken[0].description}" + (
                    f", and {len(broken) - 1} more" if len(broken) > 1 else ""
                )
                raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.INVALID_REQUEST, text, violations=broken[:64])
            return request

        return checked


class _Capacity:
    """Counts running calls up to a limit; None is no limit. A context manager that raises :class:`RpcError`."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._running = 0

    def __enter__(self) -> None:
        if self._limit is not None and self._running >= self._limit:
            text = f"this server runs {self._limit} calls already; try again later"
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVER_CAPACITY, text, retry_delay_s=_OVER_CAPACITY_DELAY_S
            )
        self._running += 1

    def __exit__(self, *_: object) -> None:
        self._running -= 1


def _guard_unary(
    method: str, checked: Callable[[bytes], Message], behavior: Any, capacity: _Capacity
) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(behavior):
        return _unimplemented

    async def guarded(raw: bytes, context: _Context) -> Message:
        try:
            with capacity:
                return cast("Message", await behavior(checked(raw), context))
        except (Exception, asyncio.CancelledError) as error:
            await _end(method, error, context)

    return guarded


def _guard_stream(
    method: str, checked: Callable[[bytes], Message], behavior: Any, capacity: _Capacity, *, slow_reader_s: float
) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(behavior):
        write_all = _writer(behavior, slow_reader_s)
    elif inspect.iscoroutinefunction(behavior):
        write_all = behavior  # it writes to the context itself
    else:
        return _unimplemented

    async def guarded(raw: bytes, context: _Context) -> None:
        try:
            with capacity:
                await write_all(checked(raw), context)
        except (Exception, asyncio.CancelledError) as error:
            await _end(method, error, context)

    return guarded


def _writer(
    behavior: Callable[[Message, _Context], AsyncGenerator[Message, None]], slow_reader_s: float
) -> Callable[[Message, _Context], Awaitable[None]]:
    """Writes what a generator yields. A write waits for as long as HTTP/2 lets the client keep it from being sent."""

    async def write_all(request: Message, context: _Context) -> None:
        async with aclosing(behavior(request, context)) as responses:
            async for response in responses:
                try:
                    async with asyncio.timeout(slow_reader_s):
                        await context.write(response)
                except TimeoutError:
                    text = f"the client took no message for {slow_reader_s:g} s; call again, and read what comes"
                    raise RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.SLOW_READER, text) from None

    return write_all


async def _end(method: str, error: BaseException, context: _Context) -> NoReturn:
    """Ends the RPC cleanly. Raises what gRPC wants to see: its own abort, or the cancellation that it asked for."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise error
    if isinstance(error, cygrpc.ExecuteBatchError):
        raise asyncio.CancelledError from None  # its caller is gone: nobody is left to be told, and nothing was wrong
    if not isinstance(error, RpcError):
        caller = position_of(cast("Any", context).invocation_metadata())
        trace = {} if caller is None else {"trace_id": caller.trace_id}
        _log.error("handler_failed", method=method, **trace, error=kinds(error), traceback=frames(error))
        text = "a defect of this server ended the call; its log has the details"
        error = RpcError(grpc.StatusCode.INTERNAL, Reason.INTERNAL, text)
    # Its frames hold the request, taken apart into many times its size, and a client that does not read its status
    # would have them kept.
    error.__traceback__ = error.__context__ = None
    await context.abort(error.code, error.message, to_trailers(error))


async def _unimplemented(_raw: bytes, context: _Context) -> NoReturn:
    """Stands in for the generated base class's placeholder, a plain function. Handlers are coroutine functions."""
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not implement the method")
