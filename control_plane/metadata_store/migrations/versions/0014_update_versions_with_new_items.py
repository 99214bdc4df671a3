"""Update versions with new items: schedules of two tasks, and where a version's updated artifact is.

Solutions that exist are not updated by themselves.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ARN = sa.String(length=256)
_MOMENT = sa.DateTime(timezone=True)
_FLAG = "perform_incremental_update"
_TRAINING = "TRAINING"


def upgrade() -> None:
    for name in ("solution", "solution_version"):
        op.add_column(name, sa.Column(_FLAG, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("solution_version", sa.Column("updated_artifact_location", sa.String(length=320), nullable=True))
    op.add_column("solution_version", sa.Column("items_updated_at", _MOMENT, nullable=True))
    schedules = _take_schedules()
    table = _create_schedules(sa.Column("task", sa.String(length=16), nullable=False), key=("solution_arn", "task"))
    op.bulk_insert(table, [{**row, "task": _TRAINING} for row in schedules])


def downgrade() -> None:
    schedules = _take_schedules()
    table = _create_schedules(key=("solution_arn",))
    op.bulk_insert(table, [_without_task(row) for row in schedules if row["task"] == _TRAINING])
    for name in ("updated_artifact_location", "items_updated_at", _FLAG):
        op.drop_column("solution_version", name)
    op.drop_column("solution", _FLAG)
    # Jobs of this kind could not be leased any more.
    updates = "kind = 'SOLUTION_VERSION_UPDATE'"
    job, attempt = sa.table("job", sa.column("id")), sa.table("job_attempt", sa.column("job_id"))
    jobs = sa.select(job.c.id).where(sa.text(updates))
    op.execute(sa.delete(attempt).where(attempt.c.job_id.in_(jobs)))
    op.execute(sa.delete(job).where(sa.text(updates)))


def _take_schedules() -> list[dict[str, object]]:
    """Return all schedules, and drop their table: a primary key cannot be changed in every database."""
    connection = op.get_bind()
    table = sa.Table("schedule", sa.MetaData(), autoload_with=connection, resolve_fks=False)
    rows = [dict(row) for row in connection.execute(sa.select(table)).mappings()]
    op.drop_table("schedule")
    return rows


def _create_schedules(*columns: sa.Column[str], key: tuple[str, ...]) -> sa.Table:
    table = op.create_table(
        "schedule",
        sa.Column("account", sa.String(length=12), nullable=False),
        sa.Column("solution_arn", _ARN, nullable=False),
        *columns,
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("only_with_new_data", sa.Boolean(), nullable=False),
        sa.Column("begun_at", _MOMENT, nullable=False),
        sa.Column("last_run_at", _MOMENT, nullable=True),
        sa.Column("next_run_at", _MOMENT, nullable=False),
        sa.Column("postponed_by", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["solution_arn"], ["solution.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(*key),
    )
    op.create_index("ix_schedule_next_run_at", "schedule", ["next_run_at"])
    return table


def _without_task(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "task"}
