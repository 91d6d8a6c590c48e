"""Turns starts away before they cost anything: no rule is checked, nothing hashed, nothing asked of the store."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import grpc
from google.protobuf.message import DecodeError, Message
from saga.v1 import saga_service_pb2

from contracts.errors import to_trailers
from contracts.wrapping import Handler, Wrapping
from orchestrator.definitions.front_doors import FrontDoor
from orchestrator.engine.api import OverCapacity, SagaEngine
from orchestrator.rpc.calls import Context, caller_of
from orchestrator.rpc.error_mapping import over_capacity

TENTHS: Final = 10
"""Parts of a second in the delays that callers are told: few enough for each refusal to be made once."""

_START: Final = "/saga.v1.SagaService/StartSaga"


def start_methods(doors: Iterable[FrontDoor]) -> dict[str, type[Message]]:
    """Every method that starts sagas, by path, with its request, which has a ``request_id``."""
    return {_START: saga_service_pb2.StartSagaRequest, **{door.method.path: door.method.request for door in doors}}


class Gate(Wrapping):
    """Stands before the interceptor that parses. Lets through who asks for a saga that is in memory already."""

    def __init__(self, engine: SagaEngine, methods: Mapping[str, type[Message]], max_message_bytes: int) -> None:
        """What is larger than ``max_message_bytes`` is turned away unread: it would be refused behind the gate, too."""
        super().__init__()
        self._engine: Final = engine
        self._methods: Final = methods
        self._max_message_bytes: Final = max_message_bytes

    def wrap(self, method: str, handler: "Handler") -> "Handler":
        """See :class:`Wrapping`."""
        request = self._methods.get(method)
        if request is None:
            return handler
        behavior = cast("Callable[[bytes, Context], Awaitable[Any]]", handler.unary_unary)
        assert handler.request_deserializer is None, "what stands behind the gate parses"

        async def gated(raw: bytes, context: Context) -> Any:
            caller = caller_of(context)
            delay_s = self._engine.turn_away(caller)
            if delay_s is not None and not self._is_known(caller, raw, request):
                await context.abort(*_refusal(round(delay_s * TENTHS)))
            return await behavior(raw, context)

        return grpc.unary_unary_rpc_method_handler(gated, None, handler.response_serializer)

    def _is_known(self, caller: str, raw: bytes, request: type[Message]) -> bool:
        return len(raw) <= self._max_message_bytes and self._engine.knows(caller, _request_id(raw, request))


@lru_cache(maxsize=1024)
def _refusal(tenths: int) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str | bytes], ...]]:
    error = over_capacity(OverCapacity(tenths / TENTHS))
    return error.code, error.message, to_trailers(error)


def _request_id(raw: bytes, request: type[Message]) -> str:
    try:
        return str(cast("Any", request.FromString(raw)).request_id)
    except DecodeError:
        return ""
