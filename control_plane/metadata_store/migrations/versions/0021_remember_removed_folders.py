"""Remember folders of deleted resources until nobody writes to them any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.metadata_store.columns import UtcDateTime

revision = "0021"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "removed_folder",
        sa.Column("location", sa.String(512), primary_key=True),
        sa.Column("dataset_group_arn", sa.String(256), nullable=True),
        sa.Column("deleted_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_removed_folder_due_at", "removed_folder", ["due_at"])


def downgrade() -> None:
    op.drop_table("removed_folder")
