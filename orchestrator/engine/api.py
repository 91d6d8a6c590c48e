"""What the engine offers to the RPC services. :class:`orchestrator.engine.engine.Engine` implements it."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from google.protobuf.message import Message

from orchestrator.core.events import Failure
from orchestrator.core.state import SagaState, SagaStatus
from orchestrator.definitions.model import Definition
from orchestrator.engine.ports import Started
from orchestrator.engine.stored import StoredSaga
from orchestrator.engine.tracing import TraceContext


class OverCapacity(Exception):  # noqa: N818  (named for the state of the node)
    """The node has taken on as much as it may; ``retry_delay_s`` says when to try again. Nothing was stored."""

    def __init__(self, retry_delay_s: float) -> None:
        super().__init__(f"over capacity; try again in {retry_delay_s:.1f} s")
        self.retry_delay_s = retry_delay_s


class Draining(Exception):  # noqa: N818  (named for the state of the node)
    """The node is shutting down or holds no lease. Nothing was stored."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a saga stands when a wait is over. ``result`` is the serialized output of a completed saga."""

    saga_id: UUID
    status: SagaStatus
    failed_step: str | None = None
    failure: Failure | None = None
    result: Message | None = None


@dataclass(frozen=True, slots=True)
class SagaView:
    """A saga as stored, its journal folded. ``state`` is None if its ``definition`` is not loaded here."""

    stored: StoredSaga
    definition: Definition | None
    state: SagaState | None
    result: bytes


class SagaEngine(Protocol):
    """Start, follow and cancel sagas. Every method may raise ``StoreUnavailable``; none waits longer than told."""

    def turn_away(self, caller: str) -> float | None:
        """Asked before a start costs anything: None to take it, or the seconds after which it should come again.

        The node is over capacity: it holds as many sagas as it may, or lags so far behind that a share of all starts
        is turned away. Those of a request that it :meth:`knows` need not be.
        """

    def watch_delay(self, delay_s: Callable[[], float]) -> None:
        """Another delay that counts for :meth:`turn_away`, asked for every now and then while sagas are started: how
        long a call waits before it is asked.
        """

    def knows(self, caller: str, request_id: str) -> bool:
        """Whether the request started a saga that is in this node's memory: to find it again costs next to nothing."""

    async def start(
        self,
        definition: Definition,
        saga_input: Message,
        *,
        caller: str,
        tenant: str = "",
        request_id: str,
        trace: TraceContext | None = None,
    ) -> Started:
        """Stores a saga and begins it; returns once it is durable, or finds what stood in the way.

        ``trace`` is the caller's, kept with the saga.

        ``saga_input`` has its ``request_id`` and ``return_immediately`` fields cleared by the caller, if it has them.
        The request's hash covers the definition's name and the deterministic bytes of the input, not the version.
        A concurrency key is the tenant's own; a request of the caller's that was another tenant's is a conflict.
        Raises :class:`OverCapacity`, :class:`Draining`, ``PayloadError``, and ``ConcurrencyKeyError`` or
        ``BuilderError`` for an input that gives no concurrency key.
        """

    async def wait(self, saga_id: UUID, timeout_s: float) -> Standing | None:
        """Returns when the saga is terminal or stuck, or after ``timeout_s`` as it stands; None if it is unknown.

        Sagas of other nodes are followed by one set-based query for all waiters of this node.
        """

    def follow(self, saga_id: UUID, after_seq: int) -> AsyncGenerator[int, None]:
        """Yields the saga's last_seq whenever it has grown beyond the last one yielded (from ``after_seq``).

        Yields once more and ends when the saga is terminal. Survives the owner's death and the store's absence; ends
        early when this node shuts down.
        """

    async def view(self, saga_id: UUID) -> SagaView | None:
        """The saga as stored, or None if it is unknown."""

    async def cancel(self, saga_id: UUID, *, caller: str, request_id: str, timeout_s: float) -> Failure | None:
        """Asks the saga to turn around; returns why it was refused, or None once it was granted.

        Raises :class:`KeyError` for an unknown saga, ``RequestReused`` if the caller used ``request_id`` for something
        else, ``TooManyRequests`` if the saga has taken as many as it may, and :class:`TimeoutError` if nothing was
        decided in time.
        """

    async def decided(self, saga_id: UUID, number: int, timeout_s: float) -> Failure | None:
        """Waits for the answer to a request that is stored: why it was refused, or None once it was granted.

        Raises :class:`TimeoutError` if nothing was decided in time.
        """
