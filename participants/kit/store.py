"""All SQL of the barrier.

Statements that need no answer travel together in one message of the simple protocol, so that a first action costs one
round trip before the handler's own statements and one after them. That protocol has no parameters; its literals are
UUIDs, integers, hexadecimal digits and step names of a closed alphabet (:mod:`participants.kit.call`), never text
that could end a literal. Every statement finds its row by the primary key, ``saga_barrier_pkey``.
"""

from typing import Final

import asyncpg

from participants.kit.call import StepContext
from participants.kit.decisions import Row
from participants.kit.table import BarrierState

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_REPORT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"
SAVEPOINT: Final = "SAVEPOINT business"
UNDO_BUSINESS: Final = "ROLLBACK TO SAVEPOINT business"
KEEP_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""An effect that was answered OK is durable, whatever the role's default. Stricter levels are left alone."""

# A new row is a tombstone until the handler has decided: if nothing follows, the action never took effect.
_INSERT: Final = "INSERT INTO saga_barrier (saga_id, step, state, epoch) VALUES ('{saga_id}', '{step}', 3, {epoch})"

_INSERT_UNLESS_THERE: Final = (
    "INSERT INTO saga_barrier (saga_id, step, state, epoch) VALUES ($1, $2, 3, $3)"
    " ON CONFLICT (saga_id, step) DO NOTHING RETURNING state"
)

# FOR UPDATE, not a plain SELECT: that would see the row as it was before the transaction that it waited for.
_LOCK: Final = (
    "SELECT state, epoch, request_hash, response, verdict FROM saga_barrier WHERE saga_id = $1 AND step = $2 FOR UPDATE"
)

# Each change names the states that it may come from. One that matches nothing divides by zero: nobody reads the count
# of a statement in the middle of a message, and the error keeps the COMMIT behind it from running.
_SET: Final = (
    "WITH changed AS (UPDATE saga_barrier SET state = {state}, epoch = {epoch}, updated_at = clock_timestamp(){columns}"
    " WHERE saga_id = '{saga_id}' AND step = '{step}' AND state IN ({sources}) RETURNING 1)"
    " SELECT 1 / count(*) FROM changed"
)


def begin_action(step: StepContext) -> str:
    """Opens a transaction, inserts the row, and sets the savepoint. Fails with a unique violation if it is there."""
    insert = _INSERT.format(saga_id=step.saga_id, step=step.step, epoch=step.epoch)
    return f"{BEGIN}; {insert}; {SAVEPOINT}"


async def insert_or_lock(connection: "asyncpg.Connection[asyncpg.Record]", step: StepContext) -> Row | None:
    """The locked row, or None if there was none and a tombstone stands there now. Waits for who writes it."""
    for _ in range(2):
        # In the second turn the row is committed; only a purge of the table between the two could take it away.
        record = await connection.fetchrow(_LOCK, step.saga_id, step.step)
        if record is not None:
            return Row(
                BarrierState(record["state"]),
                record["epoch"],
                record["request_hash"],
                record["response"],
                record["verdict"],
            )
        if await connection.fetchval(_INSERT_UNLESS_THERE, step.saga_id, step.step, step.epoch) is not None:
            return None
    raise RuntimeError("a barrier row vanished while it was being locked")


def _set(step: StepContext, state: BarrierState, sources: str, columns: str = "") -> str:
    return _SET.format(
        saga_id=step.saga_id, step=step.step, state=state.value, epoch=step.epoch, sources=sources, columns=columns
    )


def set_done(step: StepContext, request_hash: bytes, response: bytes) -> str:
    """From the fresh tombstone, or from REJECTED."""
    columns = f", request_hash = '\\x{request_hash.hex()}', response = '\\x{response.hex()}', verdict = NULL"
    return _set(step, BarrierState.DONE, "2, 3", columns)


def set_rejected(step: StepContext, request_hash: bytes, verdict: bytes) -> str:
    """From the fresh tombstone, or from REJECTED."""
    columns = f", request_hash = '\\x{request_hash.hex()}', verdict = '\\x{verdict.hex()}'"
    return _set(step, BarrierState.REJECTED, "2, 3", columns)


def set_undone(step: StepContext, response: bytes) -> str:
    """From DONE."""
    return _set(step, BarrierState.UNDONE, "1", f", response = '\\x{response.hex()}'")


def set_tombstone(step: StepContext) -> str:
    """From REJECTED."""
    return _set(step, BarrierState.TOMBSTONE, "2", ", verdict = NULL")


def raise_epoch(step: StepContext) -> str:
    """Leaves the state; the row is locked, so the state is what was read."""
    return (
        f"UPDATE saga_barrier SET epoch = {step.epoch}, updated_at = clock_timestamp()"  # noqa: S608  (checked literals)
        f" WHERE saga_id = '{step.saga_id}' AND step = '{step.step}' AND epoch < {step.epoch}"
    )
