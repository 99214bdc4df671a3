"""Train solutions by schedules, and choose recipes by AutoML. Solutions that exist are not trained by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ARN = sa.String(length=256)
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    with op.batch_alter_table("dataset") as table:
        table.add_column(sa.Column("rows_streamed_at", _MOMENT, nullable=True))
    with op.batch_alter_table("solution") as table:
        table.alter_column("recipe_arn", existing_type=_ARN, nullable=True)
        table.add_column(sa.Column("best_recipe_arn", _ARN, nullable=True))
        table.add_column(sa.Column("latest_update", sa.JSON(), nullable=True))
        for name in ("perform_auto_ml", "perform_auto_training"):
            table.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("solution_version") as table:
        table.alter_column("recipe_arn", existing_type=_ARN, nullable=True)
        table.add_column(sa.Column("perform_auto_ml", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("training_type", sa.String(length=16), nullable=False, server_default="MANUAL"))
    _drop_defaults()
    op.create_table(
        "schedule",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("solution_arn", _ARN, nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("only_with_new_data", sa.Boolean(), nullable=False),
        sa.Column("begun_at", _MOMENT, nullable=False),
        sa.Column("last_run_at", _MOMENT, nullable=True),
        sa.Column("next_run_at", _MOMENT, nullable=False),
        sa.Column("postponed_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["solution_arn"], ["solution.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("solution_arn"),
    )
    op.create_index("ix_schedule_next_run_at", "schedule", ["next_run_at"])
    op.create_table(
        "scheduler_lease",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=32), nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _drop_defaults() -> None:
    """Leave the defaults to the program, as those of all columns; rows that were there have theirs by now."""
    defaults = {
        "solution": ("perform_auto_ml", "perform_auto_training"),
        "solution_version": ("perform_auto_ml", "training_type"),
    }
    for name, columns in defaults.items():
        with op.batch_alter_table(name) as table:
            for column in columns:
                table.alter_column(column, server_default=None)


def downgrade() -> None:
    op.drop_table("scheduler_lease")
    op.drop_table("schedule")
    # What AutoML has not chosen a recipe for has no place in the tables before.
    op.execute("DELETE FROM solution_version WHERE recipe_arn IS NULL")
    op.execute("DELETE FROM solution WHERE recipe_arn IS NULL")
    with op.batch_alter_table("solution_version") as table:
        table.drop_column("training_type")
        table.drop_column("perform_auto_ml")
        table.alter_column("recipe_arn", existing_type=_ARN, nullable=False)
    with op.batch_alter_table("solution") as table:
        for name in ("perform_auto_training", "perform_auto_ml", "latest_update", "best_recipe_arn"):
            table.drop_column(name)
        table.alter_column("recipe_arn", existing_type=_ARN, nullable=False)
    with op.batch_alter_table("dataset") as table:
        table.drop_column("rows_streamed_at")
