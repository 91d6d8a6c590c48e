"""Binds handlers to the methods of a contract, and refuses a binding that the contract contradicts."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from saga.v1 import options_pb2, participant_service_pb2
from saga.v1.participant_service_saga import ParticipantService
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import Reason, RpcError
from contracts.metadata import PHASE_ACTION, PHASE_COMPENSATION, PHASE_SETTLE
from contracts.method import Method
from contracts.rules import check_rules
from participants.kit import correlation
from participants.kit.barrier import Barrier
from participants.kit.call import StepContext, read_call

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

StepHandler = Callable[[RequestT, StepContext, AsyncConnection], Awaitable[ResponseT]]
PlainHandler = Callable[[RequestT, AsyncConnection], Awaitable[ResponseT]]

_log = structlog.get_logger(__name__)


class _Role(Enum):
    ACTION = "action"
    COMPENSATION = "compensation"
    COMMAND = "command"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class _Binding:
    role: _Role
    method: Method[Any, Any]
    handler: Any


class Participant:
    """The handlers of a participant's services. ``name`` appears in logs and in ``pg_stat_activity``."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self._bindings: dict[str, _Binding] = {}

    def action(self, method: Method[RequestT, ResponseT], handler: StepHandler[RequestT, ResponseT]) -> None:
        """Binds the action of steps. The handler may raise ``Rejected`` or ``Busy``; any other error stores nothing.

        All bindings raise ``ValueError`` if the method is bound already or a rule of its request cannot hold.
        """
        self._bind(_Role.ACTION, method, handler)

    def compensation(self, method: Method[RequestT, ResponseT], handler: StepHandler[RequestT, ResponseT]) -> None:
        """Binds what undoes an action: called only if that took effect, and finds it by ``step.effect_id``."""
        self._bind(_Role.COMPENSATION, method, handler)

    def command(self, method: Method[RequestT, ResponseT], handler: PlainHandler[RequestT, ResponseT]) -> None:
        """Binds a method that no saga calls: it runs in a transaction, and must be idempotent by itself."""
        self._bind(_Role.COMMAND, method, handler)

    def query(self, method: Method[RequestT, ResponseT], handler: PlainHandler[RequestT, ResponseT]) -> None:
        """Binds a method that only reads; its statements see one snapshot."""
        self._bind(_Role.QUERY, method, handler)

    def _bind(self, role: _Role, method: Method[Any, Any], handler: Any) -> None:
        if method.full_name in self._bindings:
            raise ValueError(f"{method.full_name} is bound already")
        check_rules(method.request.DESCRIPTOR)
        self._bindings[method.full_name] = _Binding(role, method, handler)

    def check(self) -> None:
        """Raises ``ValueError`` listing what is wrong: methods without a handler, roles that the contract denies."""
        faults = [fault for service in self.services() for fault in self._faults(service)]
        if faults:
            raise ValueError("; ".join(faults))

    def services(self) -> list[str]:
        """Full names of the bound services, sorted."""
        return sorted({binding.method.service for binding in self._bindings.values()})

    def _faults(self, service: str) -> list[str]:
        faults: list[str] = []
        any_method = next(each.method for each in self._bindings.values() if each.method.service == service)
        for descriptor in any_method.service_descriptor.methods:
            full_name = f"{service}/{descriptor.name}"
            bound = self._bindings.get(full_name)
            if bound is None:
                faults.append(f"{full_name} has no handler")
                continue
            undo = descriptor.GetOptions().Extensions[options_pb2.compensation]
            if not undo:
                continue
            if bound.role is not _Role.ACTION:
                faults.append(f"{full_name} has a compensation, so it must be bound as an action")
            undo_name = undo if "/" in undo else f"{service}/{undo}"
            undo_bound = self._bindings.get(undo_name)
            if undo_bound is None or undo_bound.role is not _Role.COMPENSATION:
                faults.append(f"{undo_name} undoes {full_name}, so it must be bound as a compensation")
        return faults

    def rpc_handlers(self, barrier: Barrier) -> list[grpc.GenericRpcHandler]:
        """What a server needs to serve the bound services and ``saga.v1.ParticipantService``."""
        by_service: dict[str, dict[str, Any]] = {
            ParticipantService.Settle.service: {"Settle": _rpc(ParticipantService.Settle, _settle_behavior(barrier))}
        }
        for binding in self._bindings.values():
            behavior = _BEHAVIORS[binding.role](barrier, binding)
            by_service.setdefault(binding.method.service, {})[binding.method.name] = _rpc(binding.method, behavior)
        return [grpc.method_handlers_generic_handler(service, handlers) for service, handlers in by_service.items()]


