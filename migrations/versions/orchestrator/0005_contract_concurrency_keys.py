"""Takes the index away that made a concurrency key unique across all tenants.

Two tenants can hold the same key from here on. Apply it once no program of before 0004 runs: such a program would look
a key up without its tenant, and name the saga of another one.

Phase: contract.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS saga_concurrency_live")
