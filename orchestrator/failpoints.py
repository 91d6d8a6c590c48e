"""A node's failpoints: wrappers around the store and the participants, put in only where a test arms them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, Final, cast
from uuid import UUID

import grpc

from contracts.failpoints import FailpointError, Failpoints
from contracts.metadata import IDEMPOTENCY_KEY, PHASE_ACTION, PHASE_COMPENSATION, PHASE_SETTLE
from orchestrator.engine.ports import Answer, Call, Participants, Store, StoreUnavailable

STORE_CALLS: Final = (
    "add_request",
    "claim",
    "commit",
    "fence_expired",
    "find_request",
    "load",
    "look",
    "owned",
    "pending_requests",
    "positions",
    "register_node",
    "release_node",
    "renew",
)
"""The calls of the store on which a saga's course depends."""

POINTS: Final = (
    *(f"store.{call}.{when}" for call in STORE_CALLS for when in ("before", "after")),
    *(
        f"call.{phase}.{when}"
        for phase in (PHASE_ACTION, PHASE_COMPENSATION, PHASE_SETTLE)
        for when in ("sending", "answered")
    ),
)


class FailingStore:
    """A store with a point before and after each of :data:`STORE_CALLS`; an armed error is ``StoreUnavailable``."""

    def __init__(self, store: Store, failpoints: Failpoints) -> None:
        self._store = store
        for name in STORE_CALLS:
            setattr(self, name, _through(getattr(store, name), f"store.{name}", failpoints))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def listen(self, node_id: UUID) -> AsyncIterator[str]:
        """Has no points: losing a wake-up only costs a slow poll."""
        return self._store.listen(node_id)


def failing_store(store: Store, failpoints: Failpoints) -> Store:
    """The store behind its points."""
    return cast("Store", FailingStore(store, failpoints))


def _through(call: Callable[..., Awaitable[Any]], point: str, failpoints: Failpoints) -> Callable[..., Awaitable[Any]]:
    @wraps(call)
    async def through(*arguments: Any, **named: Any) -> Any:
        try:
            await failpoints.reach(f"{point}.before")
            answer = await call(*arguments, **named)
            await failpoints.reach(f"{point}.after")
        except FailpointError as error:
            raise StoreUnavailable(str(error)) from error
        return answer

    return through


class FailingParticipants:
    """Participants with a point before each call and after each answer; an armed error is UNAVAILABLE."""

    def __init__(self, participants: Participants, failpoints: Failpoints) -> None:
        self._participants = participants
        self._failpoints = failpoints

    async def call(self, call: Call) -> Answer:
        """See :class:`orchestrator.engine.ports.Participants`."""
        phase = dict(call.metadata).get(IDEMPOTENCY_KEY, "").rpartition("/")[2]
        try:
            await self._failpoints.reach(f"call.{phase}.sending")
            answer = await self._participants.call(call)
            await self._failpoints.reach(f"call.{phase}.answered")
        except FailpointError as error:
            return Answer(grpc.StatusCode.UNAVAILABLE.value[0], message=str(error))
        return answer
