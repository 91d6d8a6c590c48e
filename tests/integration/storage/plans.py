"""Many sagas, and how the store's statements reach them."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.integration.storage.sagas import World

# 30,000 sagas of which a hundredth is live: enough that a plan which reads all of them shows.
FILL = """
    INSERT INTO saga (
        saga_id, created_at, definition_id, state, epoch, last_seq, deadline_at, updated_at, ended_at, wake_at,
        failed_step, failure_reason, request_hash, caller, request_id, input, tenant
    )
    SELECT
        (lpad(to_hex(1790000000000 + i), 12, '0') || '70008' || lpad(to_hex(i), 15, '0'))::uuid,
        to_timestamp(1790000000 + i / 1000.0), $1, state, 1, 8, clock_timestamp() + interval '10 min',
        clock_timestamp(), CASE WHEN state IN (3, 5, 7) THEN to_timestamp(1790000000 + i / 1000.0) END,
        CASE WHEN state = 2 THEN clock_timestamp() + interval '1 hour' END,
        CASE WHEN state IN (5, 6) THEN 'charge' END, CASE WHEN state IN (5, 6) THEN 'CARD_DECLINED' END,
        '', 'local', 'r-' || i, decode(repeat('ab', 100), 'hex'), '' AS tenant
    FROM (
        SELECT i, CASE WHEN i % 300 = 0 THEN 6 WHEN i % 150 = 0 THEN 2 WHEN i % 20 = 0 THEN 5 ELSE 3 END AS state
        FROM generate_series(1, 30000) i
    ) numbered
"""


class Spy:
    """A connection that notes the plan of each statement it is given."""

    def __init__(self, connection: Any, plans: list[str]) -> None:
        self._connection = connection
        self._plans = plans

    async def _explain(self, statement: str, arguments: tuple[Any, ...]) -> None:
        rows = await self._connection.fetch(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", *arguments)
        self._plans.append("\n".join(row[0] for row in rows))

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetch(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        await self._explain(statement, arguments)
        return await self._connection.fetchval(statement, *arguments)


def noted_plans(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The plans of the store's statements from now on."""
    noted: list[str] = []
    pooled = world.store._connections.pooled

    @asynccontextmanager
    async def spying(doing: str) -> AsyncIterator[Spy]:
        async with pooled(doing) as connection:
            yield Spy(connection, noted)

    monkeypatch.setattr(world.store._connections, "pooled", spying)
    return noted


def rows_read(plan: str) -> int:
    """The most rows that any node of a plan yields or throws away."""
    counts = re.findall(r"rows=(\d+)", plan) + re.findall(r"Rows Removed by \w+: (\d+)", plan)
    return max((int(count) for count in counts), default=0)
