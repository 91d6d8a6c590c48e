"""How PostgreSQL carries out each of a node's statements on full tables: by which indexes, and how much it reads."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from benchmarks.scale.fill import Pattern
from orchestrator.engine.ports import MAX_REQUESTS_PER_SAGA
from orchestrator.engine.stored import Visibility
from orchestrator.storage import claims, journal, leases, queries, registry, requests

LARGE: Final = frozenset({"saga", "saga_event"})
"""Tables of which no statement may read all."""
CLAIM_LIMIT: Final = 200
TWO: Final = ("acme", "bolt")
"""Tenants that see no saga here: theirs are looked for beside a million of others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``indexes`` in the order in which the plan names them; ``scanned`` are tables that it reads from end to end."""

    name: str
    milliseconds: float
    pages: int
    """Of 8 KiB, read from memory or disk."""
    indexes: tuple[str, ...]
    scanned: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether it reads no large table whole."""
        return LARGE.isdisjoint(self.scanned)


def statements(of: Pattern, definition_ids: list[int], node: UUID) -> dict[str, tuple[str, Sequence[Any]]]:
    """Each statement with arguments as they come."""
    saga, everybody, two = of.saga_id, Visibility(), Visibility(TWO)
    return {
        "look for something to do": (claims.LOOK, (node, definition_ids)),
        "claim": (claims.CLAIM, (node, definition_ids, [node], CLAIM_LIMIT, False, b"", b"")),
        "what the node owns": (claims.OWNED, (node,)),
        "leases that lapsed": (leases.LAPSED, (node,)),
        "fenced nodes that own sagas": (leases.FENCED_OWNERS, ()),
        "old fences": (leases.FORGET, ()),
        "release everything": (leases.RELEASE, (node,)),
        "definitions that nobody has": (registry.MISSING, ()),
        "requests that wait": (requests.PENDING, (node,)),
        "requests to ended sagas": (requests.FORGET, ()),
        "store a request": (requests.ADD, (saga, "local", "new", "cancel", MAX_REQUESTS_PER_SAGA)),
        "rows of sagas": (queries.ROWS, ([saga],)),
        "journals": (queries.JOURNALS, ([saga], [of.entries])),
        "entries of a journal": (queries.ENTRIES, (saga, 0, 100)),
        "list sagas": (queries.list_statement(everybody), (*[None] * 7, 100, None, None)),
        "list sagas of two tenants": (queries.list_statement(two), (*[None] * 7, 100, list(TWO), None)),
        "list live sagas": (queries.LIST_LIVE, (None, None, [1, 2, 4, 6], *[None] * 4, 100, None, None)),
        "whose sagas these are": (queries.VISIBLE, ([saga], list(TWO), None)),
        "positions": (journal.POSITIONS, ([saga],)),
        "find a request id": (journal.FIND_REQUEST, ("local", "ENDED-4711")),
        "find a concurrency key": (journal.FIND_LIVE_KEY, ("", "place-order", "WAITING-4711")),
    }


async def plans(database: asyncpg.Connection, of: Pattern) -> list[Plan]:
    """Carries each statement out, under the settings of a node's pool, and takes it back."""
    definition_ids = [row["definition_id"] for row in await database.fetch("SELECT definition_id FROM definition")]
    found: list[Plan] = []
    await database.execute("SET plan_cache_mode = force_custom_plan; SET jit = off")
    for name, (statement, arguments) in statements(of, definition_ids, uuid4()).items():
        transaction = database.transaction()
        await transaction.start()
        try:
            told = await database.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
        finally:
            await transaction.rollback()
        (plan,) = json.loads(told)
        nodes = list(_nodes(plan["Plan"]))
        found.append(
            Plan(
                name,
                plan["Execution Time"],
                plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"],
                tuple(dict.fromkeys(node["Index Name"] for node in nodes if "Index Name" in node)),
                tuple(dict.fromkeys(node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan")),
            )
        )
    return found


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
