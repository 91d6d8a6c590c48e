"""Claims: how a node comes to own a saga that it did not start."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from orchestrator.engine.ports import NodeFenced
from orchestrator.engine.stored import SagaRequest, Sight
from orchestrator.storage.connections import Connected
from orchestrator.storage.rows import SAGA_CLAIMED

MAX_SET_FREE: Final = 1000
"""Sagas of dead nodes set free in one pass."""

# fence: node_fence_pkey; everything that is written is joined to it. crashed, stranded: saga_owner. asked:
# saga_request_waiting, then saga_pkey; the only way to a STUCK saga. due: saga_due, definition by definition, the
# longest due first. NO KEY UPDATE, or a request being stored, whose foreign key locks the saga FOR KEY SHARE, would
# hide the saga. Locked rows that are not chosen are let go with the statement. stranded walks all that the dead left,
# so it waits until nothing else is left of that: or every batch of a large takeover would walk the whole rest of it.
CLAIM: Final = f"""
WITH fence AS MATERIALIZED (
    SELECT node_id FROM node_fence WHERE node_id = $1 AND fenced_at IS NULL FOR KEY SHARE
),
dead AS MATERIALIZED (
    SELECT f.node_id FROM fence, node_fence f WHERE f.node_id = ANY ($3::uuid[]) AND f.fenced_at IS NOT NULL
),
crashed AS MATERIALIZED (
    SELECT s.saga_id FROM dead JOIN saga s ON s.owner = dead.node_id
    WHERE s.definition_id = ANY ($2::integer[]) AND (s.stale_claims >= 2) = $5
        AND (s.state <> 6 OR EXISTS (SELECT FROM saga_request r WHERE r.saga_id = s.saga_id AND r.consumed_seq IS NULL))
    LIMIT $4 FOR NO KEY UPDATE OF s SKIP LOCKED
),
asked AS MATERIALIZED (
    SELECT s.saga_id
    FROM fence
    CROSS JOIN (SELECT DISTINCT saga_id FROM saga_request WHERE consumed_seq IS NULL) r
    JOIN saga s ON s.saga_id = r.saga_id
    WHERE s.owner IS NULL AND s.ended_at IS NULL
        AND s.definition_id = ANY ($2::integer[]) AND (s.stale_claims >= 2) = $5
    LIMIT $4 FOR NO KEY UPDATE OF s SKIP LOCKED
),
due AS MATERIALIZED (
    SELECT s.saga_id
    FROM fence
    CROSS JOIN unnest($2::integer[]) AS loaded (definition_id)
    CROSS JOIN LATERAL (
        SELECT saga_id, wake_at FROM saga
        WHERE definition_id = loaded.definition_id AND wake_at <= statement_timestamp() AND (stale_claims >= 2) = $5
        ORDER BY wake_at LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED
    ) s
    ORDER BY s.wake_at LIMIT $4
),
chosen AS MATERIALIZED (
    SELECT saga_id, true AS has_crashed FROM crashed
    UNION ALL
    (SELECT saga_id, false FROM asked UNION SELECT saga_id, false FROM due)
    LIMIT $4
),
claimed AS (
    UPDATE saga s SET
        owner = fence.node_id,
        epoch = greatest(s.epoch, (SELECT incarnation::bigint << 32 FROM store_incarnation)) + 1,
        last_seq = s.last_seq + 1,
        state = CASE s.state WHEN 1 THEN 2 ELSE s.state END,
        stale_claims = CASE WHEN chosen.has_crashed THEN least(s.stale_claims + 1, 32767) ELSE s.stale_claims END,
        wake_at = NULL,
        updated_at = clock_timestamp()
    FROM fence, chosen
    WHERE s.saga_id = chosen.saga_id AND s.state IN (1, 2, 4, 6)
    RETURNING s.saga_id, s.epoch, s.last_seq, s.updated_at, chosen.has_crashed
),
journal AS (
    INSERT INTO saga_event (saga_id, seq, kind, epoch, at, attributes)
    SELECT saga_id, last_seq, {SAGA_CLAIMED}, epoch, updated_at,
        CASE WHEN has_crashed THEN $7::bytea ELSE $6::bytea END
    FROM claimed
),
stranded AS MATERIALIZED (
    SELECT s.saga_id FROM dead JOIN saga s ON s.owner = dead.node_id
    WHERE (SELECT count(*) FROM crashed) < $4 AND (
        s.definition_id <> ALL ($2::integer[]) OR (
            s.state = 6
            AND NOT EXISTS (SELECT FROM saga_request r WHERE r.saga_id = s.saga_id AND r.consumed_seq IS NULL)
        )
    )
    LIMIT {MAX_SET_FREE} FOR NO KEY UPDATE OF s SKIP LOCKED
),
freed AS (
    UPDATE saga s SET owner = NULL, wake_at = CASE WHEN s.state IN (1, 2, 4) THEN clock_timestamp() END
    FROM fence, stranded WHERE s.saga_id = stranded.saga_id
    RETURNING s.saga_id
)
SELECT
    EXISTS (SELECT FROM fence) AS held,
    ARRAY (SELECT saga_id FROM claimed) AS saga_ids,
    CASE WHEN EXISTS (SELECT FROM freed) THEN pg_notify('saga_claimable', '') END AS woken
