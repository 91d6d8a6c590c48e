"""Sagas, their journal and requests, node leases and fences.

Phase: expand.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE definition (
        definition_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        version integer NOT NULL,
        name text NOT NULL,
        digest bytea NOT NULL,
        registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT definition_version CHECK (version > 0),
        CONSTRAINT definition_name_version_key UNIQUE (name, version),
        CONSTRAINT definition_definition_id_name_key UNIQUE (definition_id, name)
    )
    """,
    """
    CREATE TABLE saga (
        saga_id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        definition_id integer NOT NULL,
        state smallint NOT NULL,
        stale_claims smallint NOT NULL DEFAULT 0,
        epoch bigint NOT NULL,
        last_seq integer NOT NULL,
        failure_code integer NOT NULL DEFAULT 0,
        deadline_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ended_at timestamptz,
        wake_at timestamptz,
        owner uuid,
        failed_step text,
        failure_reason text,
        failure_message text,
        blocked_reason text,
        request_hash bytea NOT NULL,
        caller text NOT NULL,
        request_id text NOT NULL,
        concurrency_scope text,
        concurrency_key text,
        input bytea NOT NULL,
        CONSTRAINT saga_definition FOREIGN KEY (definition_id) REFERENCES definition (definition_id),
        CONSTRAINT saga_concurrency_scope
            FOREIGN KEY (definition_id, concurrency_scope) REFERENCES definition (definition_id, name),
        CONSTRAINT saga_state CHECK (state BETWEEN 1 AND 7),
        CONSTRAINT saga_ended CHECK ((state IN (3, 5, 7)) = (ended_at IS NOT NULL)),
        CONSTRAINT saga_ended_unowned CHECK (ended_at IS NULL OR owner IS NULL),
        CONSTRAINT saga_wake CHECK (wake_at IS NULL OR (owner IS NULL AND state IN (1, 2, 4))),
        CONSTRAINT saga_concurrency CHECK ((concurrency_scope IS NULL) = (concurrency_key IS NULL)),
        CONSTRAINT saga_counters CHECK (epoch > 0 AND last_seq > 0 AND stale_claims >= 0),
        CONSTRAINT saga_caller_request_id_key UNIQUE (caller, request_id)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE UNIQUE INDEX saga_concurrency_live ON saga (concurrency_scope, concurrency_key)
        WHERE concurrency_key IS NOT NULL AND ended_at IS NULL
    """,
    "CREATE INDEX saga_owner ON saga (owner) WHERE owner IS NOT NULL",
    "CREATE INDEX saga_due ON saga (definition_id, wake_at) WHERE wake_at IS NOT NULL",
    "CREATE INDEX saga_live ON saga (definition_id, saga_id) WHERE ended_at IS NULL",
    """
    CREATE TABLE saga_event (
        saga_id uuid NOT NULL,
        seq integer NOT NULL,
        kind smallint NOT NULL,
        epoch bigint NOT NULL,
        at timestamptz NOT NULL,
        attributes bytea NOT NULL,
        PRIMARY KEY (saga_id, seq),
        CONSTRAINT saga_event_saga FOREIGN KEY (saga_id) REFERENCES saga (saga_id),
        CONSTRAINT saga_event_numbers CHECK (seq > 0 AND kind > 0)
    )
    """,
    """
    CREATE TABLE saga_request (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        saga_id uuid NOT NULL,
        consumed_seq integer,
        kind text NOT NULL,
        caller text NOT NULL,
        request_id text NOT NULL,
        CONSTRAINT saga_request_saga FOREIGN KEY (saga_id) REFERENCES saga (saga_id),
        CONSTRAINT saga_request_consumed FOREIGN KEY (saga_id, consumed_seq) REFERENCES saga_event (saga_id, seq),
        CONSTRAINT saga_request_caller_request_id_key UNIQUE (caller, request_id)
    )
    """,
    "CREATE INDEX saga_request_saga_id ON saga_request (saga_id, consumed_seq)",
    "CREATE INDEX saga_request_waiting ON saga_request (saga_id) WHERE consumed_seq IS NULL",
    """
    CREATE TABLE node_fence (
        node_id uuid PRIMARY KEY,
        fenced_at timestamptz
    )
    """,
    """
    CREATE TABLE node (
        node_id uuid PRIMARY KEY,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        lease_expires_at timestamptz NOT NULL,
        name text NOT NULL,
        definition_ids integer[] NOT NULL,
        CONSTRAINT node_fence FOREIGN KEY (node_id) REFERENCES node_fence (node_id)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE store_incarnation (
        only_row boolean PRIMARY KEY DEFAULT true,
        incarnation integer NOT NULL,
        CONSTRAINT store_incarnation_only_row CHECK (only_row),
        CONSTRAINT store_incarnation_number CHECK (incarnation >= 0)
    )
    """,
    "INSERT INTO store_incarnation (incarnation) VALUES (0)",
)

