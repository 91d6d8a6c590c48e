"""What the database must be and what programs have loaded: the schema's revision, and definitions."""

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from orchestrator.engine.ports import DefinitionChanged, SchemaUnknown
from orchestrator.engine.stored import MissingDefinition
from orchestrator.storage.connections import Connected

KNOWN_REVISIONS: Final = frozenset({"0004", "0005"})
"""Revisions of the ``orchestrator`` chain that this program runs on: what it needs, and what it can do without."""

REVISIONS: Final = "SELECT version_num FROM alembic_version"

# definition_name_version_key. Ordered, so that nodes that start together do not deadlock; the rows that are there are
# left out first, so that no start uses up numbers.
REGISTER: Final = """
    INSERT INTO definition (name, version, digest)
    SELECT l.name, l.version, l.digest FROM unnest($1::text[], $2::integer[], $3::bytea[]) AS l (name, version, digest)
    WHERE NOT EXISTS (SELECT FROM definition d WHERE d.name = l.name AND d.version = l.version)
    ORDER BY l.name, l.version
    ON CONFLICT (name, version) DO NOTHING
"""

# definition_name_version_key.
REGISTERED: Final = """
    SELECT d.definition_id, d.name, d.version, d.digest
    FROM definition d JOIN unnest($1::text[], $2::integer[]) AS l (name, version) USING (name, version)
"""

# A node row for each node; then saga_live, once for each definition that no node has.
MISSING: Final = """
WITH missing AS MATERIALIZED (
    SELECT * FROM definition d
    WHERE NOT EXISTS (
        SELECT FROM node n WHERE n.lease_expires_at > clock_timestamp() AND d.definition_id = ANY (n.definition_ids)
    )
)
SELECT m.name, m.version, m.digest, live.sagas
FROM missing m
CROSS JOIN LATERAL (
    SELECT count(*) AS sagas FROM saga s WHERE s.definition_id = m.definition_id AND s.ended_at IS NULL
) live
WHERE live.sagas > 0
ORDER BY m.name, m.version
"""


class Registry(Connected):
    """Part of ``LeaseStore``."""

    async def check_schema(self) -> None:
        """See ``LeaseStore.check_schema``."""
        async with self._connections.pooled("checking the schema") as connection:
            try:
                found = {row["version_num"] for row in await connection.fetch(REVISIONS)}
            except asyncpg.UndefinedTableError:
                found = set()
        if not found:
            raise SchemaUnknown("the database has no schema of the orchestrator; run `orchestrator migrate`")
        if not found <= KNOWN_REVISIONS:
            raise SchemaUnknown(
                f"the database's schema is at revision {', '.join(sorted(found))}, this program knows "
                f"{', '.join(sorted(KNOWN_REVISIONS))}; if the database is older run `orchestrator migrate`, "
                "if it is newer run a newer program"
            )

    async def register_definitions(
        self, definitions: Sequence[tuple[str, int, bytes]]
    ) -> Mapping[tuple[str, int], int]:
        """See ``LeaseStore.register_definitions``. Definitions stay registered once a saga may refer to them."""
        names = [name for name, _, _ in definitions]
        versions = [version for _, version, _ in definitions]
        digests = {(name, version): digest for name, version, digest in definitions}
        async with self._connections.pooled("registering definitions") as connection:
            await connection.execute(REGISTER, names, versions, [digest for _, _, digest in definitions])
            rows = await connection.fetch(REGISTERED, names, versions)
        changed = [
            f"{r['name']} v{r['version']} (registered {r['digest'].hex()[:12]}, loaded {loaded.hex()[:12]})"
            for r in rows
            if r["digest"] != (loaded := digests[r["name"], r["version"]])
        ]
        if changed:
            raise DefinitionChanged(
                f"registered with another digest: {', '.join(sorted(changed))}; a definition never changes under its "
                "version, so give it a new one"
            )
        return {(row["name"], row["version"]): row["definition_id"] for row in rows}

    async def missing_definitions(self) -> Sequence[MissingDefinition]:
        """See ``LeaseStore.missing_definitions``."""
        async with self._connections.pooled("looking for missing definitions") as connection:
            rows = await connection.fetch(MISSING)
        return [MissingDefinition(row["name"], row["version"], row["digest"], row["sagas"]) for row in rows]
