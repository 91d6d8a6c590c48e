"""Bulk actions: their rows, and what nodes take of them to work it off."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from asyncpg import Record

from orchestrator.core.events import Failure
from orchestrator.engine.ports import RequestReused
from orchestrator.engine.stored import StoredEntry, Visibility
from orchestrator.operations.values import (
    AttentionPolicy,
    AuditAction,
    AuditOutcome,
    AuditRecord,
    BulkMember,
    BulkState,
    NewBulk,
    Selection,
    StoredBulk,
)
from orchestrator.storage.audit import AUDIT, audit_arguments
from orchestrator.storage.connections import Connected
from orchestrator.storage.operator_queries import of_kinds
from orchestrator.storage.rows import stored_entry
from orchestrator.storage.selecting import conditions
from orchestrator.storage.visibility import tenants_of, visible_bulk

BEGUN_AGAIN_S: Final = 30.0
"""A member that was begun so long ago and has no request was begun by a node that died: it is begun anew."""
MAX_DECIDED: Final = 500
"""Members whose outcome is looked at in one statement."""

INSERT: Final = """
    INSERT INTO bulk (
        bulk_id, rate_per_s, members, left_out, action, state, caller, request_id, reason, step, response_json, query,
        tenants
    )
    VALUES ($1, $2, 0, 0, $3, 1, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (caller, request_id) DO NOTHING
"""

# One of the ways of ``selecting``; the oldest first.
CHOOSE: Final = """
WITH matching AS MATERIALIZED (
    SELECT saga_id FROM (
        SELECT s.saga_id, {attention} AS attention
        FROM saga s JOIN definition d USING (definition_id) WHERE {conditions} OFFSET 0
    ) selected
    WHERE {kinds}
),
chosen AS (
    INSERT INTO bulk_member (bulk_id, saga_id)
    SELECT {bulk_id}::uuid, saga_id FROM matching ORDER BY saga_id LIMIT {limit}
    RETURNING saga_id
),
counted AS (
    SELECT (SELECT count(*) FROM chosen) AS members, (SELECT count(*) FROM matching) AS matching
)
UPDATE bulk SET
    members = counted.members,
    left_out = counted.matching - counted.members,
    state = CASE WHEN counted.members = 0 THEN 2 ELSE 1 END,
    ended_at = CASE WHEN counted.members = 0 THEN clock_timestamp() END
FROM counted WHERE bulk_id = {bulk_id}
RETURNING bulk.members
"""

# bulk_pkey or bulk_caller_request_id_key; bulk_member_pkey for the progress.
COLUMNS: Final = """
    b.bulk_id, b.state, b.action, b.step, b.response_json, b.query, b.caller, b.request_id, b.reason, b.rate_per_s,
    b.members, b.left_out, b.created_at, b.ended_at, b.tenants, progress.granted, progress.refused, progress.in_progress
"""
PROGRESS: Final = """
    CROSS JOIN LATERAL (
        SELECT
            count(*) FILTER (WHERE m.outcome = 2) AS granted,
            count(*) FILTER (WHERE m.outcome = 3) AS refused,
            count(*) FILTER (WHERE m.outcome IS NULL AND m.begun_at IS NOT NULL) AS in_progress
        FROM bulk_member m WHERE m.bulk_id = b.bulk_id
    ) progress
"""
GET: Final = f"SELECT {COLUMNS} FROM bulk b {PROGRESS} WHERE b.bulk_id = $1"  # noqa: S608  (this module's own)
FIND: Final = f"SELECT {COLUMNS} FROM bulk b {PROGRESS} WHERE b.caller = $1 AND b.request_id = $2"  # noqa: S608  (as above)
LIST: Final = f"""
    SELECT {COLUMNS} FROM (
        SELECT * FROM bulk b WHERE ($1::uuid IS NULL OR bulk_id < $1) AND {visible_bulk("$3", "$4")}
        ORDER BY bulk_id DESC LIMIT $2
    ) b {PROGRESS} ORDER BY b.bulk_id DESC
"""  # noqa: S608  (as above)

# bulk_pkey.
VISIBLE: Final = f"SELECT bulk_id FROM bulk b WHERE bulk_id = ANY ($1::uuid[]) AND {visible_bulk('$2', '$3')}"  # noqa: S608  (as above)

# bulk_running.
RUNNING: Final = f"SELECT {COLUMNS} FROM bulk b {PROGRESS} WHERE b.state = 1 ORDER BY b.bulk_id"  # noqa: S608  (as above)

# bulk_pkey; bulk_member_open. The row is locked, or two nodes would take the same members; ``next_at`` keeps all nodes
# together within the rate. Of a cancelled one only what was begun by a node that died.
TAKE: Final = """
WITH due AS (
    SELECT bulk_id, state FROM bulk WHERE bulk_id = $1 AND state IN (1, 3) AND next_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
),
taken AS (
    UPDATE bulk_member m SET begun_at = clock_timestamp()
    FROM due, (
        SELECT saga_id FROM bulk_member
        WHERE bulk_id = $1 AND outcome IS NULL AND request_number IS NULL
            AND (
                (begun_at IS NULL AND (SELECT state FROM due) = 1)
                OR begun_at < clock_timestamp() - make_interval(secs => $3)
            )
        ORDER BY saga_id LIMIT $2
    ) open
    WHERE m.bulk_id = due.bulk_id AND m.saga_id = open.saga_id
    RETURNING m.saga_id
),
paced AS (
    UPDATE bulk SET next_at = clock_timestamp() + make_interval(secs => (SELECT count(*) FROM taken) / rate_per_s)
    FROM due WHERE bulk.bulk_id = due.bulk_id
)
SELECT saga_id FROM taken
"""

# bulk_member_pkey.
ASKED: Final = """
    UPDATE bulk_member SET request_number = $3 WHERE bulk_id = $1 AND saga_id = $2 AND outcome IS NULL
"""
DECIDED: Final = """
    UPDATE bulk_member m SET
        outcome = d.outcome, refusal_reason = d.reason, refusal_message = d.message, decided_at = clock_timestamp()
    FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::text[]) AS d (saga_id, outcome, reason, message)
    WHERE m.bulk_id = $1 AND m.saga_id = d.saga_id AND m.outcome IS NULL
