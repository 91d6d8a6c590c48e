"""Creates the barrier and the tables of the payment service.

Phase: expand.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    op.execute(
        """
        CREATE TABLE payment (
            payment_id UUID NOT NULL,
            order_id TEXT NOT NULL,
            customer_id TEXT NOT NULL,
            payment_method TEXT NOT NULL,
            currency_code TEXT NOT NULL,
            state SMALLINT NOT NULL,
            authorized_minor BIGINT NOT NULL,
            captured_minor BIGINT DEFAULT '0' NOT NULL,
            refunded_minor BIGINT DEFAULT '0' NOT NULL,
            capture_id UUID,
            refund_id UUID,
            expires_at timestamptz,
            created_at timestamptz DEFAULT now() NOT NULL,
            updated_at timestamptz DEFAULT now() NOT NULL,
            CONSTRAINT payment_pkey PRIMARY KEY (payment_id),
            CONSTRAINT payment_currency CHECK (currency_code ~ '^[A-Z]{3}$'),
            CONSTRAINT payment_authorized CHECK (authorized_minor >= 0),
            CONSTRAINT payment_captured CHECK (captured_minor BETWEEN 0 AND authorized_minor),
            CONSTRAINT payment_refunded CHECK (refunded_minor BETWEEN 0 AND captured_minor),
            CONSTRAINT payment_state CHECK (
                (state IN (1, 3) AND captured_minor = 0 AND capture_id IS NULL AND refund_id IS NULL)
                OR (state = 2 AND refunded_minor = 0 AND capture_id IS NOT NULL AND refund_id IS NULL)
                OR (state = 4 AND refunded_minor = captured_minor AND capture_id IS NOT NULL AND refund_id IS NOT NULL))
        )
        """
    )
    op.execute(
        """
        CREATE TABLE saga_barrier (
            saga_id UUID NOT NULL,
            step TEXT NOT NULL,
            state SMALLINT NOT NULL,
            epoch BIGINT NOT NULL,
            request_hash BYTEA,
            response BYTEA,
            verdict BYTEA,
            created_at timestamptz DEFAULT now() NOT NULL,
            updated_at timestamptz DEFAULT now() NOT NULL,
            CONSTRAINT saga_barrier_pkey PRIMARY KEY (saga_id, step),
            CONSTRAINT saga_barrier_epoch CHECK (epoch > 0),
            CONSTRAINT saga_barrier_request_hash CHECK (octet_length(request_hash) = 32),
            CONSTRAINT saga_barrier_state CHECK (
                (state = 1 AND request_hash IS NOT NULL AND response IS NOT NULL AND verdict IS NULL)
                OR (state = 2 AND request_hash IS NOT NULL AND response IS NULL AND verdict IS NOT NULL)
                OR (state = 3 AND response IS NULL AND verdict IS NULL)
                OR (state = 4 AND request_hash IS NOT NULL AND response IS NOT NULL AND verdict IS NULL))
        )
        """
    )
