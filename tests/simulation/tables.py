"""The tables in memory, and what every statement shares."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.engine.stored import JournalEntry, RowState, StoredEntry

UNOWNED: Final = TERMINAL | {SagaStatus.STUCK}
LIVE: Final = (SagaStatus.PENDING, SagaStatus.RUNNING, SagaStatus.COMPENSATING)


@dataclass(slots=True)
class Saga:
    """A row of ``saga``, and its journal."""

    saga_id: UUID
    definition_id: int
    caller: str
    request_id: str
    request_hash: bytes
    concurrency_key: str | None
    input: bytes
    owner: UUID | None
    epoch: int
    last_seq: int
    row: RowState
    created_us: int
    updated_us: int
    ended_us: int | None = None
    wake_at_us: int | None = None
    stale_claims: int = 0
    tenant: str = ""
    journal: list[StoredEntry] = field(default_factory=list)
    requests: int = 0
    """How many rows of ``saga_request`` are of it. No column: an index."""
    writers: list[tuple[int, UUID]] = field(default_factory=list)
    """When each entry was written, and by which node. No column: for the checker."""
    states: list[tuple[int, SagaStatus]] = field(default_factory=list)
    """Every state that the row was given. No column: for the checker."""


@dataclass(slots=True)
class Request:
    """A row of ``saga_request``."""

    number: int
    saga: Saga
    caller: str
    request_id: str
    kind: str
    expected_seq: int | None = None
    step: str | None = None
    reason: str | None = None
    response: bytes | None = None
    consumed_seq: int | None = None


@dataclass(slots=True)
class Node:
    """A row of ``node``."""

    name: str
    definition_ids: tuple[int, ...]
    lease_expires_us: int


class Tables:
    """``now_us`` is the database's clock; ``notify`` is told a hint, and whom it is for (None: everyone)."""

    def __init__(self, now_us: Callable[[], int], notify: Callable[[str, UUID | None], None]) -> None:
        self.now_us = now_us
        self.incarnation = 0
        self.sagas: dict[UUID, Saga] = {}
        self.definitions: dict[int, tuple[str, int, bytes]] = {}
        self.nodes: dict[UUID, Node] = {}
        self.fences: dict[UUID, int | None] = {}
        self.requests: dict[tuple[str, str], Request] = {}
        self.waiting: dict[int, Request] = {}
        self.numbered: dict[int, Request] = {}
        self.notify = notify
        self.by_request: dict[tuple[str, str], Saga] = {}
        self.by_key: dict[tuple[str, str, str], Saga] = {}
        self.owners: dict[UUID, dict[UUID, Saga]] = {}
        self.due: dict[UUID, Saga] = {}
        self.numbers = 0

    def clear(self) -> None:
        """Forgets all that is stored."""
        Tables.__init__(self, self.now_us, self.notify)

    def recover(self, writes: Iterable[tuple[int, Callable[[], object]]], upto_us: int) -> None:
        """Becomes what a standby has that was sent the statements until ``upto_us``, and none after."""
        now_us, notify = self.now_us, self.notify
        Tables.__init__(self, lambda: at_us, lambda _hint, _node_id: None)
        for at_us, write in writes:
            if at_us > upto_us:
                break
            with suppress(Exception):  # it was refused the first time, too
                write()
        self.now_us, self.notify = now_us, notify

    def holds_fence(self, node_id: UUID) -> bool:
        """Whether the node may write at all."""
        return self.fences.get(node_id, 0) is None

    def append(self, saga: Saga, epoch: int, entries: Iterable[JournalEntry], node_id: UUID) -> None:
        now_us = self.now_us()
        for entry in entries:
            saga.journal.append(StoredEntry(entry.seq, entry.kind, entry.attributes, entry.at_us, epoch))
            saga.writers.append((now_us, node_id))

    def place(self, saga: Saga, owner: UUID | None, wake_at_us: int | None) -> None:
        """Sets owner and wake_at, and keeps the indexes."""
        if saga.owner is not None:
            self.owners[saga.owner].pop(saga.saga_id, None)
        self.due.pop(saga.saga_id, None)
        saga.owner, saga.wake_at_us = owner, wake_at_us
        if owner is not None:
            self.owners.setdefault(owner, {})[saga.saga_id] = saga
        elif wake_at_us is not None:
            self.due[saga.saga_id] = saga
