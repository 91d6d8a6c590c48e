"""Creates the barrier and the tables of the inventory service.

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
        CREATE TABLE receipt (
            receipt_id TEXT NOT NULL,
            warehouse_id TEXT NOT NULL,
            content_hash BYTEA NOT NULL,
            created_at timestamptz DEFAULT now() NOT NULL,
            CONSTRAINT receipt_pkey PRIMARY KEY (receipt_id)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE reservation (
            reservation_id UUID NOT NULL,
            order_id TEXT NOT NULL,
            warehouse_id TEXT NOT NULL,
            state SMALLINT NOT NULL,
            expires_at timestamptz,
            created_at timestamptz DEFAULT now() NOT NULL,
            ended_at timestamptz,
            CONSTRAINT reservation_pkey PRIMARY KEY (reservation_id),
            CONSTRAINT reservation_state CHECK (state IN (1, 2, 3)),
            CONSTRAINT reservation_ended CHECK (
                (state = 1) = (ended_at IS NULL))
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
    op.execute(
        """
        CREATE TABLE stock (
            warehouse_id TEXT NOT NULL,
            sku TEXT NOT NULL,
            received BIGINT NOT NULL,
            on_hand BIGINT NOT NULL,
            reserved BIGINT DEFAULT '0' NOT NULL,
            shipped BIGINT DEFAULT '0' NOT NULL,
            CONSTRAINT stock_pkey PRIMARY KEY (warehouse_id, sku),
            CONSTRAINT stock_on_hand CHECK (on_hand >= 0),
            CONSTRAINT stock_reserved CHECK (reserved >= 0),
            CONSTRAINT stock_shipped CHECK (shipped >= 0),
            CONSTRAINT stock_conserved CHECK (received = on_hand + reserved + shipped)
        )
        """
    )
    op.execute(
        """
        CREATE TABLE reservation_line (
            reservation_id UUID NOT NULL,
            sku TEXT NOT NULL,
            warehouse_id TEXT NOT NULL,
            quantity BIGINT NOT NULL,
            held BOOLEAN DEFAULT true NOT NULL,
            expires_at timestamptz,
            CONSTRAINT reservation_line_pkey PRIMARY KEY (reservation_id, sku),
            CONSTRAINT reservation_line_reservation_id_fkey FOREIGN KEY(reservation_id)
                REFERENCES reservation (reservation_id),
            CONSTRAINT reservation_line_stock_fkey FOREIGN KEY(warehouse_id, sku)
                REFERENCES stock (warehouse_id, sku),
            CONSTRAINT reservation_line_quantity CHECK (quantity > 0)
        )
        """
    )
    op.execute(
        """
        CREATE INDEX reservation_line_expiring ON reservation_line (warehouse_id, sku, expires_at)
        WHERE held AND expires_at IS NOT NULL
        """
    )
