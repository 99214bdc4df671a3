"""Say which solutions tune their hyperparameters, and what was chosen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = ("solution", "solution_version")


def upgrade() -> None:
    for name in _TABLES:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("perform_hpo", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("solution_version") as table:
        table.add_column(sa.Column("tuned_hyper_parameters", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("solution_version") as table:
        table.drop_column("tuned_hyper_parameters")
    for name in _TABLES:
        with op.batch_alter_table(name) as table:
            table.drop_column("perform_hpo")
