"""The database in memory: the tables, and what each statement of ``orchestrator/storage`` does to them.

Every statement takes effect at one instant, one after the other: one of the orders that PostgreSQL may choose. What the
guards refuse there is refused here; ``tests/conformance`` holds both to the same cases.
"""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from orchestrator.core.state import TERMINAL
from orchestrator.engine.ports import MAX_REQUESTS_PER_SAGA, NodeFenced, RequestReused, SagaEnded, TooManyRequests
from orchestrator.engine.stored import Batch, Checkpoint, NewSaga, SagaRequest, Sight, StoredEntry
from orchestrator.operations.values import SagaAction
from tests.simulation.ownership import Ownership
from tests.simulation.tables import LIVE, UNOWNED, Request, Saga

REQUEST_CONSUMED: Final = 15


class Database(Ownership):
    """The hot path and the requests."""

    def commit(self, node_id: UUID, batch: Batch) -> frozenset[UUID]:
        """See ``JournalStore.commit``."""
        _check(batch)
        if not self.holds_fence(node_id):
            raise NodeFenced(f"node {node_id} was fenced; nothing of the batch was written")
        written = [new.saga_id for new in batch.new if self._insert(node_id, new)]
        moved = [item.saga_id for item in batch.checkpoints if self._move(node_id, item)]
        if moved and batch.notify_claimable:
            self.notify("claimable", None)
        return frozenset(written + moved)

    def may_move(self, saga: Saga, node_id: UUID, item: Checkpoint) -> bool:
        """The guard of a checkpoint."""
        before = item.seq - len(item.entries)
        return saga.owner == node_id and saga.epoch == item.epoch and saga.last_seq == before

    def _insert(self, node_id: UUID, new: NewSaga) -> bool:
        request = (new.caller, new.request_id)
        key = self._key(new)
        if new.saga_id in self.sagas or request in self.by_request or (key is not None and key in self.by_key):
            return False
        now_us, status = self.now_us(), new.row.status
        saga = Saga(
            new.saga_id,
            new.definition_id,
            new.caller,
            new.request_id,
            new.request_hash,
            new.concurrency_key,
            new.input,
            None,
            new.epoch,
            new.entries[-1].seq,
            new.row,
            now_us,
            now_us,
            ended_us=now_us if status in TERMINAL else None,
            tenant=new.tenant,
        )
        self.sagas[new.saga_id] = self.by_request[request] = saga
        if key is not None and status not in TERMINAL:
            self.by_key[key] = saga
        self.place(saga, node_id if status in LIVE else None, None)
        self.append(saga, new.epoch, new.entries, node_id)
        saga.states.append((now_us, status))
        return True

    def _move(self, node_id: UUID, item: Checkpoint) -> bool:
        saga = self.sagas.get(item.saga_id)
        if saga is None or saga.row.status in TERMINAL or not self.may_move(saga, node_id, item):
            return False
        now_us, status = self.now_us(), item.row.status
        if status is not saga.row.status:
            saga.states.append((now_us, status))
        saga.row = item.row
        if item.seq > saga.last_seq:
            saga.stale_claims, saga.updated_us = 0, now_us
        saga.last_seq = item.seq
        if status in TERMINAL:
            saga.ended_us = now_us
            key = self._key(saga)
            if key is not None:
                self.by_key.pop(key, None)
        if item.release or status in UNOWNED:
            self.place(saga, None, None if status in UNOWNED else item.wake_at_us)
        self.append(saga, item.epoch, item.entries, node_id)
        if item.consumed_requests:
            self._consume(saga, item)
        return True

    def _consume(self, saga: Saga, item: Checkpoint) -> None:
        answers = (entry.seq for entry in item.entries if entry.kind == REQUEST_CONSUMED)
        for number, seq in zip(item.consumed_requests, answers, strict=True):
            request = self.waiting.get(number)
            if request is not None and request.saga is saga:
                request.consumed_seq = seq
                del self.waiting[number]

    def _key(self, saga: Saga | NewSaga) -> tuple[str, str, str] | None:
        """Whose concurrency key it is, of which definition, and the key."""
        if saga.concurrency_key is None:
            return None
        return saga.tenant, self.definitions[saga.definition_id][0], saga.concurrency_key

    def find_request(self, caller: str, request_id: str) -> Saga | None:
        """See ``JournalStore.find_request``."""
        return self.by_request.get((caller, request_id))

    def find_live_key(self, tenant: str, definition: str, concurrency_key: str) -> UUID | None:
        """See ``JournalStore.find_live_key``."""
        saga = self.by_key.get((tenant, definition, concurrency_key))
        return None if saga is None else saga.saga_id

    # ---- requests ----

    def add_request(self, saga_id: UUID, caller: str, request_id: str, kind: str) -> int:
        """See ``RequestStore.add_request``."""
        return self._add(saga_id, caller, request_id, kind)

    def add_action(self, action: SagaAction) -> int:
        """See ``OperatorStore.add_action``. The audit log is not simulated."""
        given = (action.expected_seq, action.step, action.reason, action.response)
        return self._add(action.saga_id, action.caller, action.request_id, action.action.name.lower(), *given)

    def _add(self, saga_id: UUID, caller: str, request_id: str, kind: str, *given: Any) -> int:
        saga = self.sagas.get(saga_id)
        found = self.requests.get((caller, request_id))
        if found is not None:
            if found.saga is not saga or found.kind != kind:
                raise RequestReused("the request id was used for another saga or request; use a new one")
            return found.number
        if saga is None:
            raise KeyError(saga_id)
        if saga.ended_us is not None:
            raise SagaEnded(saga_id)
        if saga.requests >= MAX_REQUESTS_PER_SAGA:
            raise TooManyRequests(saga_id)
        self.numbers += 1
        saga.requests += 1
        request = Request(self.numbers, saga, caller, request_id, kind, *given)
        self.requests[caller, request_id] = self.waiting[request.number] = self.numbered[request.number] = request
        self.notify(*(("claimable", None) if saga.owner is None else ("request", saga.owner)))
        return request.number

    def forget_requests(self) -> int:
        """See ``RequestStore.forget_requests``."""
        forgotten = [request for request in self.waiting.values() if request.saga.ended_us is not None]
        for request in forgotten:
            request.saga.requests -= 1
            del self.waiting[request.number], self.numbered[request.number]
            del self.requests[request.caller, request.request_id]
        return len(forgotten)

    def pending_requests(self, node_id: UUID) -> Sequence[SagaRequest]:
        """See ``RequestStore.pending_requests``."""
        mine = node_id.int  # of ids only the comparison of numbers is quick
        pending = ((request, request.saga.owner) for request in self.waiting.values())
        return [shown(request) for request, owner in pending if owner is not None and owner.int == mine]

    def look(self, node_id: UUID, definition_ids: Sequence[int]) -> Sight:
        """See ``LeaseStore.look``."""
        requests = tuple(self.pending_requests(node_id))
        return Sight(self.has_died(node_id), self.has_claimable(definition_ids), requests)

    def request_outcome(self, saga_id: UUID, number: int) -> StoredEntry | None:
        """See ``RequestStore.request_outcome``."""
        request = self.numbered.get(number)
        if request is None or request.consumed_seq is None or request.saga.saga_id != saga_id:
            return None
        return request.saga.journal[request.consumed_seq - 1]


