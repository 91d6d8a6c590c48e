"""Group commit: the checkpoints of many sagas in one statement, one round trip and one commit."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from orchestrator.core.state import SagaStatus
from orchestrator.engine.ports import NodeFenced
from orchestrator.engine.stored import Batch, Position, StoredSaga
from orchestrator.storage.connections import Connected, Connection, Connections
from orchestrator.storage.errors import ABORTED, IMPOSSIBLE
from orchestrator.storage.rows import SAGA_COLUMNS, batch_columns, stored_saga

# fence: node_fence_pkey. KEY SHARE waits for a fencer's FOR UPDATE and holds the next one off until the commit; every
# write below is joined to it, so none happens before it. started: checked by saga_pkey, saga_caller_request_id_key and
# saga_tenant_concurrency_live, all at once and row by row. moved: saga_pkey; demands owner, epoch and last_seq, so a
# refused row fails its own saga alone. journal: fed from what matched; saga_event_pkey is the backstop. consumed:
# saga_request_pkey. A saga that the statement inserts is not visible to its UPDATE: at most one item a saga.
#
# The statement is planned once, for arrays of unknown length. Three conditions are written so that no index serves
# them, or a plan would be quadratic: IS NOT DISTINCT FROM (saga_owner would find every saga of the node), IS NULL IS
# TRUE (saga_request_waiting every request that waits), and IN ... IS TRUE, which stays a hashed lookup.
COMMIT: Final = """
WITH fence AS MATERIALIZED (
    SELECT node_id FROM node_fence WHERE node_id = $1 AND fenced_at IS NULL FOR KEY SHARE
),
started AS (
    INSERT INTO saga (
        saga_id, definition_id, caller, request_id, request_hash, concurrency_scope, concurrency_key, input, owner,
        epoch, last_seq, state, deadline_at, failed_step, failure_code, failure_reason, failure_message, blocked_reason,
        ended_at, tenant
    )
    SELECT
        n.saga_id, n.definition_id, n.caller, n.request_id, n.request_hash,
        CASE WHEN n.concurrency_key IS NOT NULL THEN
            (SELECT d.name FROM definition d WHERE d.definition_id = n.definition_id)
        END,
        n.concurrency_key, n.input,
        CASE WHEN n.state IN (1, 2, 4) THEN fence.node_id END,
        n.epoch, n.last_seq, n.state, n.deadline_at, n.failed_step, n.failure_code, n.failure_reason, n.failure_message,
        n.blocked_reason,
        CASE WHEN n.state IN (3, 5, 7) THEN clock_timestamp() END,
        coalesce(n.tenant, '')
    FROM fence CROSS JOIN unnest(
        $3::uuid[], $4::integer[], $5::text[], $6::text[], $7::bytea[], $8::text[], $9::bytea[], $10::bigint[],
        $11::integer[], $12::smallint[], $13::timestamptz[], $14::text[], $15::integer[], $16::text[], $17::text[],
        $18::text[], $19::text[]
    ) WITH ORDINALITY AS n (
        saga_id, definition_id, caller, request_id, request_hash, concurrency_key, input, epoch, last_seq,
        state, deadline_at, failed_step, failure_code, failure_reason, failure_message, blocked_reason, tenant,
        place
    )
    ORDER BY n.place
    ON CONFLICT DO NOTHING
    RETURNING saga_id
),
moved AS (
    UPDATE saga s SET
        state = c.state,
        deadline_at = c.deadline_at,
        failed_step = c.failed_step,
        failure_code = c.failure_code,
        failure_reason = c.failure_reason,
        failure_message = c.failure_message,
        blocked_reason = c.blocked_reason,
        waiting_step = c.waiting_step,
        waiting_reason = c.waiting_reason,
        blocked_at = c.blocked_at,
        paused_at = c.paused_at,
        last_seq = c.last_seq,
        stale_claims = CASE WHEN c.last_seq > s.last_seq THEN 0 ELSE s.stale_claims END,
        owner = CASE WHEN c.release THEN NULL ELSE s.owner END,
        wake_at = c.wake_at,
        updated_at = CASE WHEN c.last_seq > s.last_seq THEN clock_timestamp() ELSE s.updated_at END,
        ended_at = CASE WHEN c.state IN (3, 5, 7) THEN clock_timestamp() END
    FROM fence CROSS JOIN unnest(
        $20::uuid[], $21::bigint[], $22::integer[], $23::integer[], $24::boolean[], $25::timestamptz[],
        $26::smallint[], $27::timestamptz[], $28::text[], $29::integer[], $30::text[], $31::text[], $32::text[],
        $33::text[], $34::text[], $35::timestamptz[], $36::timestamptz[]
    ) AS c (
        saga_id, epoch, seq_before, last_seq, release, wake_at,
        state, deadline_at, failed_step, failure_code, failure_reason, failure_message, blocked_reason,
        waiting_step, waiting_reason, blocked_at, paused_at
    )
    WHERE s.saga_id = c.saga_id
        AND s.owner IS NOT DISTINCT FROM fence.node_id AND s.epoch = c.epoch AND s.last_seq = c.seq_before
        AND s.state IN (1, 2, 4, 6)
    RETURNING s.saga_id
),
written AS MATERIALIZED (
    SELECT saga_id FROM started UNION ALL SELECT saga_id FROM moved
),
journal AS (
    INSERT INTO saga_event (saga_id, seq, kind, epoch, at, attributes)
    SELECT e.saga_id, e.seq, e.kind, e.epoch, e.at, e.attributes
    FROM unnest($37::uuid[], $38::integer[], $39::smallint[], $40::bigint[], $41::timestamptz[], $42::bytea[])
        AS e (saga_id, seq, kind, epoch, at, attributes)
    WHERE (e.saga_id IN (SELECT saga_id FROM written)) IS TRUE
),
consumed AS (
    UPDATE saga_request r SET consumed_seq = a.seq
    FROM unnest($43::uuid[], $44::bigint[], $45::integer[]) AS a (saga_id, number, seq)
    WHERE r.number = a.number AND r.saga_id = a.saga_id AND (r.consumed_seq IS NULL) IS TRUE
        AND (a.saga_id IN (SELECT saga_id FROM written)) IS TRUE
)
SELECT
    EXISTS (SELECT FROM fence) AS held,
    ARRAY (SELECT saga_id FROM written) AS saga_ids,
    CASE WHEN $2::boolean AND EXISTS (SELECT FROM moved) THEN pg_notify('saga_claimable', '') END AS woken
