"""What operators look for among all sagas: lists and counts."""

from typing import Any, Final
from uuid import UUID

from orchestrator.core.state import SagaStatus
from orchestrator.operations.values import (
    AttentionKind,
    AttentionPolicy,
    FoundPage,
    FoundSaga,
    SagaGroup,
    Selection,
    Tally,
)
from orchestrator.storage.attention import REASON, STEP
from orchestrator.storage.connections import Connected, Pooled
from orchestrator.storage.rows import SAGA_COLUMNS, stored_saga
from orchestrator.storage.selecting import Conditions, Way, conditions, first_id, way_to
from orchestrator.storage.visibility import newest, passes_all, tenants_of, walks

MAX_SCANNED: Final = 5000
"""Sagas that one look for a page of ended ones reads: some ten milliseconds. What is rarer takes another look."""
MAX_COUNTED: Final = 10_000
"""Sagas that a count of ended ones reads."""
MAX_UNDONE_COUNTED: Final = 1000
"""The same for those that were undone: each lies on a page of its own."""

# One of the ways of ``selecting``; then saga_pkey for what is shown. OFFSET 0 keeps the planner from walking saga_pkey
# backwards over all that ended.
FEW: Final = """
WITH chosen AS MATERIALIZED (
    SELECT saga_id FROM (
        SELECT s.saga_id, {filtered} AS attention
        FROM saga s JOIN definition d USING (definition_id) WHERE {conditions} OFFSET 0
    ) matching
    WHERE {kinds} ORDER BY saga_id DESC LIMIT {limit}
)
SELECT {columns}, {attention} AS attention
FROM chosen JOIN saga s USING (saga_id) JOIN definition d USING (definition_id) ORDER BY s.saga_id DESC
"""

MANY: Final = """
SELECT {columns}, {attention} AS attention
FROM {source} s JOIN definition d USING (definition_id)
WHERE {conditions} ORDER BY s.saga_id DESC LIMIT {limit}
"""

EDGE: Final = "SELECT saga_id FROM ({newest}) walked ORDER BY saga_id DESC OFFSET {scanned} - 1 LIMIT 1"

COUNT: Final = """
SELECT
    state, attention, name, version, step, reason, paused,
    count(*) AS sagas, min(created_at) AS oldest, any_value(saga_id) AS sample
FROM (
    SELECT
        state, attention, name, version, paused, created_at, saga_id,
        CASE WHEN attention > 0 THEN step END AS step, CASE WHEN attention > 0 THEN reason END AS reason
    FROM (
        SELECT
            s.state, {attention} AS attention, d.name, d.version, s.paused_at IS NOT NULL AS paused, s.created_at,
            s.saga_id, {step} AS step, {reason} AS reason
        FROM {source} s JOIN definition d USING (definition_id) WHERE {conditions} OFFSET 0
    ) matching
    WHERE {kinds}
) counted
GROUP BY state, attention, name, version, step, reason, paused
"""