def shown(request: Request) -> SagaRequest:
    """As ``PENDING`` in ``orchestrator/storage/requests.py`` selects it: who asked is told of operators alone."""
    return SagaRequest(
        request.number,
        request.saga.saga_id,
        request.kind,
        request.expected_seq,
        "" if request.expected_seq is None else request.caller,
        request.reason or "",
        request.step,
        request.response,
    )


def _check(batch: Batch) -> None:
    """Raises ``ValueError`` for a batch that is refused before it is sent."""
    items: tuple[NewSaga | Checkpoint, ...] = (*batch.new, *batch.checkpoints)
    if len(items) > 1 and len({item.saga_id for item in items}) != len(items):
        raise ValueError("a batch holds at most one item for each saga")
    for item in items:
        seq = 0 if isinstance(item, NewSaga) else item.seq - len(item.entries)
        answers = 0
        for entry in item.entries:
            seq += 1
            answers += entry.kind == REQUEST_CONSUMED
            if entry.seq != seq:
                raise ValueError("an entry does not follow the one before it")
        if isinstance(item, NewSaga):
            if "\0" in f"{item.caller}{item.tenant}{item.request_id}{item.concurrency_key}":
                raise ValueError("a caller, tenant, request id or concurrency key holds a NUL character")
        elif answers != len(item.consumed_requests):
            raise ValueError(f"saga {item.saga_id}: each consumed request needs one REQUEST_CONSUMED entry")
