"""How all sagas, nodes and definitions fare."""

from collections.abc import Sequence
from typing import Final

from orchestrator.engine.stored import Visibility
from orchestrator.operations.values import Bucket, DefinitionRow, NodeRow
from orchestrator.storage.connections import Connected
from orchestrator.storage.selecting import UUID7_SLACK_US, first_id
from orchestrator.storage.visibility import tenants_of, visible

# saga_pkey: a saga's id, a UUIDv7, begins with the time at which it was drawn.
STARTED: Final = f"""
SELECT width_bucket(s.created_at, $3::timestamptz[]) AS bucket, count(*) AS started
FROM saga s JOIN definition d USING (definition_id)
WHERE s.saga_id BETWEEN $1 AND $5 AND s.created_at >= $2 AND s.created_at < $6
    AND ($4::text IS NULL OR d.name = $4) AND {visible("$7", "$8")}
GROUP BY 1
"""  # noqa: S608  (conditions of this program's own)

# saga_ended_lately.
ENDED: Final = f"""
SELECT
    width_bucket(s.ended_at, $2::timestamptz[]) AS bucket,
    count(*) FILTER (WHERE s.state = 3) AS completed,
    count(*) FILTER (WHERE s.state = 5) AS compensated,
    count(*) FILTER (WHERE s.state = 7) AS resolved,
    percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY s.ended_at - s.created_at) AS durations
FROM saga s JOIN definition d USING (definition_id)
WHERE s.ended_at >= $1 AND s.ended_at < $4 AND ($3::text IS NULL OR d.name = $3) AND {visible("$5", "$6")}
GROUP BY 1
"""  # noqa: S608  (as above)

# As many rows as nodes; saga_owner for each.
NODES: Final = f"""
SELECT
    n.node_id, n.name, n.started_at, n.lease_expires_at, n.lease_expires_at > clock_timestamp() AS alive,
    n.definition_ids, n.drain_requested_at,
    (SELECT count(*) FROM saga s WHERE s.owner = n.node_id AND {visible("$1", "$2")}) AS sagas
FROM node n ORDER BY n.name, n.node_id
"""  # noqa: S608  (as above)

# saga_live, once for each definition.
DEFINITIONS: Final = f"""
SELECT
    d.definition_id, d.name, d.version, d.digest, d.registered_at,
    live.running, live.compensating, live.stuck,
    (
        SELECT count(*) FROM node n
        WHERE n.lease_expires_at > statement_timestamp() AND d.definition_id = ANY (n.definition_ids)
    ) AS nodes
FROM definition d
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE s.state IN (1, 2)) AS running,
        count(*) FILTER (WHERE s.state = 4) AS compensating,
        count(*) FILTER (WHERE s.state = 6) AS stuck
    FROM saga s WHERE s.definition_id = d.definition_id AND s.ended_at IS NULL AND {visible("$1", "$2")}
) live
ORDER BY d.name, d.version
"""  # noqa: S608  (as above)


class Overview(Connected):
    """Part of ``OperatorStore``."""

    async def buckets(
        self, edges_us: Sequence[int], definition: str | None, visibility: Visibility
    ) -> Sequence[Bucket]:
        """See ``OperatorStore.buckets``."""
        *starts_us, end_us = edges_us
        first_us = starts_us[0]
        seen = tenants_of(visibility), visibility.caller
        found = {number: Bucket(start_us) for number, start_us in enumerate(starts_us, start=1)}
        async with self._connections.pooled("reading the last hours") as connection:
            first, last = first_id(first_us - UUID7_SLACK_US), first_id(end_us + UUID7_SLACK_US)
            started = await connection.fetch(STARTED, first, first_us, starts_us, definition, last, end_us, *seen)
            ended = await connection.fetch(ENDED, first_us, starts_us, definition, end_us, *seen)
        counts = {row["bucket"]: row["started"] for row in started}
        ends = {row["bucket"]: row for row in ended}
        for number, bucket in found.items():
            row = ends.get(number)
            if row is None:
                found[number] = Bucket(bucket.start_us, counts.get(number, 0))
                continue
            p50, p99 = (round(each.total_seconds() * 1_000_000) for each in row["durations"])
            found[number] = Bucket(
                bucket.start_us,
                counts.get(number, 0),
                row["completed"],
                row["compensated"],
                row["resolved"],
                p50,
                p99,
            )
        return list(found.values())

    async def now_us(self) -> int:
        """The database's time."""
        async with self._connections.pooled("reading the time") as connection:
            return int(await connection.fetchval("SELECT clock_timestamp()"))

    async def nodes(self, visibility: Visibility) -> Sequence[NodeRow]:
        """See ``OperatorStore.nodes``."""
        async with self._connections.pooled("listing nodes") as connection:
            rows = await connection.fetch(NODES, tenants_of(visibility), visibility.caller)
        return [
            NodeRow(
                row["node_id"],
                row["name"],
                row["started_at"],
                row["lease_expires_at"],
                row["alive"],
                row["sagas"],
                tuple(row["definition_ids"]),
                row["drain_requested_at"],
            )
            for row in rows
        ]

    async def definitions(self, visibility: Visibility) -> Sequence[DefinitionRow]:
        """See ``OperatorStore.definitions``."""
        async with self._connections.pooled("listing definitions") as connection:
            rows = await connection.fetch(DEFINITIONS, tenants_of(visibility), visibility.caller)
        return [
            DefinitionRow(
                row["definition_id"],
                row["name"],
                row["version"],
                row["digest"],
                row["registered_at"],
                row["running"],
                row["compensating"],
                row["stuck"],
                row["nodes"],
            )
            for row in rows
        ]
