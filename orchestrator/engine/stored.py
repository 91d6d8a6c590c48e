"""What goes into the store and comes back, as values. Times are integer microseconds since 1970, by its clock."""

from dataclasses import dataclass
from uuid import UUID

from orchestrator.core.quick import quick
from orchestrator.core.state import SagaStatus


@quick
@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event as stored. ``kind`` is ``saga.v1.EventType``; ``attributes`` the serialized attribute message."""

    seq: int
    kind: int
    attributes: bytes
    at_us: int


@dataclass(frozen=True, slots=True)
class StoredEntry(JournalEntry):
    """An entry as read back, with the epoch it was written under."""

    epoch: int


@quick
@dataclass(frozen=True, slots=True)
class RowState:
    """The columns of a saga's row that its journal explains. Written with every checkpoint."""

    status: SagaStatus
    deadline_us: int
    failed_step: str | None = None
    failure_code: int = 0
    failure_reason: str | None = None
    failure_message: str | None = None
    blocked_reason: str | None = None
    waiting_step: str | None = None
    """The step that is blocked, or waits after a failure."""
    waiting_reason: str | None = None
    blocked_us: int | None = None
    """Since when that step is blocked."""
    paused_us: int | None = None


@quick
@dataclass(frozen=True, slots=True)
class NewSaga:
    """A saga to insert, already claimed by the writing node. ``entries`` start at seq 1."""

    saga_id: UUID
    definition_id: int
    caller: str
    request_id: str
    request_hash: bytes
    concurrency_key: str | None
    input: bytes
    epoch: int
    row: RowState
    entries: tuple[JournalEntry, ...]
    tenant: str = ""
    """Whose saga it is; empty where tenants have no names."""


@quick
@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Events to append to a saga that the writing node owns, and the row they lead to.

    Written only if the row's owner is the node, its epoch is ``epoch`` and its last_seq is ``entries[0].seq - 1``. With
    ``release`` the node lets go of the saga in the same write (always so for terminal and stuck ones); ``wake_at_us``
    then says when the saga is due for the next claim (None: only a request wakes it). ``entries`` may be empty for a
    mere release: then last_seq must be ``seq``.
    """

    saga_id: UUID
    epoch: int
    seq: int
    """last_seq after this write."""
    row: RowState
    entries: tuple[JournalEntry, ...]
    release: bool = False
    wake_at_us: int | None = None
    consumed_requests: tuple[int, ...] = ()
    """Numbers of the requests that ``entries`` answer, in the order of their REQUEST_CONSUMED entries; they are marked
    consumed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit carries: at the most one item for each saga."""

    new: tuple[NewSaga, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    notify_claimable: bool = False
    """Wake the other nodes: a checkpoint releases a saga that is due at once."""


@quick
@dataclass(frozen=True, slots=True)
class Position:
    """Who owns a saga, and how far its journal goes."""

    owner: UUID | None
    epoch: int
    last_seq: int
    status: SagaStatus


@quick
@dataclass(frozen=True, slots=True)
class StoredSaga:
    """A saga's row, with its journal where it was asked for."""

    saga_id: UUID
    definition: str
    version: int
    digest: bytes
    caller: str
    request_id: str
    request_hash: bytes
    concurrency_key: str | None
    input: bytes
    owner: UUID | None
    epoch: int
    last_seq: int
    row: RowState
    wake_at_us: int | None
    created_us: int
    updated_us: int
    ended_us: int | None
    journal: tuple[StoredEntry, ...] = ()
    definition_loaded: bool = True
    """Whether a live node has the saga's definition loaded."""
    tenant: str = ""
    """Whose saga it is."""


@quick
@dataclass(frozen=True, slots=True)
class SagaRequest:
    """Something asked of a saga from outside, for its owner to consume. What has a default is what operators ask."""

    number: int
    saga_id: UUID
    kind: str
    expected_seq: int | None = None
    caller: str = ""
    reason: str = ""
    step: str | None = None
    response: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look at the store found for a node to do."""

    has_died: bool
    """Another node's lease has lapsed, or a fenced one still owns sagas."""
    is_claimable: bool
    """Some unowned saga is due, or has an unconsumed request."""
    requests: tuple[SagaRequest, ...]
    """As :meth:`RequestStore.pending_requests`."""


@dataclass(frozen=True, slots=True)
class MissingDefinition:
    """Live sagas that no live node can run."""

    definition: str
    version: int
    digest: bytes
    sagas: int


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which sagas somebody may see and act on; what is set must both match. By default all."""

    tenants: tuple[str, ...] | None = None
    """Sagas of these tenants alone."""
    caller: str | None = None
    """Sagas that this caller started alone."""

    @property
    def is_total(self) -> bool:
        """Whether nothing is hidden."""
        return self.tenants is None and self.caller is None

    def within(self, tenant: str) -> "Visibility":
        """What of it belongs to one tenant; nothing, if that one is hidden."""
        seen = self.tenants is None or tenant in self.tenants
        return Visibility((tenant,) if seen else (), self.caller)


@dataclass(frozen=True, slots=True)
class SagaFilter:
    """Which sagas to list; what is set must all match."""

    definition: str | None = None
    version: int | None = None
    states: tuple[SagaStatus, ...] = ()
    concurrency_key: str | None = None
    created_from_us: int | None = None
    created_to_us: int | None = None
    visibility: Visibility = Visibility()
