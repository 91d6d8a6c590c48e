"""Tenants: whose sagas, keys and audit entries these are. What is there belongs to the tenant without a name.

A concurrency key is now unique within its tenant. The old index, across all tenants, stands until 0005: until then a
key is held by one live saga of all tenants together, so that programs of before and after this revision agree.

None of it costs an installation without tenants more than a byte a saga: the indexes for lists leave its rows out.

Phase: expand.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Repeatable, because the indexes below are built outside of this transaction and may be what fails. A constant default
# is kept in the catalogue: no row is rewritten.
COLUMNS = (
    "ALTER TABLE saga ADD COLUMN IF NOT EXISTS tenant text NOT NULL DEFAULT ''",
    "ALTER TABLE operator_audit ADD COLUMN IF NOT EXISTS tenant text NOT NULL DEFAULT ''",
    "ALTER TABLE bulk ADD COLUMN IF NOT EXISTS tenants text[]",
    # OF tenant: no checkpoint names that column, so none pays for the trigger.
    """
    CREATE OR REPLACE TRIGGER saga_tenant_is_kept BEFORE UPDATE OF tenant ON saga FOR EACH ROW
        WHEN (NEW.tenant <> OLD.tenant)
        EXECUTE FUNCTION refuse_change('the tenant of a saga never changes')
    """,
)

INDEXES = {
    "saga_tenant_concurrency_live": """
        CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS saga_tenant_concurrency_live
            ON saga (tenant, concurrency_scope, concurrency_key)
            WHERE concurrency_key IS NOT NULL AND ended_at IS NULL
    """,
    "saga_tenant": "CREATE INDEX CONCURRENTLY IF NOT EXISTS saga_tenant ON saga (tenant, saga_id) WHERE tenant <> ''",
    "saga_tenant_undone": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS saga_tenant_undone ON saga (tenant, state, saga_id)
            WHERE tenant <> '' AND state IN (5, 7)
    """,
    "operator_audit_tenant": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS operator_audit_tenant
            ON operator_audit (tenant, audit_id) WHERE tenant <> ''
    """,
}


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    for statement in COLUMNS:
        op.execute(statement)
    with op.get_context().autocommit_block():
        for name, statement in INDEXES.items():
            # A build that failed leaves an index behind that is not valid, and guards nothing.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(statement)
