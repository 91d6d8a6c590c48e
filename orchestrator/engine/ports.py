"""What the engine needs from outside: a store and a way to call participants. Storage and rpc implement these.

Times are integer microseconds since the Unix epoch by the database's clock; durations end in ``_s``.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID

from orchestrator.core.quick import quick
from orchestrator.engine.stored import (
    Batch,
    MissingDefinition,
    Position,
    SagaFilter,
    SagaRequest,
    Sight,
    StoredEntry,
    StoredSaga,
    Visibility,
)

MAX_REQUESTS_PER_SAGA: Final = 100
"""Each is a row and an entry of the journal. A few requests that arrive together may exceed it, never a loop."""


class StoreUnavailable(Exception):  # noqa: N818  (named for the state of the store, as its readers say it)
    """The store did not answer. Whether a write happened is unknown: repeat it unchanged, or reread by key."""


class NodeFenced(Exception):  # noqa: N818  (what happened to the node, in the past tense like every input)
    """This node was declared dead: everything it holds in memory is another node's by now."""


class SchemaUnknown(Exception):  # noqa: N818
    """The database's schema is not one that this program knows."""


class DefinitionChanged(Exception):  # noqa: N818
    """A definition is registered under the same name and version with another digest."""


class RequestReused(Exception):  # noqa: N818  (what was done with the id)
    """A request id of the caller was used before, for another saga or for something else."""


class SagaEnded(Exception):  # noqa: N818  (what had become of the saga)
    """The saga has ended: there is nobody to consume a request."""


class TooManyRequests(Exception):  # noqa: N818  (named for the state of the saga)
    """The saga has been sent as many requests as it may. Nothing was stored."""


class JournalStore(Protocol):
    """The hot path: group commit, and what decides an unknown outcome."""

    async def commit(self, node_id: UUID, batch: Batch) -> frozenset[UUID]:
        """Writes the batch in one statement and one commit; returns the sagas whose item was written.

        A saga that is missing was refused: its guard or a unique key did not hold. Raises :class:`NodeFenced` (nothing
        was written), :class:`StoreUnavailable` (unknown), or ``ValueError`` if the store can never take the batch as it
        is (nothing was written). Never cancelled half-way: a cancelled caller leaves the
        commit to end by itself.
        """

    async def positions(self, saga_ids: Sequence[UUID]) -> Mapping[UUID, Position]:
        """Where the named sagas stand; absent ones are left out. Raises :class:`StoreUnavailable`."""

    async def find_request(self, caller: str, request_id: str) -> StoredSaga | None:
        """The saga that a request started, without its journal. Raises :class:`StoreUnavailable`."""

    async def find_live_key(self, tenant: str, definition: str, concurrency_key: str) -> UUID | None:
        """The tenant's live saga that holds a concurrency key. Raises :class:`StoreUnavailable`."""


class LeaseStore(Protocol):
    """Node leases and the takeover of what a dead node left."""

    async def check_schema(self) -> None:
        """Raises :class:`SchemaUnknown` unless the database's migrations are ones that this program knows."""

    async def register_definitions(
        self, definitions: Sequence[tuple[str, int, bytes]]
    ) -> Mapping[tuple[str, int], int]:
        """Registers (name, version, digest); returns each one's id. Raises :class:`DefinitionChanged`."""

    async def register_node(self, node_id: UUID, name: str, definition_ids: Sequence[int], lease_ttl_s: float) -> int:
        """Creates the node's lease and fence rows; returns the database's time. Raises :class:`StoreUnavailable`."""

    async def renew(self, node_id: UUID, lease_ttl_s: float) -> int:
        """Renews on a connection of its own; returns the database's time.

        Raises :class:`NodeFenced`, :class:`StoreUnavailable`.
        """

    async def release_node(self, node_id: UUID) -> int:
        """Clean shutdown: sets every saga of the node free, due at once, ends its lease, wakes the others.

        Returns how many sagas it set free.
        """

    async def fence_expired(self, node_id: UUID) -> Sequence[UUID]:
        """Fences every other node whose lease has lapsed; returns all fenced nodes that still own sagas."""

    async def incarnation(self) -> int:
        """The store's incarnation, raised by an operator after a lossy failover; the high half of every new epoch."""

    async def claim(
        self,
        node_id: UUID,
        definition_ids: Sequence[int],
        *,
        from_nodes: Sequence[UUID],
        limit: int,
        suspects: bool,
        released_attributes: bytes,
        crashed_attributes: bytes,
    ) -> Sequence[UUID]:
        """Claims up to ``limit`` live sagas whose definition the node has, with SKIP LOCKED.

        Taken are sagas of the fenced ``from_nodes``, and unowned ones that are due or have an unconsumed request. Each
        claim checks the node's own fence row, raises the epoch, sets the owner and appends a SAGA_CLAIMED entry: with
        ``released_attributes`` for an unowned saga; with ``crashed_attributes``, and ``stale_claims`` counted up, for
        one of ``from_nodes``. ``suspects`` picks only sagas with ``stale_claims >= 2``,
        without it only the others: a saga that may be killing its nodes is claimed alone. Sagas of ``from_nodes`` whose
        definition the node lacks are set free instead, so that a node that has it can claim them, once fewer than
        ``limit`` others are left there.
        Raises :class:`NodeFenced`, :class:`StoreUnavailable`.
        """

    async def owned(self, node_id: UUID) -> Sequence[UUID]:
        """Every saga that the store holds for the node: a claim whose outcome was unknown shows up here."""

    async def look(self, node_id: UUID, definition_ids: Sequence[int]) -> Sight:
        """All that a node looks for when it has nothing to do, at the price of one statement."""

    async def missing_definitions(self) -> Sequence[MissingDefinition]:
        """Live sagas whose definition no live node has loaded."""