"""  # noqa: S608  (two numbers of this program's own)

# saga_owner.
OWNED: Final = "SELECT saga_id FROM saga WHERE owner = $1 ORDER BY saga_id"

# What an idle node costs: this, once a poll. As many leases as nodes; saga_owner, once for each fence of the last day;
# saga_due; saga_request_waiting, then saga_pkey.
LOOK: Final = """
SELECT
    EXISTS (SELECT FROM node WHERE lease_expires_at < clock_timestamp() AND node_id <> $1)
    OR EXISTS (
        SELECT FROM node_fence f
        WHERE f.fenced_at IS NOT NULL AND EXISTS (SELECT FROM saga s WHERE s.owner = f.node_id)
    ) AS has_died,
    EXISTS (
        SELECT FROM unnest($2::integer[]) AS loaded (definition_id)
        JOIN saga s ON s.definition_id = loaded.definition_id AND s.wake_at <= statement_timestamp()
    )
    OR EXISTS (
        SELECT FROM saga_request r JOIN saga s USING (saga_id)
        WHERE r.consumed_seq IS NULL
            AND s.owner IS NULL AND s.ended_at IS NULL AND s.definition_id = ANY ($2::integer[])
    ) AS is_claimable,
    mine.numbers, mine.saga_ids, mine.kinds, mine.expected_seqs, mine.callers, mine.reasons, mine.steps, mine.responses
FROM (
    SELECT
        array_agg(r.number ORDER BY r.number) AS numbers,
        array_agg(r.saga_id ORDER BY r.number) AS saga_ids,
        array_agg(r.kind ORDER BY r.number) AS kinds,
        array_agg(r.expected_seq ORDER BY r.number) AS expected_seqs,
        array_agg(CASE WHEN r.expected_seq IS NULL THEN '' ELSE r.caller END ORDER BY r.number) AS callers,
        array_agg(coalesce(r.reason, '') ORDER BY r.number) AS reasons,
        array_agg(r.step ORDER BY r.number) AS steps,
        array_agg(r.response ORDER BY r.number) AS responses
    FROM saga_request r JOIN saga s USING (saga_id) WHERE r.consumed_seq IS NULL AND s.owner = $1
) AS mine
"""


class Claims(Connected):
    """Takes over what nobody runs. Part of ``LeaseStore``."""

    async def claim(
        self,
        node_id: UUID,
        definition_ids: Sequence[int],
        *,
        from_nodes: Sequence[UUID],
        limit: int,
        suspects: bool,
        released_attributes: bytes,
        crashed_attributes: bytes,
    ) -> Sequence[UUID]:
        """See ``LeaseStore.claim``. Nodes of ``from_nodes`` that are not fenced are passed over."""
        async with self._connections.pooled("claiming sagas") as connection:
            answer = await connection.fetchrow(
                CLAIM, node_id, definition_ids, from_nodes, limit, suspects, released_attributes, crashed_attributes
            )
        assert answer is not None, "the statement always yields one row"
        if not answer["held"]:
            raise NodeFenced(f"node {node_id} was fenced; nothing was claimed")
        return list(answer["saga_ids"])

    async def owned(self, node_id: UUID) -> Sequence[UUID]:
        """See ``LeaseStore.owned``."""
        async with self._connections.pooled("reading what the node owns") as connection:
            return [row["saga_id"] for row in await connection.fetch(OWNED, node_id)]

    async def look(self, node_id: UUID, definition_ids: Sequence[int]) -> Sight:
        """See ``LeaseStore.look``."""
        async with self._connections.pooled("looking for something to do") as connection:
            row = await connection.fetchrow(LOOK, node_id, definition_ids)
        assert row is not None, "the statement always yields one row"
        has_died, is_claimable, *columns = row
        waiting = zip(*(column or () for column in columns), strict=True)
        return Sight(has_died, is_claimable, tuple(SagaRequest(*each) for each in waiting))
