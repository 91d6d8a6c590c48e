"""Creates the barrier and the tables of the shipping service.

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
        CREATE TABLE shipment (
            shipment_id UUID NOT NULL,
            order_id TEXT NOT NULL,
            warehouse_id TEXT NOT NULL,
            state SMALLINT NOT NULL,
            carrier TEXT NOT NULL,
            tracking_number TEXT NOT NULL,
            express BOOLEAN NOT NULL,
            recipient TEXT NOT NULL,
            address_lines TEXT[] NOT NULL,
            locality TEXT NOT NULL,
            postal_code TEXT NOT NULL,
            region_code TEXT NOT NULL,
            pickup_reference TEXT,
            created_at timestamptz DEFAULT now() NOT NULL,
            ended_at timestamptz,
            CONSTRAINT shipment_pkey PRIMARY KEY (shipment_id),
            CONSTRAINT shipment_tracking_number_key UNIQUE (tracking_number),
            CONSTRAINT shipment_region CHECK (region_code ~ '^[A-Z]{2}$'),
            CONSTRAINT shipment_state CHECK (
                (state = 1 AND ended_at IS NULL AND pickup_reference IS NULL)
                OR (state = 2 AND ended_at IS NOT NULL AND pickup_reference IS NULL)
                OR (state = 3 AND ended_at IS NOT NULL AND pickup_reference IS NOT NULL))
        )
        """
    )
    op.execute(
        """
        CREATE TABLE shipment_parcel (
            shipment_id UUID NOT NULL,
            position BIGINT NOT NULL,
            sku TEXT NOT NULL,
            quantity BIGINT NOT NULL,
            CONSTRAINT shipment_parcel_pkey PRIMARY KEY (shipment_id, position),
            CONSTRAINT shipment_parcel_shipment_id_fkey FOREIGN KEY(shipment_id)
                REFERENCES shipment (shipment_id),
            CONSTRAINT shipment_parcel_quantity CHECK (quantity > 0)
        )
        """
    )