class RequestStore(Protocol):
    """Requests to a saga from elsewhere: rows that its owner consumes."""

    async def add_request(self, saga_id: UUID, caller: str, request_id: str, kind: str) -> int:
        """Stores a request once per (caller, request_id), wakes the owner and returns its number.

        Raises :class:`KeyError` for an unknown saga, :class:`SagaEnded` for one that has ended (nothing was stored),
        :class:`TooManyRequests` for a new request to one that has :data:`MAX_REQUESTS_PER_SAGA` already, and
        :class:`RequestReused` if the caller used the id for another saga or kind.
        """

    async def forget_requests(self) -> int:
        """Deletes requests that came just before their saga ended, and that nobody consumed; returns how many."""

    async def pending_requests(self, node_id: UUID) -> Sequence[SagaRequest]:
        """Unconsumed requests to live sagas of the node, oldest first."""

    async def request_outcome(self, saga_id: UUID, number: int) -> StoredEntry | None:
        """The REQUEST_CONSUMED entry that answered a request, or None while it waits."""


class QueryStore(Protocol):
    """Reads for the API."""

    async def load(self, saga_ids: Sequence[UUID]) -> Sequence[StoredSaga]:
        """Rows with their journals, for resuming and for showing; absent ones are left out."""

    async def list_sagas(self, where: SagaFilter, *, limit: int, before: UUID | None) -> Sequence[StoredSaga]:
        """One visible page without journals, newest first (by saga_id, a UUIDv7), older than ``before``."""

    async def visible(self, saga_ids: Sequence[UUID], visibility: Visibility) -> frozenset[UUID]:
        """Those of the sagas that there are, and that may be seen."""

    async def list_entries(self, saga_id: UUID, *, after_seq: int, limit: int) -> Sequence[StoredEntry]:
        """Part of a journal in order."""


class Wakeups(Protocol):
    """NOTIFY as a hint: something may be there to claim, or a request may wait. Losing one only costs a slow poll."""

    def listen(self, node_id: UUID) -> AsyncGenerator[str, None]:
        """Yields ``claimable`` or ``request``; reconnects by itself with backoff and then yields both."""


class Store(JournalStore, LeaseStore, RequestStore, QueryStore, Wakeups, Protocol):
    """All of it, as one adapter."""


@quick
@dataclass(frozen=True, slots=True)
class Call:
    """One RPC to a participant. ``deadline_s`` is how long it may take."""

    service: str
    path: str
    request: bytes
    deadline_s: float
    metadata: tuple[tuple[str, str], ...]


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """How an RPC ended. ``reason`` and ``domain`` come from the ErrorInfo, if there was one."""

    code: int
    response: bytes = b""
    message: str = ""
    reason: str | None = None
    domain: str | None = None
    proven: bool = False
    """The barrier's mark: it has stored this verdict."""
    retry_delay_s: float | None = None
    is_too_large: bool = False
    """The call succeeded, and its response is larger than one may be: nobody has read it, nor would a repetition's."""


class Participants(Protocol):
    """Calls participants. Cancelling the task cancels the RPC."""

    async def call(self, call: Call) -> Answer:
        """Never raises for an RPC's outcome; an unknown service answers UNIMPLEMENTED with reason NO_ADDRESS."""


@dataclass(frozen=True, slots=True)
class Started:
    """Answer to a start. ``conflict`` names what stood in the way, with ``saga_id`` the saga that holds it."""

    saga_id: UUID
    already_started: bool = False
    conflict: str | None = field(default=None)
    """None, ``request_id`` (used with another payload, or for another tenant) or ``concurrency_key``."""
