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
    # Solutions keep the recipe that AutoML has chosen. What it has chosen none for has no place in the tables before;
    # nothing is based on that.
    op.execute("UPDATE solution SET recipe_arn = best_recipe_arn WHERE recipe_arn IS NULL")
    _forget_without_recipe("solution_version")
    _forget_without_recipe("solution")
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


def _forget_without_recipe(name: str) -> None:
    """Remove the rows of a table that have no recipe, with their tags and jobs, which could not be leased."""
    table = sa.table(name, sa.column("arn"), sa.column("recipe_arn"))
    job, attempt = sa.table("job", sa.column("id"), sa.column("subject")), sa.table("job_attempt", sa.column("job_id"))
    tag = sa.table("tag", sa.column("resource_arn"))
    unknown = sa.select(table.c.arn).where(table.c.recipe_arn.is_(None))
    jobs = sa.select(job.c.id).where(job.c.subject.in_(unknown))
    op.execute(sa.delete(attempt).where(attempt.c.job_id.in_(jobs)))
    op.execute(sa.delete(job).where(job.c.subject.in_(unknown)))
    op.execute(sa.delete(tag).where(tag.c.resource_arn.in_(unknown)))
    op.execute(sa.delete(table).where(table.c.recipe_arn.is_(None)))
