"""What operators asked for: requests to sagas and the log of all of it, written together."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from asyncpg import Record

from orchestrator.core.events import Failure
from orchestrator.engine.ports import MAX_REQUESTS_PER_SAGA, RequestReused, SagaEnded, StoreUnavailable, TooManyRequests
from orchestrator.operations.values import AuditAction, AuditEntry, AuditFilter, AuditOutcome, AuditRecord, SagaAction
from orchestrator.storage.connections import Connected
from orchestrator.storage.rows import stored_entry
from orchestrator.storage.visibility import newest, of_caller, tenants_of, walks

ADD_ATTEMPTS: Final = 3
"""As in ``requests``: what stood in the way may be another's, and is seen the next time."""

# saga_pkey; saga_request_caller_request_id_key; saga_request_saga_id for the bound. The log's entry has the number of
# the request; what becomes of it is written by the saga's owner, with the state that it leads to.
ADD: Final = """
WITH target AS (
    SELECT saga_id, owner, tenant, ended_at IS NOT NULL AS has_ended FROM saga WHERE saga_id = $1
),
stored AS (
    SELECT count(*) >= $9 AS is_full FROM (SELECT FROM saga_request WHERE saga_id = $1 LIMIT $9) AS of_saga
),
added AS (
    INSERT INTO saga_request (saga_id, caller, request_id, kind, expected_seq, step, reason, response)
    SELECT target.saga_id, $2, $3, $4, $5, $6, $7, $8 FROM target, stored
    WHERE NOT target.has_ended AND NOT stored.is_full
    AND NOT EXISTS (SELECT FROM saga_request WHERE caller = $2 AND request_id = $3)
    ON CONFLICT (caller, request_id) DO NOTHING
    RETURNING number, saga_id, kind
),
audited AS (
    INSERT INTO operator_audit (
        request_number, saga_id, bulk_id, expected_seq, action, caller, request_id, reason, step, tenant
    )
    SELECT added.number, added.saga_id, $10, $5, $11, $2, $3, $7, $6, target.tenant FROM added, target
),
found AS (
    SELECT number, saga_id, kind FROM added
    UNION ALL
    SELECT number, saga_id, kind FROM saga_request WHERE caller = $2 AND request_id = $3
)
SELECT
    EXISTS (SELECT FROM target) AS saga_exists,
    (SELECT has_ended FROM target) AS has_ended,
    (SELECT is_full FROM stored) AS is_full,
    (SELECT number FROM found) AS number,
    (SELECT saga_id = $1 AND kind = $4 FROM found) AS is_same,
    (
        SELECT CASE
            WHEN owner IS NULL THEN pg_notify('saga_claimable', '') ELSE pg_notify('saga_request', owner::text)
        END
        FROM target WHERE EXISTS (SELECT FROM added)
    ) AS woken
"""

AUDIT: Final = """
    INSERT INTO operator_audit (
        saga_id, bulk_id, expected_seq, members, action, outcome, caller, request_id, reason, step, target,
        refusal_reason, refusal_message, tenant
    )
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""

COLUMNS: Final = """
    a.audit_id, a.audited_at, a.request_number, a.saga_id, a.bulk_id, a.expected_seq, a.members, a.action, a.outcome,
    a.caller, a.request_id, a.reason, a.step, a.target, a.refusal_reason, a.refusal_message, a.tenant,
    r.number IS NOT NULL AS has_request, e.seq, e.kind, e.epoch, e.at, e.attributes
"""

# saga_request_pkey and saga_event_pkey, for what the journal decided.
JOINED: Final = """
    LEFT JOIN saga_request r ON r.number = a.request_number
    LEFT JOIN saga_event e ON e.saga_id = r.saga_id AND e.seq = r.consumed_seq
"""

# operator_audit_saga, operator_audit_bulk, else operator_audit_pkey backwards, or for tenants as ``walks`` says; and
# bulk_pkey for whether a bulk may be seen. Planned for the values at hand.
SUITS: Final = f"""
    ($1::uuid IS NULL OR a.saga_id = $1)
    AND ($2::text IS NULL OR a.caller = $2)
    AND ($3::smallint IS NULL OR a.action = $3)
    AND ($4::uuid IS NULL OR a.bulk_id = $4)
    AND ($5::timestamptz IS NULL OR a.audited_at >= $5)
    AND ($6::timestamptz IS NULL OR a.audited_at < $6)
    AND ($7::boolean OR a.bulk_id IS NULL OR a.saga_id IS NULL)
    AND ($8::bigint IS NULL OR a.audit_id < $8)
    AND {of_caller("$11", "a")}
    AND ($10::text[] IS NULL OR a.bulk_id IS NULL OR a.saga_id IS NOT NULL OR EXISTS (
        SELECT FROM bulk b WHERE b.bulk_id = a.bulk_id AND b.tenants <@ $10
    ))
