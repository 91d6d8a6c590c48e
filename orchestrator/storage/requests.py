"""Requests to sagas from elsewhere, which their owners consume."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from orchestrator.engine.ports import MAX_REQUESTS_PER_SAGA, RequestReused, SagaEnded, StoreUnavailable, TooManyRequests
from orchestrator.engine.stored import SagaRequest, StoredEntry
from orchestrator.storage.connections import Connected
from orchestrator.storage.rows import stored_entry

ADD_ATTEMPTS: Final = 3
"""The row that stood in the way may be another's, stored after this statement began: then it is there the next time."""

# saga_pkey; saga_request_caller_request_id_key; saga_request_saga_id for the bound.
# An unowned saga is claimed for its request, so any node may be meant.
ADD: Final = """
WITH target AS (
    SELECT saga_id, owner, ended_at IS NOT NULL AS has_ended FROM saga WHERE saga_id = $1
),
stored AS (
    SELECT count(*) >= $5 AS is_full FROM (SELECT FROM saga_request WHERE saga_id = $1 LIMIT $5) AS of_saga
),
added AS (
    INSERT INTO saga_request (saga_id, caller, request_id, kind)
    SELECT target.saga_id, $2, $3, $4 FROM target, stored
    WHERE NOT target.has_ended AND NOT stored.is_full
    AND NOT EXISTS (SELECT FROM saga_request WHERE caller = $2 AND request_id = $3)
    ON CONFLICT (caller, request_id) DO NOTHING
    RETURNING number, saga_id, kind
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

# saga_request_waiting, then saga_pkey.
PENDING: Final = """
    SELECT r.number, r.saga_id, r.kind, r.expected_seq,
        CASE WHEN r.expected_seq IS NULL THEN '' ELSE r.caller END, coalesce(r.reason, ''), r.step, r.response
    FROM saga_request r JOIN saga s USING (saga_id)
    WHERE r.consumed_seq IS NULL AND s.owner = $1
    ORDER BY r.number
"""

# saga_request_waiting, then saga_pkey. They would be walked by every look for something to claim.
FORGET: Final = """
WITH forgotten AS (
    DELETE FROM saga_request r USING saga s
    WHERE r.consumed_seq IS NULL AND s.saga_id = r.saga_id AND s.ended_at IS NOT NULL
    RETURNING r.number
)
SELECT count(*) FROM forgotten
"""

# saga_request_pkey, saga_event_pkey.
OUTCOME: Final = """
    SELECT e.seq, e.kind, e.epoch, e.at, e.attributes
    FROM saga_request r JOIN saga_event e ON e.saga_id = r.saga_id AND e.seq = r.consumed_seq
    WHERE r.number = $2 AND r.saga_id = $1
"""


class Requests(Connected):
    """Implements ``RequestStore``."""

    async def add_request(self, saga_id: UUID, caller: str, request_id: str, kind: str) -> int:
        """See ``RequestStore.add_request``."""
        async with self._connections.pooled("storing a request") as connection:
            for _ in range(ADD_ATTEMPTS):
                answer = await connection.fetchrow(ADD, saga_id, caller, request_id, kind, MAX_REQUESTS_PER_SAGA)
                assert answer is not None, "the statement always yields one row"
                if answer["number"] is not None:
                    if not answer["is_same"]:
                        raise RequestReused("the request id was used for another saga or request; use a new one")
                    return int(answer["number"])
                if not answer["saga_exists"]:
                    raise KeyError(saga_id)
                if answer["has_ended"]:
                    raise SagaEnded(saga_id)
                if answer["is_full"]:
                    raise TooManyRequests(saga_id)
        raise StoreUnavailable("storing a request lost a race again and again; repeat it with the same request id")

    async def forget_requests(self) -> int:
        """See ``RequestStore.forget_requests``."""
        async with self._connections.pooled("forgetting requests to ended sagas") as connection:
            return int(await connection.fetchval(FORGET))

    async def pending_requests(self, node_id: UUID) -> Sequence[SagaRequest]:
        """See ``RequestStore.pending_requests``."""
        async with self._connections.pooled("reading requests") as connection:
            rows = await connection.fetch(PENDING, node_id)
        return [SagaRequest(*row) for row in rows]

    async def request_outcome(self, saga_id: UUID, number: int) -> StoredEntry | None:
        """See ``RequestStore.request_outcome``."""
        async with self._connections.pooled("reading a request's outcome") as connection:
            row = await connection.fetchrow(OUTCOME, saga_id, number)
        return None if row is None else stored_entry(row)