"""

# bulk_member_open; saga_request_pkey; saga_event_pkey. A request that is gone came just before its saga ended.
ANSWERS: Final = """
    SELECT m.saga_id, r.number IS NULL AS is_gone, e.seq, e.kind, e.epoch, e.at, e.attributes
    FROM bulk_member m
    LEFT JOIN saga_request r ON r.number = m.request_number
    LEFT JOIN saga_event e ON e.saga_id = r.saga_id AND e.seq = r.consumed_seq
    WHERE m.bulk_id = $1 AND m.outcome IS NULL AND m.request_number IS NOT NULL
        AND (r.number IS NULL OR r.consumed_seq IS NOT NULL)
    ORDER BY m.saga_id LIMIT $2
"""

# bulk_pkey; bulk_member_open.
FINISH: Final = """
    UPDATE bulk SET state = 2, ended_at = clock_timestamp()
    WHERE bulk_id = $1 AND state = 1
        AND NOT EXISTS (SELECT FROM bulk_member m WHERE m.bulk_id = $1 AND m.outcome IS NULL)
    RETURNING bulk_id
"""
CANCEL: Final = """
    UPDATE bulk SET state = 3, ended_at = clock_timestamp() WHERE bulk_id = $1 AND state = 1 RETURNING bulk_id
"""

# bulk_member_pkey.
MEMBERS: Final = """
    SELECT saga_id, outcome, refusal_reason, refusal_message, decided_at FROM bulk_member
    WHERE bulk_id = $1 AND ($2::uuid IS NULL OR saga_id > $2)
        AND ($3::smallint IS NULL OR coalesce(outcome, 1) = $3)
    ORDER BY saga_id LIMIT $4
