"""What a handler reads off a call: who calls, and how long there is to wait."""

from typing import Any, Final, TypeAlias, cast
from uuid import UUID

import grpc

from contracts.traces.current import CURRENT as SERVER_SPAN
from contracts.traces.position import position_of
from orchestrator.engine.stored import Visibility
from orchestrator.engine.tracing import TraceContext
from orchestrator.rpc.identity import CURRENT

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_MARGIN_S: Final = 0.05
_MARGIN_SHARE: Final = 0.05


def caller_of(_context: Context) -> str:
    """Who calls, by name."""
    return CURRENT.get().name


def tenant_of(_context: Context) -> str:
    """Whose sagas the caller starts."""
    return CURRENT.get().tenant


def visibility_of(_context: Context) -> Visibility:
    """Which sagas the caller may see and act on."""
    return CURRENT.get().visibility


def trace_of(context: Context) -> TraceContext | None:
    """Where a saga belongs that this call starts; None if neither its caller nor this node says."""
    span = SERVER_SPAN.get()
    if span is not None:
        return TraceContext(span.trace_id, span.span_id, sampled=True)
    caller = position_of(cast("Any", context).invocation_metadata())
    return None if caller is None else TraceContext(caller.trace_id, caller.span_id, caller.sampled)


def note_saga(saga_id: UUID) -> None:
    """Has the call's span tell which saga it is about."""
    span = SERVER_SPAN.get()
    if span is not None:
        span.attributes["saga.id"] = str(saga_id)


def wait_budget_s(context: Context, max_wait_s: float) -> float:
    """Seconds that a handler may wait and still answer within the caller's deadline; 0 if it is all but over."""
    remaining_s = cast("float | None", context.time_remaining())  # None without a deadline, whatever the stub says
    if remaining_s is None:
        return max_wait_s
    return min(max_wait_s, max(0.0, remaining_s - max(_MARGIN_S, _MARGIN_SHARE * remaining_s)))
