"""Typed front doors: RPCs of the users' own services that start a saga and wait for its end."""

from collections.abc import Iterable
from typing import Any, Final, cast
from uuid import UUID

import grpc
from google.protobuf.message import Message

from orchestrator.core.state import SagaStatus
from orchestrator.definitions.front_doors import FrontDoor
from orchestrator.definitions.model import clear_request_fields
from orchestrator.engine.api import SagaEngine
from orchestrator.rpc.calls import Context, caller_of, note_saga, tenant_of, trace_of, wait_budget_s
from orchestrator.rpc.error_mapping import (
    READING,
    STARTING,
    engine_errors,
    invalid,
    refuse_nul,
    saga_compensated,
    saga_not_found,
    start_conflict,
)

_MAX_REQUEST_ID_CHARS: Final = 128
_FOUND_AGAIN: Final = f"the saga is durable: {READING} with the same request_id to find it again"


def front_door_handlers(
    doors: Iterable[FrontDoor], engine: SagaEngine, max_wait_s: float
) -> list[grpc.GenericRpcHandler]:
    """One generic handler for each service that has front doors."""
    services: dict[str, dict[str, Any]] = {}
    for door in doors:
        services.setdefault(door.method.service, {})[door.method.name] = grpc.unary_unary_rpc_method_handler(
            _Handler(door, engine, max_wait_s).serve,
            request_deserializer=door.method.request.FromString,
            response_serializer=door.method.response.SerializeToString,
        )
    return [grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items()]


class _Handler:
    """Serves one front door."""

    def __init__(self, door: FrontDoor, engine: SagaEngine, max_wait_s: float) -> None:
        self._door: Final = door
        self._engine: Final = engine
        self._max_wait_s: Final = max_wait_s

    async def serve(self, request: Message, context: Context) -> Message:
        """Starts the saga, or finds it again by its request_id, and answers how it ended or where it stands."""
        door, fields = self._door, cast("Any", request)
        request_id: str = fields.request_id
        if not 1 <= len(request_id) <= _MAX_REQUEST_ID_CHARS:
            raise invalid("request_id", f"must have 1 to {_MAX_REQUEST_ID_CHARS} characters")
        refuse_nul("request_id", request_id)
        at_once = door.may_return_immediately and fields.return_immediately
        clear_request_fields(request)  # in place: the message was parsed for this call alone
        with engine_errors(STARTING):
            started = await self._engine.start(
                door.definition,
                request,
                caller=caller_of(context),
                tenant=tenant_of(context),
                request_id=request_id,
                trace=trace_of(context),
            )
        note_saga(started.saga_id)
        if started.conflict is not None:
            start_conflict(started.conflict, started.saga_id)
        if at_once and not started.already_started:
            return self._response(started.saga_id, SagaStatus.RUNNING)
        with engine_errors(_FOUND_AGAIN, started.saga_id):
            wait_s = 0.0 if at_once else wait_budget_s(context, self._max_wait_s)
            standing = await self._engine.wait(started.saga_id, wait_s)
        if standing is None:
            raise saga_not_found(str(started.saga_id))
        if standing.status is SagaStatus.COMPENSATED:
            raise saga_compensated(standing)
        return self._response(started.saga_id, standing.status, standing.result)

    def _response(self, saga_id: UUID, status: SagaStatus, result: Message | None = None) -> Message:
        response = self._door.method.response()
        # A saga found again may follow another version, whose output need not be this method's response.
        if result is not None and result.DESCRIPTOR is response.DESCRIPTOR:
            response.CopyFrom(result)
        fields = cast("Any", response)
        fields.saga_id = str(saga_id)
        fields.state = status.value
        return response
