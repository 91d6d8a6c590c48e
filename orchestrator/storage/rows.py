"""Values of the ports as columns of a batch, and rows as values of the ports."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from asyncpg import Record

from orchestrator.core.state import TERMINAL, SagaStatus
from orchestrator.engine.stored import Batch, Checkpoint, JournalEntry, NewSaga, RowState, StoredEntry, StoredSaga

UNOWNED: Final = TERMINAL | {SagaStatus.STUCK}
REQUEST_CONSUMED: Final = 15
"""``saga.v1.EventType.EVENT_TYPE_REQUEST_CONSUMED``."""
SAGA_CLAIMED: Final = 2
"""``saga.v1.EventType.EVENT_TYPE_SAGA_CLAIMED``."""

SAGA_COLUMNS: Final = """
    s.saga_id, d.name, d.version, d.digest, s.caller, s.request_id, s.request_hash, s.concurrency_key, s.input,
    s.owner, s.epoch, s.last_seq, s.state, s.deadline_at, s.failed_step, s.failure_code, s.failure_reason,
    s.failure_message, s.blocked_reason, s.waiting_step, s.waiting_reason, s.blocked_at, s.paused_at,
    s.wake_at, s.created_at, s.updated_at, s.ended_at, s.tenant,
    EXISTS (
        SELECT FROM node n WHERE n.lease_expires_at > clock_timestamp() AND s.definition_id = ANY (n.definition_ids)
    ) AS definition_loaded
"""
"""What :func:`stored_saga` reads, from ``saga s JOIN definition d``."""


def batch_columns(batch: Batch) -> list[list[Any] | None]:
    """The batch as the arrays of the statement in :mod:`orchestrator.storage.journal`, in its order.

    None stands for an array of nulls or of nothing: ``unnest`` fills up shorter arrays, and sending the forty of a
    statement would cost more than all else about it.

    Raises ``ValueError`` if a saga has two items, a key holds a NUL character or requests and their answers do not
    match: nothing of the batch may be sent then.
    """
    items: list[NewSaga | Checkpoint] = [*batch.new, *batch.checkpoints]
    if len({item.saga_id for item in items}) != len(items):
        raise ValueError("a batch holds at most one item for each saga")
    new = _columns(17, (_new_saga(saga) + _row_state(saga.row) + (_tenant(saga),) for saga in batch.new))
    moved = _columns(17, (_position(c) + _row_state(c.row) + _hindrance(c.row) for c in batch.checkpoints))
    entries = _columns(
        6, ((i.saga_id, e.seq, e.kind, i.epoch, e.at_us, e.attributes) for i in items for e in i.entries)
    )
    consumed = _columns(
        3, ((c.saga_id, number, seq) for c in batch.checkpoints for number, seq in _answered(c).items())
    )
    return new + moved + entries + consumed


def _columns(width: int, rows: Iterable[tuple[Any, ...]]) -> list[list[Any] | None]:
    columns = [None if column.count(None) == len(column) else list(column) for column in zip(*rows, strict=True)]
    return columns or [None] * width


def _new_saga(saga: NewSaga) -> tuple[Any, ...]:
    return (
        saga.saga_id,
        saga.definition_id,
        _key(saga.caller),
        _key(saga.request_id),
        saga.request_hash,
        None if saga.concurrency_key is None else _key(saga.concurrency_key),
        saga.input,
        saga.epoch,
        _last_seq(saga.entries, 0),
    )


def _tenant(saga: NewSaga) -> str | None:
    """None for the tenant without a name: where there is no other, the whole column is left out."""
    return _key(saga.tenant) or None


def _position(checkpoint: Checkpoint) -> tuple[Any, ...]:
    before = checkpoint.seq - len(checkpoint.entries)
    if _last_seq(checkpoint.entries, before) != checkpoint.seq:
        raise ValueError(f"saga {checkpoint.saga_id}: seq {checkpoint.seq} is not that of the last entry")
    release = checkpoint.release or checkpoint.row.status in UNOWNED
    wake_at_us = checkpoint.wake_at_us if release and checkpoint.row.status not in UNOWNED else None
    return checkpoint.saga_id, checkpoint.epoch, before, checkpoint.seq, release, wake_at_us


def _row_state(row: RowState) -> tuple[Any, ...]:
    return (
        int(row.status),
        row.deadline_us,
        _shown(row.failed_step),
        row.failure_code,
        _shown(row.failure_reason),
        _shown(row.failure_message),
        _shown(row.blocked_reason),
    )


def _hindrance(row: RowState) -> tuple[Any, ...]:
    """What holds a saga up. A new one has nothing of it."""
    return row.waiting_step, _shown(row.waiting_reason), row.blocked_us, row.paused_us


def _last_seq(entries: tuple[JournalEntry, ...], before: int) -> int:
    """The seq of the last of ``entries``, which must follow ``before`` without a gap."""
    for seq, entry in enumerate(entries, before + 1):
        if entry.seq != seq:
            raise ValueError(f"entry {entry.seq} does not follow {seq - 1}")
    return before + len(entries)


def _answered(checkpoint: Checkpoint) -> Mapping[int, int]:
    """Number of each consumed request, with the seq of the entry that answers it; both in the same order."""
    answers = [entry.seq for entry in checkpoint.entries if entry.kind == REQUEST_CONSUMED]
    if len(answers) != len(checkpoint.consumed_requests):
        raise ValueError(f"saga {checkpoint.saga_id}: each consumed request needs one REQUEST_CONSUMED entry")
    return dict(zip(checkpoint.consumed_requests, answers, strict=True))


def _shown(text: str | None) -> str | None:
    """Text for people. PostgreSQL stores no NUL, and a participant's message must not fail the whole batch."""
    return None if text is None else text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _key(text: str) -> str:
    """Text that identifies: refused rather than changed, before it can fail the whole batch."""
    if "\0" in text:
        raise ValueError("a caller, tenant, request id or concurrency key holds a NUL character")
    return text


def stored_entry(record: Record) -> StoredEntry:
    """From seq, kind, attributes, at and epoch."""
    return StoredEntry(
        seq=record["seq"],
        kind=record["kind"],
        attributes=record["attributes"],
        at_us=record["at"],
        epoch=record["epoch"],
    )


def stored_saga(record: Record, journal: tuple[StoredEntry, ...] = ()) -> StoredSaga:
    """From ``SAGA_COLUMNS``."""
    return StoredSaga(
        saga_id=record["saga_id"],
        definition=record["name"],
        version=record["version"],
        digest=record["digest"],
        caller=record["caller"],
        request_id=record["request_id"],
        request_hash=record["request_hash"],
        concurrency_key=record["concurrency_key"],
        input=record["input"],
        owner=record["owner"],
        epoch=record["epoch"],
        last_seq=record["last_seq"],
        row=RowState(
            status=SagaStatus(record["state"]),
            deadline_us=record["deadline_at"],
            failed_step=record["failed_step"],
            failure_code=record["failure_code"],
            failure_reason=record["failure_reason"],
            failure_message=record["failure_message"],
            blocked_reason=record["blocked_reason"],
            waiting_step=record["waiting_step"],
            waiting_reason=record["waiting_reason"],
            blocked_us=record["blocked_at"],
            paused_us=record["paused_at"],
        ),
        wake_at_us=record["wake_at"],
        created_us=record["created_at"],
        updated_us=record["updated_at"],
        ended_us=record["ended_at"],
        journal=journal,
        definition_loaded=record["definition_loaded"],
        tenant=record["tenant"],
    )
