"""Which orchestrators may call a participant, by the certificate that the handshake has verified."""

import inspect
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import grpc

from contracts.errors import Reason, RpcError, to_trailers
from contracts.peer import peer_of
from contracts.wrapping import Handler, Wrapping

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_HEALTH: Final = "/grpc.health.v1.Health/"


class Callers(Wrapping):
    """Refuses a call over a connection whose certificate does not count, or is not one of ``allowed``.

    ``allowed`` are SPIFFE IDs; none at all is every holder of a certificate that the server's authorities signed.
    UNAUTHENTICATED for a certificate that lapsed or is ambiguous, PERMISSION_DENIED for another caller. Whoever holds
    a certificate that counts may ask for the health.
    """

    def __init__(self, allowed: Collection[str]) -> None:
        super().__init__()
        self._allowed: Final = frozenset(allowed)

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`. Participants serve no streaming requests."""
        if handler.request_streaming:
            raise ValueError(f"{method} streams requests, and no participant serves that")
        allowed = frozenset[str]() if method.startswith(_HEALTH) else self._allowed
        codec = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_guard_stream(handler.unary_stream, allowed), *codec)
        return grpc.unary_unary_rpc_method_handler(_guard_unary(handler.unary_unary, allowed), *codec)


def _guard_unary(behavior: Any, allowed: frozenset[str]) -> Callable[..., Awaitable[Any]]:
    async def guarded(request: Any, context: _Context) -> Any:
        await _admit(context, allowed)
        return await behavior(request, context)

    return guarded


def _guard_stream(behavior: Any, allowed: frozenset[str]) -> Callable[..., Awaitable[None]]:
    async def guarded(request: Any, context: _Context) -> None:
        await _admit(context, allowed)
        if inspect.iscoroutinefunction(behavior):
            await behavior(request, context)  # it writes to the context itself
            return
        async with aclosing(behavior(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return guarded


async def _admit(context: _Context, allowed: frozenset[str]) -> None:
    """Aborts the call unless its caller may make it."""
    try:
        check_caller(context, allowed)
    except RpcError as error:
        await context.abort(error.code, error.message, to_trailers(error))


def check_caller(context: _Context, allowed: frozenset[str]) -> None:
    """Raises :class:`RpcError`."""
    peer = peer_of(context)
    if peer is None:
        text = "the caller presented no certificate"
        raise RpcError(grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED, text)
    if allowed and peer.spiffe_id not in allowed:
        who = peer.spiffe_id or "a certificate without a SPIFFE ID"
        text = f"{who} may not call this participant: add it to PARTICIPANT_CALLERS, or use another certificate"
        raise RpcError(grpc.StatusCode.PERMISSION_DENIED, Reason.PERMISSION_DENIED, text)
