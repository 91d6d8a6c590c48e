"""Fills a database: copies of one saga that a node really ran, journal and all, made by the database itself."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

CHUNK: Final = 50_000
FILL_TIMEOUT_S: Final = 300.0
ENDED_SPACING_S: Final = 2.0
"""Time between two of the ended sagas: a million are three weeks' work."""

# $1 pattern, $2 first number, $3 last number, $4 prefix, $5 state, $6 events, $7 owner, $8 seconds between two,
# $9 how many in all.
_COPY: Final = """
WITH made AS (
    INSERT INTO saga (
        saga_id, created_at, definition_id, state, epoch, last_seq, deadline_at, updated_at, ended_at, wake_at, owner,
        request_hash, caller, request_id, concurrency_scope, concurrency_key, input
    )
    SELECT
        uuidv7(-ago.span), clock_timestamp() - ago.span, p.definition_id, $5::smallint, p.epoch, $6::integer,
        clock_timestamp() - ago.span + interval '2 days', clock_timestamp() - ago.span,
        CASE WHEN $5 IN (3, 5, 7) THEN clock_timestamp() - ago.span END,
        CASE WHEN $5 = 2 AND $7::uuid IS NULL THEN clock_timestamp() + interval '1 hour' * (1 + random()) END,
        $7::uuid, p.request_hash, p.caller, $4::text || '-' || n, p.concurrency_scope, $4::text || '-' || n, p.input
    FROM saga p, generate_series($2::integer, $3::integer) AS n,
        LATERAL (SELECT make_interval(secs => ($9::integer - n) * $8::float8) AS span) AS ago
    WHERE p.saga_id = $1
    RETURNING saga_id, created_at
)
INSERT INTO saga_event (saga_id, seq, kind, epoch, at, attributes)
SELECT made.saga_id, e.seq, e.kind, e.epoch, made.created_at, e.attributes
FROM made, saga_event e WHERE e.saga_id = $1 AND e.seq <= $6
ORDER BY made.saga_id, e.seq
"""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A completed saga of three steps; the journal's third entry is the second step's success."""

    saga_id: UUID
    entries: int


async def pattern(database: asyncpg.Connection) -> Pattern:
    """The newest completed saga. Raises ``LookupError`` if there is none."""
    row = await database.fetchrow(
        "SELECT saga_id, last_seq FROM saga WHERE state = 3 AND stale_claims = 0 ORDER BY saga_id DESC LIMIT 1"
    )
    if row is None:
        raise LookupError("no saga has completed in this database: there is nothing to copy")
    return Pattern(row["saga_id"], row["last_seq"])


async def fill_ended(database: asyncpg.Connection, of: Pattern, count: int) -> None:
    """Sagas that completed, the last one just now."""
    await _fill(database, of, count, "ENDED", state=3, entries=of.entries, spacing_s=ENDED_SPACING_S)


async def fill_waiting(database: asyncpg.Connection, of: Pattern, count: int) -> None:
    """Parked sagas, due in one to two hours."""
    await _fill(database, of, count, "WAITING", state=2, entries=2, spacing_s=0.01)


async def fill_stuck(database: asyncpg.Connection, of: Pattern, count: int) -> None:
    """Rows that are STUCK, for lists and counts; their journals do not say so."""
    await _fill(database, of, count, "STUCK", state=6, entries=2, spacing_s=1.0)


async def fill_owned(database: asyncpg.Connection, of: Pattern, count: int, owner: UUID) -> None:
    """Running sagas of a node, two of whose three steps have succeeded. Their request ids begin with ``OWNED``."""
    await _fill(database, of, count, f"OWNED-{owner}", state=2, entries=3, owner=owner)


async def _fill(
    database: asyncpg.Connection,
    of: Pattern,
    count: int,
    prefix: str,
    *,
    state: int,
    entries: int,
    owner: UUID | None = None,
    spacing_s: float = 0.0,
) -> None:
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count) - 1
        async with database.transaction():
            # The rows refer to each other by construction: foreign keys of millions need not be looked up.
            await database.execute("SET LOCAL session_replication_role = replica")
            await database.execute(
                _COPY, of.saga_id, first, last, prefix, state, entries, owner, spacing_s, count, timeout=FILL_TIMEOUT_S
            )


async def settle(database: asyncpg.Connection) -> None:
    """What autovacuum comes to by itself after a while, at once."""
    for table in ("saga", "saga_event", "saga_request"):
        await database.execute(f"VACUUM (ANALYZE) {table}", timeout=FILL_TIMEOUT_S)
    await database.execute("CHECKPOINT")