"""


class Bulks(Connected):
    """Part of ``OperatorStore``."""

    async def start_bulk(self, bulk: NewBulk, where: Selection, policy: AttentionPolicy) -> tuple[UUID, bool]:
        """See ``OperatorStore.start_bulk``."""
        tenants = tenants_of(where.visibility)
        clause, kind = conditions(where, policy)
        statement = CHOOSE.format(
            attention=kind,
            conditions=clause.text,
            kinds=of_kinds(where, clause),
            bulk_id=clause.parameter(bulk.bulk_id),
            limit=clause.parameter(bulk.max_sagas),
        )
        async with self._connections.pooled("starting a bulk") as connection, connection.transaction():
            stored = await connection.execute(
                INSERT,
                bulk.bulk_id,
                bulk.rate_per_s,
                int(bulk.action),
                bulk.caller,
                bulk.request_id,
                bulk.reason,
                bulk.step,
                bulk.response_json,
                bulk.query,
                tenants,
            )
            if stored.endswith(" 0"):
                found = await connection.fetchrow(FIND, bulk.caller, bulk.request_id)
                assert found is not None, "what stood in the way is committed"
                if (found["query"], found["action"], found["tenants"]) != (bulk.query, bulk.action, tenants):
                    raise RequestReused("the request id started another bulk; use a new one")
                return found["bulk_id"], True
            members = await connection.fetchval(statement, *clause.arguments)
            record = AuditRecord(
                AuditAction.START_BULK,
                bulk.caller,
                bulk.request_id,
                bulk.reason,
                bulk_id=bulk.bulk_id,
                step=bulk.step or None,
                target=bulk.action.name,
                members=members,
                tenant=bulk.tenant,
            )
            await connection.execute(AUDIT, *audit_arguments(record))
        return bulk.bulk_id, False

    async def get_bulk(self, bulk_id: UUID) -> StoredBulk | None:
        """See ``OperatorStore.get_bulk``."""
        async with self._connections.pooled("reading a bulk") as connection:
            row = await connection.fetchrow(GET, bulk_id)
        return None if row is None else _bulk(row)

    async def visible_bulks(self, bulk_ids: Sequence[UUID], visibility: Visibility) -> frozenset[UUID]:
        """See ``OperatorStore.visible_bulks``."""
        async with self._connections.pooled("asking whose bulks these are") as connection:
            rows = await connection.fetch(VISIBLE, bulk_ids, tenants_of(visibility), visibility.caller)
        return frozenset(row["bulk_id"] for row in rows)

    async def list_bulks(self, visibility: Visibility, *, limit: int, before: UUID | None) -> Sequence[StoredBulk]:
        """See ``OperatorStore.list_bulks``."""
        arguments = before, limit, tenants_of(visibility), visibility.caller
        async with self._connections.pooled("listing bulks") as connection:
            return [_bulk(row) for row in await connection.fetch(LIST, *arguments)]

    async def running_bulks(self) -> Sequence[StoredBulk]:
        """See ``OperatorStore.running_bulks``."""
        async with self._connections.pooled("looking for bulks") as connection:
            return [_bulk(row) for row in await connection.fetch(RUNNING)]

    async def take_members(self, bulk_id: UUID, limit: int) -> Sequence[UUID]:
        """See ``OperatorStore.take_members``."""
        async with self._connections.pooled("taking members of a bulk") as connection:
            return [row["saga_id"] for row in await connection.fetch(TAKE, bulk_id, limit, BEGUN_AGAIN_S)]

    async def member_asked(self, bulk_id: UUID, saga_id: UUID, number: int) -> None:
        """See ``OperatorStore.member_asked``."""
        async with self._connections.pooled("noting a request of a bulk") as connection:
            await connection.execute(ASKED, bulk_id, saga_id, number)

    async def member_answers(self, bulk_id: UUID) -> Sequence[tuple[UUID, StoredEntry | None]]:
        """See ``OperatorStore.member_answers``."""
        async with self._connections.pooled("reading what became of a bulk") as connection:
            rows = await connection.fetch(ANSWERS, bulk_id, MAX_DECIDED)
        return [(row["saga_id"], None if row["is_gone"] else stored_entry(row)) for row in rows]

    async def members_decided(self, bulk_id: UUID, decided: Sequence[tuple[UUID, Failure | None]]) -> None:
        """See ``OperatorStore.members_decided``."""
        outcomes = [int(AuditOutcome.GRANTED if refusal is None else AuditOutcome.REFUSED) for _, refusal in decided]
        async with self._connections.pooled("noting what became of a bulk") as connection:
            await connection.execute(
                DECIDED,
                bulk_id,
                [saga_id for saga_id, _ in decided],
                outcomes,
                [None if refusal is None else refusal.reason for _, refusal in decided],
                [None if refusal is None else refusal.message for _, refusal in decided],
            )

    async def finish_bulk(self, bulk_id: UUID) -> bool:
        """See ``OperatorStore.finish_bulk``."""
        async with self._connections.pooled("finishing a bulk") as connection:
            return await connection.fetchval(FINISH, bulk_id) is not None

    async def cancel_bulk(self, bulk_id: UUID, record: AuditRecord) -> bool:
        """See ``OperatorStore.cancel_bulk``."""
        async with self._connections.pooled("cancelling a bulk") as connection, connection.transaction():
            cancelled = await connection.fetchval(CANCEL, bulk_id) is not None
            if cancelled:
                await connection.execute(AUDIT, *audit_arguments(record))
            return cancelled

    async def list_members(
        self, bulk_id: UUID, *, outcome: AuditOutcome | None, limit: int, after: UUID | None
    ) -> Sequence[BulkMember]:
        """See ``OperatorStore.list_members``."""
        wanted = None if outcome is None else int(outcome)
        async with self._connections.pooled("listing members of a bulk") as connection:
            rows = await connection.fetch(MEMBERS, bulk_id, after, wanted, limit)
        return [_member(row) for row in rows]


def _member(row: Record) -> BulkMember:
    refusal = None if row["refusal_reason"] is None else Failure(0, row["refusal_reason"], row["refusal_message"] or "")
    outcome = AuditOutcome.PENDING if row["outcome"] is None else AuditOutcome(row["outcome"])
    return BulkMember(row["saga_id"], outcome, refusal, row["decided_at"])


def _bulk(row: Record) -> StoredBulk:
    return StoredBulk(
        row["bulk_id"],
        BulkState(row["state"]),
        AuditAction(row["action"]),
        row["step"],
        row["response_json"],
        row["query"],
        row["caller"],
        row["request_id"],
        row["reason"],
        row["rate_per_s"],
        row["members"],
        row["left_out"],
        row["granted"],
        row["refused"],
        row["in_progress"],
        row["created_at"],
        row["ended_at"],
    )