"""

# saga_pkey.
POSITIONS: Final = "SELECT saga_id, owner, epoch, last_seq, state FROM saga WHERE saga_id = ANY ($1::uuid[])"

# saga_caller_request_id_key.
FIND_REQUEST: Final = f"""
    SELECT {SAGA_COLUMNS} FROM saga s JOIN definition d USING (definition_id)
    WHERE s.caller = $1 AND s.request_id = $2
"""  # noqa: S608  (column names of this module's own)

# saga_tenant_concurrency_live.
FIND_LIVE_KEY: Final = """
    SELECT saga_id FROM saga
    WHERE tenant = $1 AND concurrency_scope = $2 AND concurrency_key = $3 AND ended_at IS NULL
"""


class Journal(Connected):
    """The hot path, and what decides an unknown outcome. Implements ``JournalStore``."""

    def __init__(self, connections: Connections) -> None:
        super().__init__(connections)
        self._commits: set[asyncio.Task[frozenset[UUID]]] = set()

    async def commit(self, node_id: UUID, batch: Batch) -> frozenset[UUID]:
        """See ``JournalStore.commit``. Batches take turns on the writer's connection.

        Raises ``ValueError`` if the batch is malformed (:func:`batch_columns`) or an item of it breaks a constraint.
        """
        arguments = (node_id, batch.notify_claimable, *batch_columns(batch))
        task = asyncio.create_task(self._write(arguments), name="commit")
        self._commits.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def commits_ended(self) -> None:
        """Waits for commits whose callers were cancelled; each is bounded by the writer's own timeouts."""
        if self._commits:
            await asyncio.wait(self._commits)

    def _ended(self, task: asyncio.Task[frozenset[UUID]]) -> None:
        self._commits.discard(task)
        if not task.cancelled():
            task.exception()  # seen, though the caller may be gone

    async def _write(self, arguments: tuple[Any, ...]) -> frozenset[UUID]:
        attempts = self._connections.settings.commit_attempts

        async def write(connection: Connection) -> Any:
            for _ in range(attempts - 1):
                try:
                    return await connection.fetchrow(COMMIT, *arguments)
                except ABORTED:
                    continue  # rolled back as a whole, for the sake of another transaction
            return await connection.fetchrow(COMMIT, *arguments)

        try:
            answer = await self._connections.writer.run("committing a batch", write)
        except IMPOSSIBLE as error:
            rule = error.constraint_name or "none by name"
            raise ValueError(f"the database cannot take the batch: {type(error).__name__}, constraint {rule}") from None
        if not answer["held"]:
            raise NodeFenced(f"node {arguments[0]} was fenced; nothing of the batch was written")
        return frozenset(answer["saga_ids"])

    async def positions(self, saga_ids: Sequence[UUID]) -> Mapping[UUID, Position]:
        """See ``JournalStore.positions``."""
        async with self._connections.pooled("reading positions") as connection:
            rows = await connection.fetch(POSITIONS, saga_ids)
        return {
            row["saga_id"]: Position(row["owner"], row["epoch"], row["last_seq"], SagaStatus(row["state"]))
            for row in rows
        }

    async def find_request(self, caller: str, request_id: str) -> StoredSaga | None:
        """See ``JournalStore.find_request``."""
        async with self._connections.pooled("looking up a request id") as connection:
            row = await connection.fetchrow(FIND_REQUEST, caller, request_id)
        return None if row is None else stored_saga(row)

    async def find_live_key(self, tenant: str, definition: str, concurrency_key: str) -> UUID | None:
        """See ``JournalStore.find_live_key``."""
        async with self._connections.pooled("looking up a concurrency key") as connection:
            found: UUID | None = await connection.fetchval(FIND_LIVE_KEY, tenant, definition, concurrency_key)
        return found
