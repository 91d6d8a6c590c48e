"""${message}.

Phase: expand (safe under the program that runs now) or contract (only after no old program runs). Pick one.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Forward only: there is no downgrade."""
    ${upgrades if upgrades else "raise NotImplementedError"}
