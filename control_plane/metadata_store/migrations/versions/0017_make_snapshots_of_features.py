"""Keep where the newest snapshot of each dataset's features is, and when the next is due.

Datasets that exist have none yet: for those with features the first is due at once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.metadata_store.columns import UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_WITH_FEATURES = ("ACTIONS", "ITEMS", "USERS")


def upgrade() -> None:
    op.add_column("dataset", sa.Column("features_location", sa.Text(), nullable=True))
    op.add_column("dataset", sa.Column("features_due_at", UtcDateTime(), nullable=True))
    op.create_index("ix_dataset_features_due_at", "dataset", ["features_due_at"])
    dataset = sa.table(
        "dataset",
        sa.column("dataset_type", sa.String()),
        sa.column("creation_date_time", UtcDateTime()),
        sa.column("features_due_at", UtcDateTime()),
    )
    op.execute(
        sa.update(dataset)
        .where(dataset.c.dataset_type.in_(_WITH_FEATURES))
        .values(features_due_at=dataset.c.creation_date_time)
    )


def downgrade() -> None:
    op.drop_index("ix_dataset_features_due_at", "dataset")
    op.drop_column("dataset", "features_due_at")
    op.drop_column("dataset", "features_location")
    # Jobs of this kind could not be leased any more.
    snapshots = "kind = 'FEATURE_SNAPSHOT'"
    job, attempt = sa.table("job", sa.column("id")), sa.table("job_attempt", sa.column("job_id"))
    jobs = sa.select(job.c.id).where(sa.text(snapshots))
    op.execute(sa.delete(attempt).where(attempt.c.job_id.in_(jobs)))
    op.execute(sa.delete(job).where(sa.text(snapshots)))
