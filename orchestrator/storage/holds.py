"""What operators ask of nodes and participants: drains and holds, as rows that every node looks at."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from orchestrator.operations.values import AuditRecord, Hold
from orchestrator.storage.audit import AUDIT, audit_arguments
from orchestrator.storage.connections import Connected

# participant_hold_pkey.
HOLD: Final = """
    INSERT INTO participant_hold (service, caller, reason) VALUES ($1, $2, $3) ON CONFLICT (service) DO NOTHING
"""
RELEASE: Final = "DELETE FROM participant_hold WHERE service = $1"
HOLDS: Final = "SELECT service, held_at, caller, reason FROM participant_hold ORDER BY service"

# node_pkey.
DRAIN: Final = """
    UPDATE node SET drain_requested_at = coalesce(drain_requested_at, clock_timestamp()) WHERE node_id = $1
    RETURNING node_id
"""

# node_pkey; bulk_running; participant_hold is as small as there are services. What a node looks for all the time.
ORDERS: Final = """
    SELECT
        ARRAY (SELECT service FROM participant_hold ORDER BY service) AS held,
        EXISTS (SELECT FROM node WHERE node_id = $1 AND drain_requested_at IS NOT NULL) AS drains,
        EXISTS (SELECT FROM bulk WHERE state = 1) AS has_bulk
"""


class Holds(Connected):
    """Part of ``OperatorStore``."""

    async def hold(self, service: str, record: AuditRecord) -> None:
        """See ``OperatorStore.hold``."""
        async with self._connections.pooled("holding a participant") as connection, connection.transaction():
            await connection.execute(HOLD, service, record.caller, record.reason)
            await connection.execute(AUDIT, *audit_arguments(record))

    async def release_hold(self, service: str, record: AuditRecord) -> None:
        """See ``OperatorStore.release_hold``."""
        async with self._connections.pooled("releasing a participant") as connection, connection.transaction():
            await connection.execute(RELEASE, service)
            await connection.execute(AUDIT, *audit_arguments(record))

    async def holds(self) -> Sequence[Hold]:
        """See ``OperatorStore.holds``."""
        async with self._connections.pooled("listing holds") as connection:
            rows = await connection.fetch(HOLDS)
        return [Hold(row["service"], row["held_at"], row["caller"], row["reason"]) for row in rows]

    async def drain_node(self, node_id: UUID, record: AuditRecord) -> bool:
        """See ``OperatorStore.drain_node``."""
        async with self._connections.pooled("asking a node to drain") as connection, connection.transaction():
            found = await connection.fetchval(DRAIN, node_id) is not None
            if found:
                await connection.execute(AUDIT, *audit_arguments(record))
            return found

    async def orders(self, node_id: UUID) -> tuple[frozenset[str], bool, bool]:
        """See ``OperatorStore.orders``."""
        async with self._connections.pooled("looking for operators' orders") as connection:
            row = await connection.fetchrow(ORDERS, node_id)
        assert row is not None, "the statement always yields one row"
        return frozenset(row["held"]), row["drains"], row["has_bulk"]
