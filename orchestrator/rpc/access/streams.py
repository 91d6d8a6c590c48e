"""Streams that are open: each ends when what let its caller in does not count any more."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import grpc

from contracts.errors import Reason, RpcError
from orchestrator.rpc.access.callers import Callers, Certified
from orchestrator.rpc.access.permissions import Permission
from orchestrator.rpc.access.policy import Scope, covers
from orchestrator.rpc.access.tokens import Proven

LONGEST_S: Final = 86_400.0
"""However long a token counts, no stream stays open for longer: timers have their limits."""


class OpenStream:
    """One stream, from admission to its end."""

    def __init__(self, caller: Proven | Certified, permission: Permission, scopes: tuple[Scope, ...]) -> None:
        self._caller: Final = caller
        self._permission: Final = permission
        self._scopes: Final = scopes
        self._refusal: RpcError | None = None
        self._limit: asyncio.Timeout | None = None

    async def run(self, serve: Callable[[], Awaitable[None]], now: float) -> None:
        """Serves the stream, as long as its caller is admitted. Raises :class:`RpcError` as soon as it is not."""
        self._limit = limit = asyncio.timeout(min(self._caller.expires_at - now, LONGEST_S))
        try:
            async with limit:
                await serve()
        except TimeoutError:
            if not limit.expired():
                raise
            raise (self._refusal or lapsed()) from None
        finally:
            self._limit = None

    def judge(self, callers: Callers, now: float) -> None:
        """Under the policy as it is now. Refuses the stream if its caller may not go on."""
        if not self._caller.counts(now):
            self._refuse(lapsed())
            return
        grant = callers.grant(self._caller)
        if grant is None or not covers(grant.scopes.get(self._permission, ()), self._scopes):
            text = "the policy of this node has changed, and with it what the caller may see; call again"
            self._refuse(RpcError(grpc.StatusCode.PERMISSION_DENIED, Reason.PERMISSION_DENIED, text))

    def _refuse(self, refusal: RpcError) -> None:
        self._refusal = refusal
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time())


def lapsed() -> RpcError:
    """UNAUTHENTICATED: a stream outlived what its caller had proved its identity with."""
    text = (
        "what the caller proved its identity with does not count any more; call again with a fresh token or certificate"
    )
    return RpcError(grpc.StatusCode.UNAUTHENTICATED, Reason.UNAUTHENTICATED, text)
