"""Find the last turn of a dataset group without looking at every attempt at its jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_job_dataset_group_arn", "job")
    op.add_column("job", sa.Column("leased_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_job_turn", "job", ["dataset_group_arn", "kind", "leased_at"])


def downgrade() -> None:
    op.drop_index("ix_job_turn", "job")
    op.drop_column("job", "leased_at")
    op.create_index("ix_job_dataset_group_arn", "job", ["dataset_group_arn"])
