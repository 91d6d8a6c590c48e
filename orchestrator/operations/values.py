"""What operators ask for and see, as values. Times are integer microseconds since the Unix epoch."""

from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID

from orchestrator.core.events import Failure
from orchestrator.core.state import SagaStatus
from orchestrator.engine.stored import StoredEntry, StoredSaga, Visibility


class AttentionKind(IntEnum):
    """Why an operator should look at a saga. Numbers as in ``saga.v1``; defined in ``storage/attention.py``."""

    NONE = 0
    STUCK = 1
    BLOCKED = 2
    OVERDUE = 3
    SILENT = 4


@dataclass(frozen=True, slots=True)
class AttentionPolicy:
    """When waiting becomes worth a look."""

    blocked_s: float = 60.0
    """A step that is blocked for longer than this."""
    silent_s: float = 120.0
    """Nothing written for longer than this, in spite of what was due: above every timer and timeout of a saga."""


class AuditAction(IntEnum):
    """What operators ask for. Numbers as in ``saga.v1.OperatorAction``; the first seven are the core's."""

    RETRY = 1
    RETRY_COMPENSATION = 2
    SKIP_STEP = 3
    FORCE_COMPENSATION = 4
    RESOLVE = 5
    PAUSE = 6
    RESUME = 7
    HOLD_PARTICIPANT = 8
    RELEASE_PARTICIPANT = 9
    DRAIN_NODE = 10
    START_BULK = 11
    CANCEL_BULK = 12


class AuditOutcome(IntEnum):
    """What became of it. Numbers as in ``saga.v1``."""

    PENDING = 1
    GRANTED = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class StepOf:
    """One step of a definition: where the filter for a participant looks."""

    definition: str
    version: int
    step: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sagas; what is set must all match."""

    definition: str | None = None
    version: int | None = None
    states: tuple[SagaStatus, ...] = ()
    attention: tuple[AttentionKind, ...] = ()
    step: str | None = None
    steps_of_participant: tuple[StepOf, ...] | None = None
    """The steps that call the wanted participant; None: any will do."""
    reason: str | None = None
    min_age_s: float | None = None
    caller: str | None = None
    created_from_us: int | None = None
    created_to_us: int | None = None
    concurrency_key: str | None = None
    request_id: str | None = None
    paused: bool | None = None
    live: bool = False
    saga_ids: tuple[UUID, ...] = ()
    visibility: Visibility = field(default_factory=Visibility)


@dataclass(frozen=True, slots=True)
class FoundSaga:
    """A saga of a list, without its journal."""

    stored: StoredSaga
    attention: AttentionKind


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Part of a list, newest first. ``before`` is where it goes on; None at the end."""

    sagas: tuple[FoundSaga, ...]
    before: UUID | None


@dataclass(frozen=True, slots=True)
class SagaGroup:
    """Sagas that were counted together. ``step`` and ``reason`` are told of those that need attention."""

    status: SagaStatus
    attention: AttentionKind
    definition: str
    version: int
    step: str
    reason: str
    paused: bool
    sagas: int
    oldest_us: int
    sample: UUID


@dataclass(frozen=True, slots=True)
class Tally:
    """A count. ``at_least``: it stopped at its bound."""

    groups: tuple[SagaGroup, ...]
    at_least: bool


@dataclass(frozen=True, slots=True)
class Bucket:
    """What happened from ``start_us`` on, for as long as was asked. Durations are from start to end of what ended."""

    start_us: int
    started: int = 0
    completed: int = 0
    compensated: int = 0
    resolved: int = 0
    p50_us: int | None = None
    p99_us: int | None = None


@dataclass(frozen=True, slots=True)
class SagaAction:
    """An action on one saga as it is stored: a request, and its entry of the audit log, in one transaction."""

    saga_id: UUID
    action: AuditAction
    caller: str
    request_id: str
    reason: str
    expected_seq: int
    step: str | None = None
    response: bytes | None = None
    bulk_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """An entry to be stored that needs nobody's decision any more."""

    action: AuditAction
    caller: str
    request_id: str
    reason: str
    saga_id: UUID | None = None
    bulk_id: UUID | None = None
    expected_seq: int | None = None
    step: str | None = None
    target: str | None = None
    members: int | None = None
    refusal: Failure | None = None
    tenant: str = ""
    """That of the saga or, where the entry is of none, that of who asked."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry as read back. ``answer`` is the journal's entry that decided it, if that is where its outcome is."""

    audit_id: int
    at_us: int
    record: AuditRecord
    outcome: AuditOutcome
    answer: StoredEntry | None = None
    request_number: int | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries; what is set must all match."""

    saga_id: UUID | None = None
    caller: str | None = None
    action: AuditAction | None = None
    bulk_id: UUID | None = None
    from_us: int | None = None
    to_us: int | None = None
    bulk_members: bool = False
    visibility: Visibility = field(default_factory=Visibility)


class BulkState(IntEnum):
    """Numbers as in ``saga.v1``."""

    RUNNING = 1
    DONE = 2
    CANCELLED = 3


@dataclass(frozen=True, slots=True)
class NewBulk:
    """A bulk to be stored."""

    bulk_id: UUID
    action: AuditAction
    step: str
    response_json: str
    query: bytes
    """The serialized ``saga.v1.SagaQuery``."""
    caller: str
    request_id: str
    reason: str
    rate_per_s: float
    max_sagas: int
    tenant: str = ""
    """That of who starts it."""


@dataclass(frozen=True, slots=True)
class StoredBulk:
    """A bulk and how far it is."""

    bulk_id: UUID
    state: BulkState
    action: AuditAction
    step: str
    response_json: str
    query: bytes
    caller: str
    request_id: str
    reason: str
    rate_per_s: float
    members: int
    left_out: int
    granted: int
    refused: int
    in_progress: int
    created_us: int
    ended_us: int | None


@dataclass(frozen=True, slots=True)
class BulkMember:
    """One saga of a bulk."""

    saga_id: UUID
    outcome: AuditOutcome
    refusal: Failure | None
    decided_us: int | None


@dataclass(frozen=True, slots=True)
class Hold:
    """A participant that operators hold."""

    service: str
    held_us: int
    caller: str
    reason: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node that has a lease."""

    node_id: UUID
    name: str
    started_us: int
    lease_expires_us: int
    alive: bool
    sagas: int
    definition_ids: tuple[int, ...]
    drain_us: int | None


@dataclass(frozen=True, slots=True)
class DefinitionRow:
    """A registered definition and its live sagas."""

    definition_id: int
    name: str
    version: int
    digest: bytes
    registered_us: int
    running: int
    compensating: int
    stuck: int
    nodes: int
