"""Say which dataset group a job belongs to, so that the groups take turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as table:
        table.add_column(sa.Column("dataset_group_arn", sa.String(length=256), nullable=True))
        table.create_index("ix_job_dataset_group_arn", ["dataset_group_arn"])


def downgrade() -> None:
    with op.batch_alter_table("job") as table:
        table.drop_index("ix_job_dataset_group_arn")
        table.drop_column("dataset_group_arn")
