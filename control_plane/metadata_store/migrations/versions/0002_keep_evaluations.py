"""Keep what was measured of solution versions, and which campaigns refused them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("solution_version") as table:
        table.add_column(sa.Column("evaluation", sa.JSON(none_as_null=True), nullable=True))
        table.add_column(sa.Column("verdict", sa.String(length=16), nullable=True))
    with op.batch_alter_table("deployment") as table:
        table.add_column(sa.Column("refused", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("deployment") as table:
        table.drop_column("refused")
    with op.batch_alter_table("solution_version") as table:
        table.drop_column("verdict")
        table.drop_column("evaluation")