TRIGGERS = (
    # One function says no; the triggers' WHEN clauses decide, so that a lawful write never calls it.
    """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
    END
    $$
    """,
    """
    CREATE TRIGGER saga_ended_is_final BEFORE UPDATE ON saga FOR EACH ROW
        WHEN (OLD.ended_at IS NOT NULL)
        EXECUTE FUNCTION refuse_change('an ended saga never changes')
    """,
    """
    CREATE TRIGGER saga_only_rises BEFORE UPDATE ON saga FOR EACH ROW
        WHEN (NEW.epoch < OLD.epoch OR NEW.last_seq < OLD.last_seq OR NEW.saga_id <> OLD.saga_id)
        EXECUTE FUNCTION refuse_change('the epoch and the last seq of a saga never fall')
    """,
    """
    CREATE TRIGGER saga_live_is_kept BEFORE DELETE ON saga FOR EACH ROW
        WHEN (OLD.ended_at IS NULL)
        EXECUTE FUNCTION refuse_change('a live saga is never deleted')
    """,
    """
    CREATE TRIGGER saga_event_is_final BEFORE UPDATE ON saga_event FOR EACH STATEMENT
        EXECUTE FUNCTION refuse_change('the journal is only appended to')
    """,
    """
    CREATE TRIGGER saga_event_is_whole BEFORE TRUNCATE ON saga_event FOR EACH STATEMENT
        EXECUTE FUNCTION refuse_change('the journal is only appended to')
    """,
    """
    CREATE FUNCTION refuse_live_journal() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM deleted JOIN saga USING (saga_id) WHERE saga.ended_at IS NULL) THEN
            RAISE EXCEPTION 'the journal of a live saga is never deleted'
                USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
        END IF;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER saga_event_live_is_kept AFTER DELETE ON saga_event REFERENCING OLD TABLE AS deleted
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_live_journal()
    """,
    """
    CREATE FUNCTION fence_every_node() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        -- FOR UPDATE waits for the batches in flight and lets no other one in, as with a lapsed lease.
        PERFORM FROM node_fence WHERE fenced_at IS NULL ORDER BY node_id FOR UPDATE;
        UPDATE node_fence SET fenced_at = clock_timestamp() WHERE fenced_at IS NULL;
        DELETE FROM node;
        RETURN NULL;
    END
    $$
    """,
    # Nodes from before a lossy failover may believe in claims and fences that it lost: none of them writes again.
    """
    CREATE TRIGGER store_incarnation_fences AFTER UPDATE ON store_incarnation FOR EACH ROW
        WHEN (NEW.incarnation > OLD.incarnation)
        EXECUTE FUNCTION fence_every_node()
    """,
    """
    CREATE TRIGGER store_incarnation_only_rises BEFORE UPDATE ON store_incarnation FOR EACH ROW
        WHEN (NEW.incarnation < OLD.incarnation)
        EXECUTE FUNCTION refuse_change('the incarnation of the store never falls')
    """,
)


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    for statement in (*TABLES, *TRIGGERS):
        op.execute(statement)
