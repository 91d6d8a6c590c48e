"""What the program that serves a database may do in it: rows, never the schema, and the journal only appended to."""

from typing import Final

ROWS: Final = "SELECT, INSERT, UPDATE, DELETE"

NARROWER: Final[dict[str, str]] = {
    # The bookkeeping of migrations: a node looks whether it knows the schema.
    "alembic_version": "SELECT",
    "migration_lock": "SELECT",
    # Append-only; ended sagas are removed whole.
    "saga_event": "SELECT, INSERT, DELETE",
    "operator_audit": "SELECT, INSERT",
}
"""Privileges by table, where they are fewer than ``ROWS``."""


def grants(role: str, tables: list[str]) -> list[str]:
    """The statements that give ``role`` what it may do, and take everything else away."""
    return [
        f'REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "{role}"',
        *(f'GRANT {NARROWER.get(table, ROWS)} ON "{table}" TO "{role}"' for table in tables),
        f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "{role}"',
    ]
