"""What operators ask for: requests with their parameters, pauses, the audit log, bulk actions, holds and drains.

Phase: expand.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STATEMENTS = (
    # At the end of the row, behind what never changes: they are null in every saga that nothing holds up.
    """
    ALTER TABLE saga
        ADD COLUMN blocked_at timestamptz,
        ADD COLUMN paused_at timestamptz,
        ADD COLUMN waiting_step text,
        ADD COLUMN waiting_reason text
    """,
    """
    ALTER TABLE saga_request
        ADD COLUMN expected_seq integer,
        ADD COLUMN step text,
        ADD COLUMN reason text,
        ADD COLUMN response bytea
    """,
    "ALTER TABLE node ADD COLUMN drain_requested_at timestamptz",
    # No foreign key to the saga: the log outlives it.
    """
    CREATE TABLE operator_audit (
        audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        audited_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        request_number bigint,
        saga_id uuid,
        bulk_id uuid,
        expected_seq integer,
        members integer,
        action smallint NOT NULL,
        outcome smallint,
        caller text NOT NULL,
        request_id text NOT NULL,
        reason text NOT NULL,
        step text,
        target text,
        refusal_reason text,
        refusal_message text,
        CONSTRAINT operator_audit_outcome CHECK (outcome IS NULL OR outcome IN (2, 3)),
        CONSTRAINT operator_audit_decided CHECK ((outcome IS NULL) = (request_number IS NOT NULL)),
        CONSTRAINT operator_audit_refusal CHECK ((outcome IS NOT DISTINCT FROM 3) = (refusal_reason IS NOT NULL))
    )
    """,
    "CREATE INDEX operator_audit_saga ON operator_audit (saga_id, audit_id) WHERE saga_id IS NOT NULL",
    "CREATE INDEX operator_audit_bulk ON operator_audit (bulk_id, audit_id) WHERE bulk_id IS NOT NULL",
    # Repeated requests find their entry here.
    "CREATE INDEX operator_audit_request ON operator_audit (caller, request_id)",
    """
    CREATE TABLE bulk (
        bulk_id uuid PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ended_at timestamptz,
        rate_per_s double precision NOT NULL,
        members integer NOT NULL,
        left_out integer NOT NULL,
        action smallint NOT NULL,
        state smallint NOT NULL,
        caller text NOT NULL,
        request_id text NOT NULL,
        reason text NOT NULL,
        step text NOT NULL,
        response_json text NOT NULL,
        query bytea NOT NULL,
        CONSTRAINT bulk_state CHECK (state BETWEEN 1 AND 3),
        CONSTRAINT bulk_ended CHECK ((state = 1) = (ended_at IS NULL)),
        CONSTRAINT bulk_rate CHECK (rate_per_s > 0),
        CONSTRAINT bulk_caller_request_id_key UNIQUE (caller, request_id)
    )
    """,
    "CREATE INDEX bulk_running ON bulk (bulk_id) WHERE state = 1",
    """
    CREATE TABLE bulk_member (
        bulk_id uuid NOT NULL,
        saga_id uuid NOT NULL,
        begun_at timestamptz,
        decided_at timestamptz,
        request_number bigint,
        outcome smallint,
        refusal_reason text,
        refusal_message text,
        PRIMARY KEY (bulk_id, saga_id),
        CONSTRAINT bulk_member_bulk FOREIGN KEY (bulk_id) REFERENCES bulk (bulk_id),
        CONSTRAINT bulk_member_outcome CHECK (outcome IS NULL OR outcome IN (2, 3)),
        CONSTRAINT bulk_member_decided CHECK ((outcome IS NULL) = (decided_at IS NULL))
    )
    """,
    "CREATE INDEX bulk_member_open ON bulk_member (bulk_id, saga_id) WHERE outcome IS NULL",
    """
    CREATE TABLE participant_hold (
        service text PRIMARY KEY,
        held_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        caller text NOT NULL,
        reason text NOT NULL
    )
    """,
    """
    CREATE TRIGGER operator_audit_is_final BEFORE UPDATE OR DELETE ON operator_audit FOR EACH STATEMENT
        EXECUTE FUNCTION refuse_change('the audit log is only appended to')
    """,
    """
    CREATE TRIGGER operator_audit_is_whole BEFORE TRUNCATE ON operator_audit FOR EACH STATEMENT
        EXECUTE FUNCTION refuse_change('the audit log is only appended to')
    """,
)


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    for statement in STATEMENTS:
        op.execute(statement)