_Behavior = Callable[[Any, Any], Awaitable[bytes]]


def _rpc(method: Method[Any, Any], behavior: _Behavior) -> Any:
    """Behaviors return serialized responses: a replayed one is never parsed."""
    return grpc.unary_unary_rpc_method_handler(behavior, method.request.FromString, None)


def _step_behavior(phase: str, run: Callable[..., Awaitable[bytes]], binding: _Binding) -> _Behavior:
    async def behavior(request: Message, context: Any) -> bytes:
        step = read_call(context.invocation_metadata(), phase)
        correlation.begin(step, phase)
        return await _logged(binding.method, step, run(binding.method, binding.handler, request, step))

    return behavior


async def _logged(method: Method[Any, Any], step: StepContext, call: Awaitable[bytes]) -> bytes:
    """Says how the call ended, without its payload."""
    begun = time.monotonic()

    def told() -> dict[str, Any]:
        duration_ms = round((time.monotonic() - begun) * 1000, 1)
        return {**correlation.fields(step), "method": method.full_name, "epoch": step.epoch, "duration_ms": duration_ms}

    try:
        response = await call
    except RpcError as error:
        _log.info("step_refused", code=error.code.name, reason=error.reason, **told())
        raise
    except Exception as error:
        _log.error("step_failed", error=type(error).__name__, **told())
        raise
    if _log.is_enabled_for(logging.DEBUG):
        _log.debug("step_answered", **told())
    return response


def _settle_behavior(barrier: Barrier) -> _Behavior:
    async def behavior(request: participant_service_pb2.SettleRequest, context: Any) -> bytes:
        step = read_call(context.invocation_metadata(), PHASE_SETTLE)
        correlation.begin(step, PHASE_SETTLE)
        if (request.saga_id, request.step) != (str(step.saga_id), step.step):
            text = "the request names another step than the metadata"
            raise RpcError(grpc.StatusCode.INVALID_ARGUMENT, Reason.MISSING_METADATA, text)

        async def settle() -> bytes:
            return (await barrier.settle(step)).SerializeToString()

        return await _logged(ParticipantService.Settle, step, settle())

    return behavior


def _action(barrier: Barrier, binding: _Binding) -> _Behavior:
    return _step_behavior(PHASE_ACTION, barrier.act, binding)


def _compensation(barrier: Barrier, binding: _Binding) -> _Behavior:
    return _step_behavior(PHASE_COMPENSATION, barrier.compensate, binding)


def _command(barrier: Barrier, binding: _Binding) -> _Behavior:
    async def behavior(request: Message, _context: Any) -> bytes:
        return await barrier.command(binding.method, binding.handler, request)

    return behavior


def _query(barrier: Barrier, binding: _Binding) -> _Behavior:
    async def behavior(request: Message, _context: Any) -> bytes:
        return await barrier.query(binding.method, binding.handler, request)

    return behavior


_BEHAVIORS: Final[dict[_Role, Callable[[Barrier, _Binding], _Behavior]]] = {
    _Role.ACTION: _action,
    _Role.COMPENSATION: _compensation,
    _Role.COMMAND: _command,
    _Role.QUERY: _query,
}