"""
LIST: Final = f"SELECT {COLUMNS} FROM ({{newest}}) a {JOINED} ORDER BY a.audit_id DESC"  # noqa: S608  (column names of this module's own)

# operator_audit_request.
FIND: Final = f"""
    SELECT {COLUMNS} FROM operator_audit a {JOINED}
    WHERE a.caller = $1 AND a.request_id = $2 ORDER BY a.audit_id LIMIT 1
"""  # noqa: S608  (column names of this module's own)


class Audit(Connected):
    """Part of ``OperatorStore``."""

    async def add_action(self, action: SagaAction) -> int:
        """See ``OperatorStore.add_action``."""
        arguments = (
            action.saga_id,
            action.caller,
            action.request_id,
            action.action.name.lower(),
            action.expected_seq,
            action.step,
            action.reason,
            action.response,
            MAX_REQUESTS_PER_SAGA,
            action.bulk_id,
            int(action.action),
        )
        async with self._connections.pooled("storing an operator's request") as connection:
            for _ in range(ADD_ATTEMPTS):
                answer = await connection.fetchrow(ADD, *arguments)
                assert answer is not None, "the statement always yields one row"
                if answer["number"] is not None:
                    if not answer["is_same"]:
                        raise RequestReused("the request id was used for another saga or request; use a new one")
                    return int(answer["number"])
                if not answer["saga_exists"]:
                    raise KeyError(action.saga_id)
                if answer["has_ended"]:
                    raise SagaEnded(action.saga_id)
                if answer["is_full"]:
                    raise TooManyRequests(action.saga_id)
        raise StoreUnavailable("storing a request lost a race again and again; repeat it with the same request id")

    async def audit(self, record: AuditRecord) -> None:
        """See ``OperatorStore.audit``."""
        async with self._connections.pooled("writing the audit log") as connection:
            await connection.execute(AUDIT, *audit_arguments(record))

    async def find_audit(self, caller: str, request_id: str) -> AuditEntry | None:
        """See ``OperatorStore.find_audit``."""
        async with self._connections.pooled("looking into the audit log") as connection:
            row = await connection.fetchrow(FIND, caller, request_id)
        return None if row is None else _entry(row)

    async def list_audit(self, where: AuditFilter, *, limit: int, before: int | None) -> Sequence[AuditEntry]:
        """See ``OperatorStore.list_audit``."""
        arguments = (
            where.saga_id,
            where.caller,
            None if where.action is None else int(where.action),
            where.bulk_id,
            where.from_us,
            where.to_us,
            where.bulk_members or where.saga_id is not None,
            before,
            limit,
            tenants_of(where.visibility),
            where.visibility.caller,
        )
        walked = walks(where.visibility, "$10", "a")
        statement = LIST.format(newest=newest("a.* FROM operator_audit a", "a.audit_id", SUITS, "$9", walked))
        async with self._connections.pooled("listing the audit log") as connection:
            return [_entry(row) for row in await connection.fetch(statement, *arguments)]


def audit_arguments(record: AuditRecord) -> tuple[Any, ...]:
    """The arguments of :data:`AUDIT`."""
    refusal = record.refusal
    outcome = AuditOutcome.GRANTED if refusal is None else AuditOutcome.REFUSED
    return (
        record.saga_id,
        record.bulk_id,
        record.expected_seq,
        record.members,
        int(record.action),
        int(outcome),
        record.caller,
        record.request_id,
        record.reason,
        record.step,
        record.target,
        None if refusal is None else refusal.reason,
        None if refusal is None else refusal.message,
        record.tenant,
    )


def _entry(row: Record) -> AuditEntry:
    refusal = None if row["refusal_reason"] is None else Failure(0, row["refusal_reason"], row["refusal_message"] or "")
    saga_id: UUID | None = row["saga_id"]
    outcome = AuditOutcome.PENDING if row["outcome"] is None else AuditOutcome(row["outcome"])
    if row["outcome"] is None and not row["has_request"]:
        # The saga ended just before the request reached it, and the request was forgotten.
        outcome = AuditOutcome.REFUSED
        refusal = Failure(0, "SAGA_STATE", "the saga ended before the request reached it")
    record = AuditRecord(
        AuditAction(row["action"]),
        row["caller"],
        row["request_id"],
        row["reason"],
        saga_id,
        row["bulk_id"],
        row["expected_seq"],
        row["step"],
        row["target"],
        row["members"],
        refusal,
        row["tenant"],
    )
    answer = None if row["seq"] is None else stored_entry(row)
    return AuditEntry(row["audit_id"], row["audited_at"], record, outcome, answer, row["request_number"])
