"""Who calls, and whose sagas that caller may see. Set once for each RPC, read by whatever serves it."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from orchestrator.engine.stored import Visibility


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller that is known. ``name`` goes into rows, journals and the audit; it is no secret."""

    name: str
    tenant: str = ""
    """Whose sagas it starts; empty is the tenant of those who name none."""
    visibility: Visibility = field(default_factory=Visibility)
    roles: tuple[str, ...] = ()
    """As the policy calls them, to be shown; none where nobody is asked."""
    expires_at_s: float | None = None
    """From when on, in seconds since 1970, what proves it is refused; None if it says nothing of that."""
    operator_methods: frozenset[str] | None = None
    """Methods of the operator service that it may call, to be shown; None is every one."""


LOCAL: Final = Identity("local")
"""Everybody who reaches a node that asks nobody who they are."""

CURRENT: Final[ContextVar[Identity]] = ContextVar("identity", default=LOCAL)
"""Of the RPC that this task serves: gRPC runs each RPC, interceptors and handler, in one task of its own."""
