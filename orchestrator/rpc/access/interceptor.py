"""The interceptor that asks who calls, and whether they may; what stands behind it serves only those who may."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from inspect import isasyncgenfunction
from typing import Any, Final, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError
from saga.v1 import saga_service_pb2

from contracts.errors import Reason, RpcError, to_trailers
from contracts.wrapping import Handler, Wrapping
from orchestrator.engine.stored import Visibility
from orchestrator.rpc.access.callers import Callers, Certified
from orchestrator.rpc.access.guard import SCOPES
from orchestrator.rpc.access.permissions import METHODS, START_SAGA, Permission
from orchestrator.rpc.access.policy import Grant
from orchestrator.rpc.access.streams import OpenStream
from orchestrator.rpc.access.tokens import Proven
from orchestrator.rpc.calls import Context
from orchestrator.rpc.identity import CURRENT, LOCAL, Identity

_BLIND: Final = Identity("", visibility=Visibility(tenants=()))
"""Whoever is turned away: should anything be served all the same, it sees nothing."""
_LOG_INTERVAL_S: Final = 1.0
_log = structlog.get_logger(__name__)


class AccessInterceptor(Wrapping):
    """Unary requests come to it unparsed, and leave it so."""

    def __init__(self, callers: Callers, starts: Mapping[str, str], wall_s: Callable[[], float] = time.time) -> None:
        """``starts``: front doors by path, with the name of the definition that each starts."""
        super().__init__()
        self.callers = callers
        """Under the policy of now; replaced as it changes."""
        self.streams: Final[set[OpenStream]] = set()
        self._starts: Final = starts
        self._wall_s: Final = wall_s
        self._denials: Final = _Denials()

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`."""
        if METHODS.get(method) is Permission.OPEN:
            return handler
        parse, serialize = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            assert handler.response_streaming, "no service of ours reads a stream to answer once"
            both = self._stream(method, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(both, parse, serialize)
        assert parse is None, "what stands behind the gate parses"
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(method, handler.unary_stream), None, serialize)
        return grpc.unary_unary_rpc_method_handler(self._unary(method, handler.unary_unary), None, serialize)

    def _unary(self, method: str, behavior: Any) -> Callable[..., Any]:
        permission = self._permission(method)

        async def guarded(raw: bytes, context: Context) -> Any:
            try:
                _, grant = await self._admit(method, permission, context)
                if permission is Permission.START and grant.definitions is not None:
                    self._check_start(method, raw, grant.definitions)
            except Exception as error:
                await self._refuse(method, error, context)
            return await behavior(raw, context)

        return guarded

    def _stream(self, method: str, behavior: Any) -> Callable[..., Any]:
        permission = self._permission(method)
        serve = _writer(behavior) if isasyncgenfunction(behavior) else behavior

        async def guarded(request: Any, context: Context) -> None:
            stream: OpenStream | None = None
            try:
                caller, _ = await self._admit(method, permission, context)
                assert permission is not None
                stream = OpenStream(caller, permission, SCOPES.get())
                self.streams.add(stream)
                await stream.run(lambda: serve(request, context), self._wall_s())
            except grpc.aio.AbortError:
                raise  # what stands behind has ended it
            except Exception as error:
                await self._refuse(method, error, context)
            finally:
                if stream is not None:
                    self.streams.discard(stream)

        return guarded

    def _permission(self, method: str) -> Permission | None:
        return Permission.START if method in self._starts else METHODS.get(method)

    async def _admit(
        self, method: str, permission: Permission | None, context: Context
    ) -> tuple[Proven | Certified, Grant]:
        """Sets who this task serves. Raises :class:`RpcError`."""
        caller = await self.callers.of(context, self._wall_s())
        grant = caller.grant
        if grant is None:
            CURRENT.set(_BLIND)
            raise _denied("the policy of this node does not know the caller")
        scopes = grant.scopes.get(permission, ()) if permission is not None else ()
        if not scopes:
            CURRENT.set(replace(_BLIND, name=caller.subject.name))
            raise _denied(f"the roles of the caller do not let it call {method}")
        SCOPES.set(scopes)
        CURRENT.set(scopes[0].identity)
        return caller, grant

    def _check_start(self, method: str, raw: bytes, may_start: frozenset[str]) -> None:
        definition = self._starts.get(method)
        if definition is None:
            assert method == START_SAGA, method
            try:
                # The envelope alone: the input within it stays bytes.
                definition = saga_service_pb2.StartSagaRequest.FromString(raw).definition
            except DecodeError:
                return  # what stands behind says so, and starts nothing
        if definition not in may_start:
            raise _denied("the caller may not start sagas of this definition")

    async def _refuse(self, method: str, error: Exception, context: Context) -> NoReturn:
        if not isinstance(error, RpcError):  # nobody is let in by a defect, and nobody is told what it was
            _log.error("access_failed", method=method, error=type(error).__qualname__)
            error = RpcError(grpc.StatusCode.INTERNAL, Reason.INTERNAL, "a defect of this server ended the call")
        self._denials.add(method, error)
        await context.abort(error.code, error.message, to_trailers(error))


def _writer(behavior: Callable[..., AsyncGenerator[Any, None]]) -> Callable[[Any, Context], Awaitable[None]]:
    async def write_all(request: Any, context: Context) -> None:
        async with aclosing(behavior(request, context)) as answers:
            async for answer in answers:
                await context.write(answer)

    return write_all


class _Denials:
    """Says in the log that calls are refused; once a second, however many there are."""

    def __init__(self) -> None:
        self._said_s = -_LOG_INTERVAL_S
        self._unsaid = 0

    def add(self, method: str, error: RpcError) -> None:
        self._unsaid += 1
        now_s = time.monotonic()
        if now_s - self._said_s >= _LOG_INTERVAL_S:
            current = CURRENT.get()
            caller = "" if current is LOCAL else current.name
            _log.warning(
                "call_refused",
                method=method,
                reason=error.reason,
                what=error.message,
                caller=caller,
                calls=self._unsaid,
            )
            self._said_s, self._unsaid = now_s, 0


def _denied(text: str) -> RpcError:
    advice = "ask whoever keeps the policy"
    return RpcError(grpc.StatusCode.PERMISSION_DENIED, Reason.PERMISSION_DENIED, f"{text}; {advice}")
