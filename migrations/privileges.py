"""Who may do what in a database: rows for the program that serves it, some columns for readers, the schema for nobody.

The role that migrates owns everything and needs no grant. A table that is not named here is granted to nobody, and what
a role may do beyond its grants is an error: see :data:`EXCESS`.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, TypeAlias

Tables: TypeAlias = Mapping[str, Collection[str]]
"""The columns of each table of a database."""
Grants: TypeAlias = Mapping[tuple[str, str], Collection[str] | None]
"""By table and privilege the columns that it is given on; None is the whole table."""

_ROWS: Final = ("SELECT", "INSERT")

PROGRAM: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    # A program looks whether it knows the schema.
    "alembic_version": (("SELECT",), ()),
    # The orchestrator. What a saga was started with never changes, nor does the journal, the audit log or a definition.
    "definition": (_ROWS, ()),
    "saga": (
        _ROWS,
        (
            *("state", "stale_claims", "epoch", "last_seq", "failure_code", "deadline_at", "updated_at", "ended_at"),
            *("wake_at", "owner", "failed_step", "failure_reason", "failure_message", "blocked_reason", "blocked_at"),
            *("paused_at", "waiting_step", "waiting_reason"),
        ),
    ),
    "saga_event": (_ROWS, ()),
    # A request that came too late for its saga is forgotten.
    "saga_request": ((*_ROWS, "DELETE"), ("consumed_seq",)),
    "node_fence": ((*_ROWS, "DELETE"), ("fenced_at",)),
    "node": ((*_ROWS, "DELETE"), ("lease_expires_at", "drain_requested_at")),
    # Raised by hand after a lossy failover, as the role that migrates.
    "store_incarnation": (("SELECT",), ()),
    "operator_audit": (_ROWS, ()),
    "bulk": (_ROWS, ("next_at", "ended_at", "members", "left_out", "state")),
    "bulk_member": (
        _ROWS,
        ("begun_at", "decided_at", "request_number", "outcome", "refusal_reason", "refusal_message"),
    ),
    "participant_hold": ((*_ROWS, "DELETE"), ()),
    # The participants. A barrier's row that is gone lets a late call take effect again.
    "saga_barrier": (_ROWS, ("state", "epoch", "request_hash", "response", "verdict", "updated_at")),
    "receipt": (_ROWS, ()),
    "reservation": (_ROWS, ("state", "ended_at")),
    "reservation_line": (_ROWS, ("held",)),
    "stock": (_ROWS, ("received", "on_hand", "reserved", "shipped")),
    "payment": (_ROWS, ("state", "captured_minor", "refunded_minor", "capture_id", "refund_id", "updated_at")),
    "shipment": (_ROWS, ("state", "ended_at", "pickup_reference")),
    "shipment_parcel": (_ROWS, ()),
}
"""What the program that serves a database may do: on each table as a whole, and which columns of it it may update."""

WITHHELD: Final[Mapping[str, frozenset[str]]] = {
    # Payloads, hashes that a guess of the payload would confirm, other people's words, and keys that may name a person.
    "saga": frozenset({"input", "request_hash", "request_id", "concurrency_key", "failure_message"}),
    "saga_event": frozenset({"attributes"}),
    "saga_request": frozenset({"request_id", "response"}),
    "operator_audit": frozenset({"request_id", "refusal_message"}),
    "bulk": frozenset({"request_id", "response_json", "query"}),
    "bulk_member": frozenset({"refusal_message"}),
    "saga_barrier": frozenset({"request_hash", "response", "verdict"}),
    "receipt": frozenset({"content_hash"}),
    "payment": frozenset({"customer_id", "payment_method"}),
    "shipment": frozenset({"recipient", "address_lines", "locality", "postal_code"}),
}
"""Columns that readers, who make reports and dashboards, are not given."""

EXCESS: Final = """
    WITH reached AS (SELECT * FROM pg_roles WHERE pg_has_role($1::name, oid, 'MEMBER'))
    SELECT 'the attribute ' || attribute
    FROM reached CROSS JOIN LATERAL (
        VALUES ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication),
            ('BYPASSRLS', rolbypassrls), ('SUPERUSER', rolsuper)
    ) AS had (attribute, is_set)
    WHERE is_set
    UNION
    SELECT 'what a member of ' || rolname || ' may do' FROM reached
    WHERE rolname LIKE 'pg\\_%'
        AND rolname NOT IN ('pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables')
    UNION
    SELECT 'CREATE on the schema ' || n.nspname
    FROM reached r CROSS JOIN pg_namespace n WHERE has_schema_privilege(r.oid, n.oid, 'CREATE')
    UNION
    SELECT privilege || ' on the database' FROM reached r CROSS JOIN unnest(ARRAY['CREATE', 'TEMPORARY']) AS privilege
    WHERE has_database_privilege(r.oid, current_database(), privilege)
    UNION
    SELECT privilege || ' on the table ' || c.relname
    FROM reached r CROSS JOIN pg_class c CROSS JOIN unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND has_table_privilege(r.oid, c.oid, privilege)
        AND (c.relname, '', privilege) NOT IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))
    UNION
    SELECT privilege || ' on the table ' || c.relname
    FROM reached r
    CROSS JOIN pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS privilege
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND has_column_privilege(r.oid, c.oid, a.attnum, privilege)
        AND (c.relname, a.attname, privilege) NOT IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))
