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
    Double,
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
    Column("blocked_at", INSTANT),
    Column("paused_at", INSTANT),
    Column("waiting_step", Text),
    Column("waiting_reason", Text),
    Column("tenant", Text, nullable=False, server_default=text("''")),
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
wakes it. ``waiting_step`` is blocked, or waits after a failure, for ``waiting_reason``. ``tenant`` is whose saga it is;
empty where tenants have no names."""

# The predicates name columns that change when a saga is claimed, released or ended, and at no checkpoint in between.
Index(
    "saga_tenant_concurrency_live",
    SAGA.c.tenant,
    SAGA.c.concurrency_scope,
    SAGA.c.concurrency_key,
    unique=True,
    postgresql_where=text("concurrency_key IS NOT NULL AND ended_at IS NULL"),
)
Index("saga_owner", SAGA.c.owner, postgresql_where=text("owner IS NOT NULL"))
Index("saga_due", SAGA.c.definition_id, SAGA.c.wake_at, postgresql_where=text("wake_at IS NOT NULL"))
Index("saga_live", SAGA.c.definition_id, SAGA.c.saga_id, postgresql_where=text("ended_at IS NULL"))
# For operators. A saga that is completed is in neither, and of the third there is one entry for many pages.
Index("saga_stuck", SAGA.c.definition_id, SAGA.c.saga_id, postgresql_where=text("state = 6"))
Index("saga_undone", SAGA.c.state, SAGA.c.saga_id, postgresql_where=text("state IN (5, 7)"))
Index(
    "saga_ended_lately",
    SAGA.c.ended_at,
    postgresql_using="brin",
    postgresql_with={"pages_per_range": 16, "autosummarize": "on"},
    postgresql_where=text("ended_at IS NOT NULL"),
)
# For the lists of tenants. Sagas without one are in neither.
Index("saga_tenant", SAGA.c.tenant, SAGA.c.saga_id, postgresql_where=text("tenant <> ''"))
Index(
    "saga_tenant_undone",
    SAGA.c.tenant,
    SAGA.c.state,
    SAGA.c.saga_id,
    postgresql_where=text("tenant <> '' AND state IN (5, 7)"),
)

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
    Column("expected_seq", Integer),
    Column("step", Text),
    Column("reason", Text),
    Column("response", LargeBinary),
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
    Column("drain_requested_at", INSTANT),
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

OPERATOR_AUDIT: Final = Table(
    "operator_audit",
    METADATA,
    Column("audit_id", BigInteger, Identity(always=True), primary_key=True),
    Column("audited_at", INSTANT, nullable=False, server_default=NOW),
    Column("request_number", BigInteger),
    Column("saga_id", Uuid),
    Column("bulk_id", Uuid),
    Column("expected_seq", Integer),
    Column("members", Integer),
    Column("action", SmallInteger, nullable=False),
    Column("outcome", SmallInteger),
    Column("caller", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("step", Text),
    Column("target", Text),
    Column("refusal_reason", Text),
    Column("refusal_message", Text),
    Column("tenant", Text, nullable=False, server_default=text("''")),
    CheckConstraint("outcome IS NULL OR outcome IN (2, 3)", name="operator_audit_outcome"),
    CheckConstraint("(outcome IS NULL) = (request_number IS NOT NULL)", name="operator_audit_decided"),
    CheckConstraint("(outcome IS NOT DISTINCT FROM 3) = (refusal_reason IS NOT NULL)", name="operator_audit_refusal"),
)
"""Who asked for what, why, and what became of it; only appended to. Without an ``outcome`` the journal has it: the
entry that consumed the request of that number. ``tenant`` is that of the saga or, where an entry is of none, that of
who asked."""
Index(
    "operator_audit_saga",
    OPERATOR_AUDIT.c.saga_id,
    OPERATOR_AUDIT.c.audit_id,
    postgresql_where=text("saga_id IS NOT NULL"),
)
Index(
    "operator_audit_bulk",
    OPERATOR_AUDIT.c.bulk_id,
    OPERATOR_AUDIT.c.audit_id,
    postgresql_where=text("bulk_id IS NOT NULL"),
)
Index("operator_audit_request", OPERATOR_AUDIT.c.caller, OPERATOR_AUDIT.c.request_id)
Index(
    "operator_audit_tenant",
    OPERATOR_AUDIT.c.tenant,
    OPERATOR_AUDIT.c.audit_id,
    postgresql_where=text("tenant <> ''"),
)

BULK: Final = Table(
    "bulk",
    METADATA,
    Column("bulk_id", Uuid, primary_key=True),
    Column("created_at", INSTANT, nullable=False, server_default=NOW),
    Column("next_at", INSTANT, nullable=False, server_default=NOW),
    Column("ended_at", INSTANT),
    Column("rate_per_s", Double, nullable=False),
    Column("members", Integer, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("action", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("caller", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("step", Text, nullable=False),
    Column("response_json", Text, nullable=False),
    Column("query", LargeBinary, nullable=False),
    Column("tenants", ARRAY(Text)),
    CheckConstraint("state BETWEEN 1 AND 3", name="bulk_state"),
    CheckConstraint("(state = 1) = (ended_at IS NULL)", name="bulk_ended"),
    CheckConstraint("rate_per_s > 0", name="bulk_rate"),
    UniqueConstraint("caller", "request_id", name="bulk_caller_request_id_key"),
)
"""One action on many sagas. States are those of ``saga.v1.BulkState``; ``query`` is the serialized ``SagaQuery``.
``next_at`` is when the next members may be begun. ``tenants`` are those that its members were chosen from, as far as
whoever started it could see; null: all."""
Index("bulk_running", BULK.c.bulk_id, postgresql_where=text("state = 1"))

BULK_MEMBER: Final = Table(
    "bulk_member",
    METADATA,
    Column("bulk_id", Uuid, ForeignKey("bulk.bulk_id", name="bulk_member_bulk"), primary_key=True),
    Column("saga_id", Uuid, primary_key=True),
    Column("begun_at", INSTANT),
    Column("decided_at", INSTANT),
    Column("request_number", BigInteger),
    Column("outcome", SmallInteger),
    Column("refusal_reason", Text),
    Column("refusal_message", Text),
    CheckConstraint("outcome IS NULL OR outcome IN (2, 3)", name="bulk_member_outcome"),
    CheckConstraint("(outcome IS NULL) = (decided_at IS NULL)", name="bulk_member_decided"),
)
"""The sagas of a bulk. One that was begun and has no request is begun anew: its request has the same id."""
Index("bulk_member_open", BULK_MEMBER.c.bulk_id, BULK_MEMBER.c.saga_id, postgresql_where=text("outcome IS NULL"))

PARTICIPANT_HOLD: Final = Table(
    "participant_hold",
    METADATA,
    Column("service", Text, primary_key=True),
    Column("held_at", INSTANT, nullable=False, server_default=NOW),
    Column("caller", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
"""Services that operators have every node hold all calls to."""
