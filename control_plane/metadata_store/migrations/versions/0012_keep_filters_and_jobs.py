"""Keep filters, metric attributions, jobs on data and batch jobs, and changes of the schemas of datasets."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

from control_plane.metadata_store.columns import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = (
    "batch_segment_job", "batch_inference_job", "data_deletion_job", "dataset_export_job", "attributed_metric",
    "metric_attribution", "filter",
)  # fmt: skip
#: The kinds of jobs that come with them.
_KINDS = ("DATASET_EXPORT", "DATA_DELETION", "BATCH_INFERENCE", "BATCH_SEGMENT")


def upgrade() -> None:
    op.add_column("dataset", sa.Column("latest_update", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("dataset", sa.Column("added_columns", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("dataset", sa.Column("tracking_id", sa.String(36), nullable=True))
    _give_tracking_ids()
    with op.batch_alter_table("dataset") as batch:
        batch.create_unique_constraint("uq_dataset_tracking_id", ["tracking_id"])
    _create(
        "filter",
        "name",
        ("dataset_group", "RESTRICT"),
        sa.Column("filter_expression", sa.Text(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
    )
    _create("metric_attribution", "name", ("dataset_group", "RESTRICT"), _message("metrics_output_config"))
    op.create_table(
        "attributed_metric",
        sa.Column(
            "metric_attribution_arn",
            sa.String(256),
            sa.ForeignKey("metric_attribution.arn", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("metric_name", sa.String(256), primary_key=True),
        sa.Column("event_type", sa.String(256), nullable=False),
        sa.Column("expression", sa.String(256), nullable=False),
    )
    _create(
        "dataset_export_job",
        "job_name",
        ("dataset", "CASCADE"),
        sa.Column("ingestion_mode", sa.String(16), nullable=False),
        sa.Column("role_arn", sa.String(256), nullable=True),
        _message("job_output"),
    )
    _create(
        "data_deletion_job",
        "job_name",
        ("dataset_group", "CASCADE"),
        sa.Column("data_location", sa.Text(), nullable=False),
        sa.Column("role_arn", sa.String(256), nullable=True),
        sa.Column("num_deleted", sa.Integer(), nullable=True),
    )
    for kind in ("inference", "segment"):
        more = (
            (
                _message("batch_inference_job_config"),
                sa.Column("batch_inference_job_mode", sa.String(32), nullable=False),
                _message("theme_generation_config"),
            )
            if kind == "inference"
            else ()
        )
        _create(
            f"batch_{kind}_job",
            "job_name",
            ("solution_version", "CASCADE"),
            sa.Column("filter_arn", sa.String(256), nullable=True),
            sa.Column("num_results", sa.Integer(), nullable=False),
            _message("job_input"),
            _message("job_output"),
            sa.Column("role_arn", sa.String(256), nullable=True),
            *more,
        )
        op.create_index(f"ix_batch_{kind}_job_filter", f"batch_{kind}_job", ["filter_arn", "status"])
    for table in ("dataset_export_job", "batch_inference_job", "batch_segment_job"):
        op.create_index(f"ix_{table}_status", table, ["status", "account"])


def downgrade() -> None:
    _forget_jobs()
    for table in _TABLES:
        if table != "attributed_metric":
            _forget_tags(table)
        op.drop_table(table)
    with op.batch_alter_table("dataset") as batch:
        batch.drop_constraint("uq_dataset_tracking_id", type_="unique")
        for column in ("tracking_id", "added_columns", "latest_update"):
            batch.drop_column(column)


def _forget_jobs() -> None:
    """Remove jobs that would be left without resources: they could not be leased, also after another upgrade."""
    job, attempt = sa.table("job", sa.column("id"), sa.column("kind")), sa.table("job_attempt", sa.column("job_id"))
    jobs = sa.select(job.c.id).where(job.c.kind.in_(_KINDS))
    op.execute(sa.delete(attempt).where(attempt.c.job_id.in_(jobs)))
    op.execute(sa.delete(job).where(job.c.kind.in_(_KINDS)))


def _forget_tags(name: str) -> None:
    table, tag = sa.table(name, sa.column("arn")), sa.table("tag", sa.column("resource_arn"))
    op.execute(sa.delete(tag).where(tag.c.resource_arn.in_(sa.select(table.c.arn))))


def _give_tracking_ids() -> None:
    """Give each dataset of action interactions the tracking id that it would have got when it was created."""
    datasets = sa.table("dataset", sa.column("arn"), sa.column("dataset_type"), sa.column("tracking_id"))
    connection = op.get_bind()
    chosen = datasets.c.dataset_type == "ACTION_INTERACTIONS"
    for arn in connection.scalars(sa.select(datasets.c.arn).where(chosen)).all():
        connection.execute(sa.update(datasets).where(datasets.c.arn == arn).values(tracking_id=str(uuid.uuid4())))


def _create(table: str, name: str, parent: tuple[str, str], *columns: sa.Column[object]) -> None:
    """Create the table of a kind of resource with the indexes of its lists."""
    parent_table, rule = parent
    parent_arn = f"{parent_table}_arn"
    op.create_table(
        table,
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("arn", sa.String(256), primary_key=True),
        sa.Column(name, sa.String(63), nullable=False),
        sa.Column(parent_arn, sa.String(256), sa.ForeignKey(f"{parent_table}.arn", ondelete=rule), nullable=False),
        *columns,
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("creation_date_time", UtcDateTime(), nullable=False),
        sa.Column("last_updated_date_time", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("account", name, name=f"uq_{table}_account_{name}"),
    )
    order = ["account", "creation_date_time", "arn"]
    op.create_index(f"ix_{table}_page", table, order)
    op.create_index(f"ix_{table}_{parent_table}_page", table, [parent_arn, *order])


def _message(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=True)
