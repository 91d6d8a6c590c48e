"""The tables, as the migrations leave them. A test compares these with a migrated database, catalogue by catalogue.

Triggers live in the migrations alone: an ended saga's row never changes, epochs and ``last_seq`` never fall, a live
saga is not deleted, the journal is only appended to.
"""

from typing import Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

METADATA: Final = MetaData()
INSTANT: Final = DateTime(timezone=True)
NOW: Final = text("clock_timestamp()")

DEFINITION: Final = Table(
    "definition",
    METADATA,
    Column("definition_id", Integer, Identity(always=True), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("registered_at", INSTANT, nullable=False, server_default=NOW),
    CheckConstraint("version > 0", name="definition_version"),
    UniqueConstraint("name", "version", name="definition_name_version_key"),
    # Referred to by the scope of a concurrency key, which thereby cannot be another definition's.
    UniqueConstraint("definition_id", "name", name="definition_definition_id_name_key"),
)
"""What programs have loaded. Never changed, and kept as long as a saga refers to it."""

SAGA: Final = Table(
    "saga",
    METADATA,
    # Columns of fixed width first, so that none needs padding; what never changes stands at either end of the row,
    # because PostgreSQL leaves the common beginning and end of an updated row out of its log.
    Column("saga_id", Uuid, primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
    Column("definition_id", Integer, ForeignKey("definition.definition_id", name="saga_definition"), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("stale_claims", SmallInteger, nullable=False, server_default=text("0")),
    Column("epoch", BigInteger, nullable=False),
    Column("last_seq", Integer, nullable=False),
    Column("failure_code", Integer, nullable=False, server_default=text("0")),
    Column("deadline_at", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False, server_default=NOW),
    Column("ended_at", INSTANT),
    Column("wake_at", INSTANT),
    Column("owner", Uuid),
    Column("failed_step", Text),
    Column("failure_reason", Text),
    Column("failure_message", Text),
    Column("blocked_reason", Text),
    Column("request_hash", LargeBinary, nullable=False),
    Column("caller", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("concurrency_scope", Text),
    Column("concurrency_key", Text),
    Column("input", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["definition_id", "concurrency_scope"],
        ["definition.definition_id", "definition.name"],
        name="saga_concurrency_scope",
    ),
    CheckConstraint("state BETWEEN 1 AND 7", name="saga_state"),
    CheckConstraint("(state IN (3, 5, 7)) = (ended_at IS NOT NULL)", name="saga_ended"),
    CheckConstraint("ended_at IS NULL OR owner IS NULL", name="saga_ended_unowned"),
    CheckConstraint("wake_at IS NULL OR (owner IS NULL AND state IN (1, 2, 4))", name="saga_wake"),
    CheckConstraint("(concurrency_scope IS NULL) = (concurrency_key IS NULL)", name="saga_concurrency"),
    CheckConstraint("epoch > 0 AND last_seq > 0 AND stale_claims >= 0", name="saga_counters"),
    UniqueConstraint("caller", "request_id", name="saga_caller_request_id_key"),
    # Room for the versions of a saga's row on its own page: an update that touches no index stays there.
    postgresql_with={"fillfactor": 50},
)
"""One row a saga. States are those of ``SagaStatus``: 1 PENDING, 2 RUNNING, 3 COMPLETED, 4 COMPENSATING,
5 COMPENSATED, 6 STUCK, 7 RESOLVED. ``wake_at`` is when an unowned saga is due for a claim; null: only a request
wakes it."""

# The predicates name columns that change when a saga is claimed, released or ended, and at no checkpoint in between.
Index(
    "saga_concurrency_live",
    SAGA.c.concurrency_scope,
    SAGA.c.concurrency_key,
    unique=True,
    postgresql_where=text("concurrency_key IS NOT NULL AND ended_at IS NULL"),
)
Index("saga_owner", SAGA.c.owner, postgresql_where=text("owner IS NOT NULL"))
Index("saga_due", SAGA.c.definition_id, SAGA.c.wake_at, postgresql_where=text("wake_at IS NOT NULL"))
Index("saga_live", SAGA.c.definition_id, SAGA.c.saga_id, postgresql_where=text("ended_at IS NULL"))

SAGA_EVENT: Final = Table(
    "saga_event",
    METADATA,
    Column("saga_id", Uuid, ForeignKey("saga.saga_id", name="saga_event_saga"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("at", INSTANT, nullable=False),
    Column("attributes", LargeBinary, nullable=False),
    CheckConstraint("seq > 0 AND kind > 0", name="saga_event_numbers"),
)
"""The journal. ``kind`` is ``saga.v1.EventType``, ``attributes`` the serialized message of that kind."""

SAGA_REQUEST: Final = Table(
    "saga_request",
    METADATA,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("requested_at", INSTANT, nullable=False, server_default=NOW),
    Column("saga_id", Uuid, ForeignKey("saga.saga_id", name="saga_request_saga"), nullable=False),
    Column("consumed_seq", Integer),
    Column("kind", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    ForeignKeyConstraint(
        ["saga_id", "consumed_seq"], ["saga_event.saga_id", "saga_event.seq"], name="saga_request_consumed"
    ),
    UniqueConstraint("caller", "request_id", name="saga_request_caller_request_id_key"),
)
"""What was asked of sagas from outside. ``consumed_seq`` is the journal entry that answered; null: it waits."""
Index("saga_request_saga_id", SAGA_REQUEST.c.saga_id, SAGA_REQUEST.c.consumed_seq)
Index("saga_request_waiting", SAGA_REQUEST.c.saga_id, postgresql_where=text("consumed_seq IS NULL"))

NODE_FENCE: Final = Table(
    "node_fence",
    METADATA,
    Column("node_id", Uuid, primary_key=True),
    Column("fenced_at", INSTANT),
)
"""Whether a node may write; no row is as good as fenced. Every batch locks its node's row FOR KEY SHARE."""

NODE: Final = Table(
    "node",
    METADATA,
    Column("node_id", Uuid, ForeignKey("node_fence.node_id", name="node_fence"), primary_key=True),
    Column("started_at", INSTANT, nullable=False, server_default=NOW),
    Column("lease_expires_at", INSTANT, nullable=False),
    Column("name", Text, nullable=False),
    Column("definition_ids", ARRAY(Integer), nullable=False),
    postgresql_with={"fillfactor": 50},
)
"""Leases. A row goes when its node is fenced, so a renewal that finds none has lost."""

STORE_INCARNATION: Final = Table(
    "store_incarnation",
    METADATA,
    Column("only_row", Boolean, primary_key=True, server_default=text("true")),
    Column("incarnation", Integer, nullable=False),
    CheckConstraint("only_row", name="store_incarnation_only_row"),
    CheckConstraint("incarnation >= 0", name="store_incarnation_number"),
)
"""One row: the high half of every new epoch, raised by an operator after a lossy failover."""
