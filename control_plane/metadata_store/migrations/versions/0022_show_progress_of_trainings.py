"""Show how far the epochs of trainings are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job", sa.Column("training", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("job", "training")
