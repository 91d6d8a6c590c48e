"""Reads for resuming and for the API."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from orchestrator.core.state import TERMINAL
from orchestrator.engine.stored import SagaFilter, StoredEntry, StoredSaga, Visibility
from orchestrator.storage.connections import Connected
from orchestrator.storage.rows import SAGA_COLUMNS, stored_entry, stored_saga
from orchestrator.storage.visibility import newest, of_caller, tenants_of, visible, walks

# saga_pkey.
ROWS: Final = f"""
    SELECT {SAGA_COLUMNS} FROM saga s JOIN definition d USING (definition_id) WHERE s.saga_id = ANY ($1::uuid[])
"""  # noqa: S608  (column names of this program's own)

# saga_event_pkey. Up to the row's last_seq: the journal only grows, so row and journal belong together.
JOURNALS: Final = """
    SELECT e.saga_id, e.seq, e.kind, e.epoch, e.at, e.attributes
    FROM unnest($1::uuid[], $2::integer[]) AS wanted (saga_id, last_seq)
    JOIN saga_event e ON e.saga_id = wanted.saga_id AND e.seq <= wanted.last_seq
    ORDER BY e.saga_id, e.seq
"""

_SUITS: Final = """
    ($3::smallint[] IS NULL OR state = ANY ($3))
    AND ($4::text IS NULL OR concurrency_key = $4)
    AND ($5::timestamptz IS NULL OR created_at >= $5)
    AND ($6::timestamptz IS NULL OR created_at < $6)
    AND ($7::uuid IS NULL OR saga_id < $7)
"""
"""Planned for the values at hand, so a filter that is not set costs nothing."""

_OF_DEFINITION: Final = "($1::text IS NULL OR d.name = $1) AND ($2::integer IS NULL OR d.version = $2)"

# saga_pkey, backwards, or for tenants as ``walks`` says.
LIST: Final = f"""
    SELECT {SAGA_COLUMNS} FROM ({{newest}}) s JOIN definition d USING (definition_id) ORDER BY s.saga_id DESC
"""  # noqa: S608  (column names of this program's own)
LISTED: Final = "s.* FROM saga s JOIN definition d USING (definition_id)"
LISTED_IF: Final = f"{_OF_DEFINITION} AND {_SUITS} AND {of_caller('$10')}"

# saga_live, backwards, for each definition: the live may lie behind any number of newer ones that have ended.
LIST_LIVE: Final = f"""
    SELECT {SAGA_COLUMNS}
    FROM definition d
    CROSS JOIN LATERAL (
        SELECT * FROM saga
        WHERE saga.definition_id = d.definition_id AND ended_at IS NULL AND {_SUITS}
            AND {visible("$9", "$10", "saga")}
        ORDER BY saga_id DESC
        LIMIT $8
    ) s
    WHERE {_OF_DEFINITION}
    ORDER BY s.saga_id DESC
    LIMIT $8
"""  # noqa: S608  (column names and conditions of this program's own)

# saga_pkey.
VISIBLE: Final = f"SELECT saga_id FROM saga s WHERE saga_id = ANY ($1::uuid[]) AND {visible('$2', '$3')}"  # noqa: S608  (as above)

# saga_event_pkey.
ENTRIES: Final = """
    SELECT seq, kind, epoch, at, attributes FROM saga_event WHERE saga_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""


def list_statement(visibility: Visibility) -> str:
    """The one that lists sagas, whatever their state, of which somebody sees so much."""
    return LIST.format(newest=newest(LISTED, "s.saga_id", LISTED_IF, "$8", walks(visibility, "$9")))


class Queries(Connected):
    """Implements ``QueryStore``."""

    async def load(self, saga_ids: Sequence[UUID]) -> Sequence[StoredSaga]:
        """See ``QueryStore.load``."""
        async with self._connections.pooled("loading sagas") as connection:
            rows = await connection.fetch(ROWS, saga_ids)
            entries = await connection.fetch(
                JOURNALS, [row["saga_id"] for row in rows], [row["last_seq"] for row in rows]
            )
        journals: defaultdict[UUID, list[StoredEntry]] = defaultdict(list)
        for entry in entries:
            journals[entry["saga_id"]].append(stored_entry(entry))
        return [stored_saga(row, tuple(journals[row["saga_id"]])) for row in rows]

    async def list_sagas(self, where: SagaFilter, *, limit: int, before: UUID | None) -> Sequence[StoredSaga]:
        """See ``QueryStore.list_sagas``. ``created_from_us`` is included, ``created_to_us`` is not."""
        async with self._connections.pooled("listing sagas") as connection:
            rows = await connection.fetch(
                LIST_LIVE if where.states and TERMINAL.isdisjoint(where.states) else list_statement(where.visibility),
                where.definition,
                where.version,
                [int(state) for state in where.states] or None,
                where.concurrency_key,
                where.created_from_us,
                where.created_to_us,
                before,
                limit,
                tenants_of(where.visibility),
                where.visibility.caller,
            )
        return [stored_saga(row) for row in rows]

    async def visible(self, saga_ids: Sequence[UUID], visibility: Visibility) -> frozenset[UUID]:
        """See ``QueryStore.visible``."""
        async with self._connections.pooled("asking whose sagas these are") as connection:
            rows = await connection.fetch(VISIBLE, saga_ids, tenants_of(visibility), visibility.caller)
        return frozenset(row["saga_id"] for row in rows)

    async def list_entries(self, saga_id: UUID, *, after_seq: int, limit: int) -> Sequence[StoredEntry]:
        """See ``QueryStore.list_entries``."""
        async with self._connections.pooled("listing a journal") as connection:
            return [stored_entry(row) for row in await connection.fetch(ENTRIES, saga_id, after_seq, limit)]
