"""Keep what each dataset group has in the store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset_group", sa.Column("storage_usage", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("dataset_group", "storage_usage")
