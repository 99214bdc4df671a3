"""Keep searches for users in everything that is kept of a dataset group."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.metadata_store.columns import UtcDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_search",
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("arn", sa.String(256), primary_key=True),
        sa.Column(
            "dataset_group_arn", sa.String(256), sa.ForeignKey("dataset_group.arn", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("creation_date_time", UtcDateTime(), nullable=False),
        sa.Column("last_updated_date_time", UtcDateTime(), nullable=False),
    )
    order = ["account", "creation_date_time", "arn"]
    op.create_index("ix_user_search_page", "user_search", order)
    op.create_index("ix_user_search_dataset_group_page", "user_search", ["dataset_group_arn", *order])


def downgrade() -> None:
    # Their jobs could not be leased, also after another upgrade.
    job, attempt = sa.table("job", sa.column("id"), sa.column("kind")), sa.table("job_attempt", sa.column("job_id"))
    jobs = sa.select(job.c.id).where(job.c.kind == "USER_SEARCH")
    op.execute(sa.delete(attempt).where(attempt.c.job_id.in_(jobs)))
    op.execute(sa.delete(job).where(job.c.kind == "USER_SEARCH"))
    op.drop_table("user_search")
