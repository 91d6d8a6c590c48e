"""How operators find sagas: the stuck, those that ended otherwise than well, and what ended lately.

None of them costs a saga that is completed anything but the summary of its page.

Phase: expand.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS saga_stuck ON saga (definition_id, saga_id) WHERE state = 6",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS saga_undone ON saga (state, saga_id) WHERE state IN (5, 7)",
    # Partial, or it would be taken for the way to live sagas.
    """
    CREATE INDEX CONCURRENTLY IF NOT EXISTS saga_ended_lately ON saga USING brin (ended_at)
        WITH (pages_per_range = 16, autosummarize = on) WHERE ended_at IS NOT NULL
    """,
)


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    with op.get_context().autocommit_block():
        for statement in STATEMENTS:
            op.execute(statement)
