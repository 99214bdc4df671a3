"""Keep when the maintenance of each dataset group's storage is due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.metadata_store.columns import UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset_group", sa.Column("maintenance_due_at", UtcDateTime(), nullable=True))
    op.create_index("ix_dataset_group_maintenance_due_at", "dataset_group", ["maintenance_due_at"])


def downgrade() -> None:
    op.drop_index("ix_dataset_group_maintenance_due_at", "dataset_group")
    op.drop_column("dataset_group", "maintenance_due_at")
