"""Let deletions of datasets and event trackers wait for events services."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = ("dataset", "event_tracker")


def upgrade() -> None:
    for name in _TABLES:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("deleted_revision", sa.BigInteger(), nullable=True))
    op.create_table(
        "events_service",
        sa.Column("service_id", sa.String(length=256), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("in_use_revision", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("service_id"),
    )
    op.create_index("ix_events_service_last_seen_at", "events_service", ["last_seen_at"])


def downgrade() -> None:
    op.drop_table("events_service")
    for name in _TABLES:
        with op.batch_alter_table(name) as table:
            table.drop_column("deleted_revision")
