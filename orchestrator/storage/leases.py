"""Node leases and fences, by the database's clock alone."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from orchestrator.engine.ports import NodeFenced
from orchestrator.storage.connections import Connected

# Forgets old fences: no row is as good as fenced. saga_owner.
FORGET: Final = """
    DELETE FROM node_fence f
    WHERE f.fenced_at < clock_timestamp() - interval '1 day'
        AND NOT EXISTS (SELECT FROM saga s WHERE s.owner = f.node_id)
"""

# node_fence_pkey, node_pkey. May be repeated while its outcome is unknown; a node that was fenced stays so.
REGISTER: Final = """
WITH fence AS (
    INSERT INTO node_fence (node_id) VALUES ($1)
    ON CONFLICT (node_id) DO UPDATE SET fenced_at = NULL WHERE node_fence.fenced_at IS NULL
    RETURNING node_id
)
INSERT INTO node (node_id, name, definition_ids, lease_expires_at)
SELECT fence.node_id, $2, $3::integer[], clock_timestamp() + make_interval(secs => $4) FROM fence
ON CONFLICT (node_id) DO UPDATE SET lease_expires_at = excluded.lease_expires_at
RETURNING lease_expires_at - make_interval(secs => $4)
"""

# node_pkey. Touches no row that a batch locks, so a renewal waits for none. A fencer deletes the row.
RENEW: Final = """
    UPDATE node SET lease_expires_at = clock_timestamp() + make_interval(secs => $2) WHERE node_id = $1
    RETURNING lease_expires_at - make_interval(secs => $2)
"""

# As many rows as nodes.
LAPSED: Final = "SELECT node_id FROM node WHERE lease_expires_at < clock_timestamp() AND node_id <> $1 ORDER BY node_id"

# node_fence_pkey, node_pkey. FOR UPDATE waits for the batch in flight and lets no other one in. The lease is looked at
# again in its newest version before it goes: a renewal came before, or finds no row.
FENCE: Final = """
WITH locked AS MATERIALIZED (
    SELECT node_id FROM node_fence WHERE node_id = $1 AND fenced_at IS NULL FOR UPDATE
),
lapsed AS (
    DELETE FROM node USING locked WHERE node.node_id = locked.node_id AND node.lease_expires_at < clock_timestamp()
    RETURNING node.node_id
)
UPDATE node_fence SET fenced_at = clock_timestamp() FROM lapsed WHERE node_fence.node_id = lapsed.node_id
"""

# saga_owner, once for each fence of the last day.
FENCED_OWNERS: Final = """
    SELECT f.node_id FROM node_fence f
    WHERE f.fenced_at IS NOT NULL AND EXISTS (SELECT FROM saga s WHERE s.owner = f.node_id)
"""

# node_fence_pkey. Waits for the batch in flight, which may add to what is released.
LOCK_FENCE: Final = "SELECT FROM node_fence WHERE node_id = $1 FOR UPDATE"

# saga_owner, node_pkey, node_fence_pkey.
RELEASE: Final = """
WITH freed AS (
    UPDATE saga SET owner = NULL, wake_at = CASE WHEN state IN (1, 2, 4) THEN clock_timestamp() END
    WHERE owner = $1
    RETURNING saga_id
),
ended AS (
    DELETE FROM node WHERE node_id = $1
),
fenced AS (
    UPDATE node_fence SET fenced_at = clock_timestamp() WHERE node_id = $1 AND fenced_at IS NULL
)
SELECT count(*), pg_notify('saga_claimable', '') FROM freed
"""

INCARNATION: Final = "SELECT incarnation FROM store_incarnation"


class Leases(Connected):
    """Lets a node prove that it lives, and declares dead those that do not. Part of ``LeaseStore``."""

    async def register_node(self, node_id: UUID, name: str, definition_ids: Sequence[int], lease_ttl_s: float) -> int:
        """See ``LeaseStore.register_node``.

        Raises :class:`NodeFenced` if the node was fenced, ``ValueError`` if a statement may outlive the lease.
        """
        if lease_ttl_s <= self._connections.settings.statement_timeout_s:
            raise ValueError("lease_ttl_s must be above statement_timeout_s, or a write may outlive the lease")
        async with self._connections.pooled("registering the node") as connection:
            await connection.execute(FORGET)
            now_us: int | None = await connection.fetchval(REGISTER, node_id, name, definition_ids, lease_ttl_s)
        if now_us is None:
            raise NodeFenced(f"node {node_id} was fenced; a new incarnation takes a new node id")
        return now_us

    async def renew(self, node_id: UUID, lease_ttl_s: float) -> int:
        """See ``LeaseStore.renew``. Bounded by ``renew_timeout_s``."""
        now_us: int | None = await self._connections.renewer.run(
            "renewing the lease", lambda connection: connection.fetchval(RENEW, node_id, lease_ttl_s)
        )
        if now_us is None:
            raise NodeFenced(f"node {node_id} was fenced: its lease had lapsed")
        return now_us

    async def release_node(self, node_id: UUID) -> int:
        """See ``LeaseStore.release_node``. May be repeated while its outcome is unknown."""
        async with self._connections.pooled("releasing the node") as connection, connection.transaction():
            await connection.execute(LOCK_FENCE, node_id)
            return int(await connection.fetchval(RELEASE, node_id))

    async def fence_expired(self, node_id: UUID) -> Sequence[UUID]:
        """See ``LeaseStore.fence_expired``. A node whose batch outlasts ``lock_timeout_s`` waits for the next call."""
        async with self._connections.pooled("fencing nodes whose lease lapsed") as connection:
            for lapsed in await connection.fetch(LAPSED, node_id):
                try:
                    await connection.execute(FENCE, lapsed["node_id"])
                except asyncpg.LockNotAvailableError:
                    continue
            return [row["node_id"] for row in await connection.fetch(FENCED_OWNERS)]

    async def incarnation(self) -> int:
        """See ``LeaseStore.incarnation``."""
        async with self._connections.pooled("reading the incarnation") as connection:
            return int(await connection.fetchval(INCARNATION))