"""
"""What the role ``$1``, or one that it may become (SET ROLE), may do beyond privileges ``$4`` on columns ``$3`` (empty
for whole rows) of tables ``$2``: as a superuser or an owner, by an attribute, as a member of another role, or because
it was granted to PUBLIC. Of PostgreSQL's own roles those that read statistics are let be."""


def program_grants(tables: Tables) -> Grants:
    """What the program that serves the database needs."""
    known = {table: PROGRAM[table] for table in tables if table in PROGRAM}
    whole: dict[tuple[str, str], Collection[str] | None] = {
        (table, privilege): None for table, (privileges, _) in known.items() for privilege in privileges
    }
    return whole | {(table, "UPDATE"): columns for table, (_, columns) in known.items() if columns}


def reader_grants(tables: Tables) -> Grants:
    """What whoever makes reports needs: to read, and that without payloads."""
    return {
        (table, "SELECT"): [each for each in columns if each not in WITHHELD.get(table, ())]
        for table, columns in tables.items()
        if table in PROGRAM
    }


def statements(role: str, database: str, grants: Grants) -> Iterator[str]:
    """SQL that leaves ``role`` with ``grants`` and nothing else, and everybody else without a way to create things."""
    to = _quoted(role)
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    yield f"REVOKE TEMPORARY ON DATABASE {_quoted(database)} FROM PUBLIC"
    yield f"REVOKE CREATE, TEMPORARY ON DATABASE {_quoted(database)} FROM {to}"
    yield f"REVOKE ALL ON SCHEMA public FROM {to}"
    for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
        yield f"REVOKE ALL ON ALL {kind} IN SCHEMA public FROM {to}"
    yield f"GRANT CONNECT ON DATABASE {_quoted(database)} TO {to}"
    yield f"GRANT USAGE ON SCHEMA public TO {to}"
    for (table, privilege), columns in grants.items():
        of = "" if columns is None else f" ({', '.join(map(_quoted, columns))})"
        yield f"GRANT {privilege}{of} ON {_quoted(table)} TO {to}"


def given(tables: Tables, grants: Grants) -> list[tuple[str, str, str]]:
    """Table, column and privilege of each grant, as :data:`EXCESS` takes them; DELETE has no columns."""
    return [
        (table, column, privilege)
        for (table, privilege), columns in grants.items()
        for column in ([""] if privilege == "DELETE" else tables[table] if columns is None else columns)
    ]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