class OperatorQueries(Connected):
    """Part of ``OperatorStore``."""

    async def search(
        self, where: Selection, policy: AttentionPolicy, *, limit: int, before: UUID | None = None
    ) -> FoundPage:
        """See ``OperatorStore.search``."""
        way = way_to(where)
        if way in {Way.ALL, Way.UNDONE}:
            return await self._search_many(where, policy, limit, before)
        clause, kind = conditions(where, policy, before)
        statement = FEW.format(
            attention=kind,
            filtered=kind if where.attention else "NULL",
            conditions=clause.text,
            kinds=of_kinds(where, clause),
            limit=clause.parameter(limit + 1),
            columns=SAGA_COLUMNS,
        )
        async with self._connections.pooled("searching sagas") as connection:
            rows = await connection.fetch(statement, *clause.arguments)
        found = tuple(FoundSaga(stored_saga(row), AttentionKind(row["attention"])) for row in rows[:limit])
        return FoundPage(found, found[-1].stored.saga_id if len(rows) > limit else None)

    async def _search_many(
        self, where: Selection, policy: AttentionPolicy, limit: int, before: UUID | None
    ) -> FoundPage:
        async with self._connections.pooled("searching sagas") as connection:
            if not where.visibility.is_total:
                # The walk may end at a saga that is not theirs to know: it ends before the millisecond of that one.
                edge = _moment(await _edge(connection, where, before, MAX_SCANNED))
                rows = await connection.fetch(*_page(where, policy, limit, before, edge))
            else:
                rows = await connection.fetch(*_page(where, policy, limit, before, None))
                edge = await _edge(connection, where, before, MAX_SCANNED) if len(rows) <= limit else None
        found = tuple(FoundSaga(stored_saga(row), AttentionKind(row["attention"])) for row in rows[:limit])
        return FoundPage(found, found[-1].stored.saga_id if len(rows) > limit else edge)

    async def tally(self, where: Selection, policy: AttentionPolicy) -> Tally:
        """See ``OperatorStore.tally``."""
        way = way_to(where)
        clause, kind = conditions(where, policy)
        source, bounded = "saga", way in {Way.ALL, Way.UNDONE}
        bound = MAX_UNDONE_COUNTED if way is Way.UNDONE else MAX_COUNTED
        if bounded:
            rows_of = _newest(where, clause, _range(where, None, clause), clause.parameter(bound))
            source = f"({rows_of})"
        statement = COUNT.format(
            attention=kind,
            step=STEP,
            reason=REASON,
            source=source,
            conditions=clause.text,
            kinds=of_kinds(where, clause),
        )
        async with self._connections.pooled("counting sagas") as connection:
            rows = await connection.fetch(statement, *clause.arguments)
            edge = await _edge(connection, where, None, bound) if bounded else None
        groups = tuple(
            SagaGroup(
                SagaStatus(row["state"]),
                AttentionKind(row["attention"]),
                row["name"],
                row["version"],
                row["step"] or "",
                row["reason"] or "",
                row["paused"],
                row["sagas"],
                row["oldest"],
                row["sample"],
            )
            for row in rows
        )
        return Tally(groups, at_least=edge is not None)


def of_kinds(where: Selection, clause: Conditions) -> str:
    """The condition on the attention that a subquery has worked out."""
    if not where.attention:
        return "true"
    return f"attention = ANY ({clause.parameter([int(kind) for kind in where.attention])}::integer[])"


def _page(
    where: Selection, policy: AttentionPolicy, limit: int, before: UUID | None, downto: UUID | None
) -> tuple[Any, ...]:
    """Statement and arguments of a page of the newest, ``downto`` that saga or of a bounded number."""
    clause, kind = conditions(where, policy, before)
    scanned = clause.parameter(MAX_SCANNED if downto is None else None)
    statement = MANY.format(
        attention=kind,
        columns=SAGA_COLUMNS,
        source=f"({_newest(where, clause, _range(where, before, clause, downto), scanned)})",
        conditions=clause.text,
        limit=clause.parameter(limit + 1),
    )
    return statement, *clause.arguments


def _newest(where: Selection, clause: Conditions, within: str, scanned: str, columns: str = "s.*") -> str:
    """saga_pkey backwards, or saga_undone, whoever's the sagas are; for tenants as ``walks`` says."""
    walked = ["true"]
    if not passes_all(where.visibility):
        walked = walks(where.visibility, clause.parameter(tenants_of(where.visibility)))
    return newest(f"{columns} FROM saga s", "s.saga_id", within, scanned, walked)


def _moment(saga_id: UUID | None) -> UUID | None:
    """The first id of the millisecond in which this one was drawn."""
    return None if saga_id is None else first_id((saga_id.int >> 80) * 1000)


def _range(where: Selection, before: UUID | None, clause: Conditions, downto: UUID | None = None) -> str:
    """What a walk over the newest passes."""
    bounds = Conditions(clause.arguments)
    if way_to(where) is Way.UNDONE:
        bounds.texts.append(f"s.state = {int(where.states[0])} AND s.state IN (5, 7)")
    bounds.add_range(where, before)
    bounds.add("s.saga_id >= {}", downto)
    return bounds.text


async def _edge(connection: Pooled, where: Selection, before: UUID | None, scanned: int) -> UUID | None:
    """The last saga of a walk over the newest, if there are more beyond it."""
    clause = Conditions()
    bound = clause.parameter(scanned)
    text = EDGE.format(newest=_newest(where, clause, _range(where, before, clause), bound, "s.saga_id"), scanned=bound)
    edge: UUID | None = await connection.fetchval(text, *clause.arguments)
    return edge
