"""Keep which imports publish the metrics of an attribution."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "dataset_import_job",
        sa.Column("publish_attribution_metrics", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("dataset_import_job", "publish_attribution_metrics")
