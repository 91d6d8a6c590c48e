"""The innermost interceptor: a request that names a saga or a bulk which its caller may not see finds none."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from saga.v1 import operator_service_pb2, saga_service_pb2

from contracts.wrapping import Handler, Wrapping
from orchestrator.engine.stored import Visibility
from orchestrator.rpc.access.payloads import payload_remover
from orchestrator.rpc.access.permissions import METHODS, Permission
from orchestrator.rpc.access.policy import Scope
from orchestrator.rpc.calls import Context
from orchestrator.rpc.error_mapping import READING, engine_errors, saga_not_found
from orchestrator.rpc.identity import CURRENT
from orchestrator.rpc.operator_errors import bulk_not_found

_Remover: TypeAlias = Callable[[Message], None]

SCOPES: Final[ContextVar[tuple[Scope, ...]]] = ContextVar("scopes", default=())
"""What the caller of this task's RPC may do with its method. The interceptor that admits it sets them: never empty."""

SAGA_ID: Final = "saga_id"
BULK_ID: Final = "bulk_id"
Visible: TypeAlias = Callable[[Sequence[UUID], Visibility], Awaitable[frozenset[UUID]]]
"""Part of the store: those of the sagas, or of the bulks, that there are and that such a caller may see."""


class Guard(Wrapping):
    """Stands between the interceptor that parses requests and the handlers; knows each request by its descriptor."""

    def __init__(self, visible: Visible, visible_bulks: Visible | None) -> None:
        """``visible_bulks`` may be missing where no service of operators is served."""
        super().__init__()
        self._visible: Final = {SAGA_ID: visible, BULK_ID: visible_bulks}
        self._methods: Final = {
            path: method for path, method in _own_methods() if METHODS.get(path) is not Permission.START
        }

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`."""
        described = self._methods.get(method)
        if described is None:
            return handler
        names = guarded_fields(described)
        remove = payload_remover(described.output_type)
        if not names and remove is None:
            return handler
        parse, serialize = handler.request_deserializer, handler.response_serializer
        if handler.response_streaming and isasyncgenfunction(handler.unary_stream):
            stream = self._stream(cast("Callable[..., AsyncIterator[Any]]", handler.unary_stream), names, remove)
            return grpc.unary_stream_rpc_method_handler(stream, parse, serialize)
        if iscoroutinefunction(handler.unary_unary):
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, names, remove), parse, serialize
            )
        return handler  # the contract's placeholder, which nobody implements

    def _unary(
        self, behavior: Callable[..., Awaitable[Any]], names: tuple[str, ...], remove: _Remover | None
    ) -> Callable[..., Any]:
        async def guarded(request: Message, context: Context) -> Any:
            scope = await self._admit(request, names)
            answer = await behavior(request, context)
            if remove is not None and not scope.shows_payloads:
                remove(answer)
            return answer

        return guarded

    def _stream(
        self, behavior: Callable[..., AsyncIterator[Any]], names: tuple[str, ...], remove: _Remover | None
    ) -> Callable[..., Any]:
        async def guarded(request: Message, context: Context) -> AsyncIterator[Any]:
            scope = await self._admit(request, names)
            async with aclosing(cast("Any", behavior(request, context))) as answers:
                async for answer in answers:
                    if remove is not None and not scope.shows_payloads:
                        remove(answer)
                    yield answer

        return guarded

    async def _admit(self, request: Message, names: tuple[str, ...]) -> Scope:
        """The scope that holds for the request; raises NOT_FOUND, as for what does not exist, if there is none."""
        scopes = SCOPES.get()
        if scopes[0].identity.visibility.is_total:
            return scopes[0]  # it is the current one
        for name in names:
            named = UUID(getattr(request, name))  # its rules were checked
            scopes = await self._that_see(named, name, scopes)
        CURRENT.set(scopes[0].identity)
        return scopes[0]

    async def _that_see(self, named: UUID, name: str, scopes: tuple[Scope, ...]) -> tuple[Scope, ...]:
        visible = self._visible[name]
        assert visible is not None, "a method that names a bulk is an operators' method"
        for number, scope in enumerate(scopes):
            visibility = scope.identity.visibility
            with engine_errors(READING):
                if visibility.is_total or named in await visible((named,), visibility):
                    return scopes[number:]
        raise saga_not_found(str(named)) if name == SAGA_ID else bulk_not_found(named)


def guarded_fields(method: MethodDescriptor) -> tuple[str, ...]:
    """Fields of a method's request that name one saga or one bulk. Filters are the queries' own matter."""
    return tuple(name for name in (SAGA_ID, BULK_ID) if name in method.input_type.fields_by_name)


def _own_methods() -> list[tuple[str, MethodDescriptor]]:
    files = (saga_service_pb2.DESCRIPTOR, operator_service_pb2.DESCRIPTOR)
    return [
        (f"/{service.full_name}/{method.name}", method)
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    ]
