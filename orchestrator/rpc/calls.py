"""What a handler reads off a call: who calls, and how long there is to wait."""

from typing import Any, Final, TypeAlias, cast

import grpc

from orchestrator.engine.ports import Visibility
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


def wait_budget_s(context: Context, max_wait_s: float) -> float:
    """Seconds that a handler may wait and still answer within the caller's deadline; 0 if it is all but over."""
    remaining_s = cast("float | None", context.time_remaining())  # None without a deadline, whatever the stub says
    if remaining_s is None:
        return max_wait_s
    return min(max_wait_s, max(0.0, remaining_s - max(_MARGIN_S, _MARGIN_SHARE * remaining_s)))
