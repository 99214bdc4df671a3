"""Let updates of recommenders take up columns that their datasets got since they were created."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from control_plane.metadata_store.columns import UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_TABLES = ("solution", "solution_version")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("columns_chosen_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "columns_chosen_at")
