"""Create the catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


_TABLES = (
    "dataset_group",
    "dataset_schema",
    "job",
    "runtime_worker",
    "serving_revision",
    "tag",
    "dataset",
    "event_tracker",
    "job_attempt",
    "serving_report",
    "solution",
    "campaign",
    "dataset_import_job",
    "solution_version",
    "deployment",
)


def upgrade() -> None:
    _create_dataset_group()
    _create_dataset_schema()
    _create_job()
    _create_runtime_worker()
    _create_serving_revision()
    _create_tag()
    _create_dataset()
    _create_event_tracker()
    _create_job_attempt()
    _create_serving_report()
    _create_solution()
    _create_campaign()
    _create_dataset_import_job()
    _create_solution_version()
    _create_deployment()


def downgrade() -> None:
    for name in reversed(_TABLES):
        op.drop_table(name)


def _create_dataset_group() -> None:
    op.create_table(
        "dataset_group",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("domain", sa.String(length=32), nullable=True),
        sa.Column("role_arn", sa.String(length=256), nullable=True),
        sa.Column("kms_key_arn", sa.Text(), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("name"),
    )
    op.create_index(op.f("ix_dataset_group_creation_date_time"), "dataset_group", ["creation_date_time"])


def _create_dataset_schema() -> None:
    op.create_table(
        "dataset_schema",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("schema_text", sa.Text(), nullable=False),
        sa.Column("dataset_type", sa.String(length=32), nullable=False),
        sa.Column("domain", sa.String(length=32), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("name"),
    )
    op.create_index(op.f("ix_dataset_schema_creation_date_time"), "dataset_schema", ["creation_date_time"])


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("activity", sa.Text(), nullable=True),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_job_state"), "job", ["state"])
    op.create_index(op.f("ix_job_subject"), "job", ["subject"])


def _create_runtime_worker() -> None:
    op.create_table(
        "runtime_worker",
        sa.Column("runtime_id", sa.String(length=256), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("known_revision", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("runtime_id"),
    )
    op.create_index(op.f("ix_runtime_worker_last_seen_at"), "runtime_worker", ["last_seen_at"])


def _create_serving_revision() -> None:
    op.create_table(
        "serving_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_tag() -> None:
    op.create_table(
        "tag",
        sa.Column("resource_arn", sa.String(length=256), nullable=False),
        sa.Column("tag_key", sa.String(length=128), nullable=False),
        sa.Column("tag_value", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("resource_arn", "tag_key"),
    )


def _create_dataset() -> None:
    op.create_table(
        "dataset",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("dataset_group_arn", sa.String(length=256), nullable=False),
        sa.Column("schema_arn", sa.String(length=256), nullable=False),
        sa.Column("dataset_type", sa.String(length=32), nullable=False),
        sa.Column("location", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_group_arn"], ["dataset_group.arn"], ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["schema_arn"], ["dataset_schema.arn"], ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("location"),
    )
    op.create_index(op.f("ix_dataset_creation_date_time"), "dataset", ["creation_date_time"])
    op.create_index(op.f("ix_dataset_dataset_group_arn"), "dataset", ["dataset_group_arn"])
    op.create_index(op.f("ix_dataset_schema_arn"), "dataset", ["schema_arn"])


def _create_event_tracker() -> None:
    op.create_table(
        "event_tracker",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("dataset_group_arn", sa.String(length=256), nullable=False),
        sa.Column("tracking_id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_group_arn"], ["dataset_group.arn"], ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("dataset_group_arn"),
        sa.UniqueConstraint("name"),
        sa.UniqueConstraint("tracking_id"),
    )
    op.create_index(op.f("ix_event_tracker_creation_date_time"), "event_tracker", ["creation_date_time"])


def _create_job_attempt() -> None:
    op.create_table(
        "job_attempt",
        sa.Column("lease_token", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=256), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_sign_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("lease_token"),
    )
    op.create_index(op.f("ix_job_attempt_job_id"), "job_attempt", ["job_id"])


def _create_serving_report() -> None:
    op.create_table(
        "serving_report",
        sa.Column("runtime_id", sa.String(length=256), nullable=False),
        sa.Column("deployment_id", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["runtime_id"], ["runtime_worker.runtime_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("runtime_id", "deployment_id"),
    )
    op.create_index(op.f("ix_serving_report_deployment_id"), "serving_report", ["deployment_id"])


def _create_solution() -> None:
    op.create_table(
        "solution",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("dataset_group_arn", sa.String(length=256), nullable=False),
        sa.Column("recipe_arn", sa.String(length=256), nullable=False),
        sa.Column("event_type", sa.String(length=256), nullable=True),
        sa.Column("solution_config", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_group_arn"], ["dataset_group.arn"], ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("name"),
    )
    op.create_index(op.f("ix_solution_creation_date_time"), "solution", ["creation_date_time"])
    op.create_index(op.f("ix_solution_dataset_group_arn"), "solution", ["dataset_group_arn"])


def _create_campaign() -> None:
    op.create_table(
        "campaign",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("solution_arn", sa.String(length=256), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("serving_id", sa.String(length=32), nullable=True),
        sa.Column("deleted_revision", sa.BigInteger(), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["solution_arn"], ["solution.arn"], ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("name"),
    )
    op.create_index(op.f("ix_campaign_creation_date_time"), "campaign", ["creation_date_time"])
    op.create_index(op.f("ix_campaign_solution_arn"), "campaign", ["solution_arn"])
    op.create_index(op.f("ix_campaign_status"), "campaign", ["status"])


def _create_dataset_import_job() -> None:
    op.create_table(
        "dataset_import_job",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("job_name", sa.String(length=63), nullable=False),
        sa.Column("dataset_arn", sa.String(length=256), nullable=False),
        sa.Column("data_location", sa.Text(), nullable=False),
        sa.Column("role_arn", sa.String(length=256), nullable=True),
        sa.Column("import_mode", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("imported_rows", sa.BigInteger(), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_arn"], ["dataset.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("job_name"),
    )
    op.create_index(op.f("ix_dataset_import_job_creation_date_time"), "dataset_import_job", ["creation_date_time"])
    op.create_index(op.f("ix_dataset_import_job_dataset_arn"), "dataset_import_job", ["dataset_arn"])
    op.create_index(op.f("ix_dataset_import_job_status"), "dataset_import_job", ["status"])


def _create_solution_version() -> None:
    op.create_table(
        "solution_version",
        sa.Column("arn", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("solution_arn", sa.String(length=256), nullable=False),
        sa.Column("dataset_group_arn", sa.String(length=256), nullable=False),
        sa.Column("recipe_arn", sa.String(length=256), nullable=False),
        sa.Column("event_type", sa.String(length=256), nullable=True),
        sa.Column("solution_config", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("training_mode", sa.String(length=16), nullable=False),
        sa.Column("artifact_location", sa.String(length=256), nullable=False),
        sa.Column("training_hours", sa.Float(), nullable=True),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("artifact_bytes", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dataset_group_arn"], ["dataset_group.arn"], ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(["solution_arn"], ["solution.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("artifact_location"),
    )
    op.create_index(op.f("ix_solution_version_creation_date_time"), "solution_version", ["creation_date_time"])
    op.create_index(op.f("ix_solution_version_dataset_group_arn"), "solution_version", ["dataset_group_arn"])
    op.create_index(op.f("ix_solution_version_solution_arn"), "solution_version", ["solution_arn"])
    op.create_index(op.f("ix_solution_version_status"), "solution_version", ["status"])


def _create_deployment() -> None:
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("campaign_arn", sa.String(length=256), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("solution_version_arn", sa.String(length=256), nullable=False),
        sa.Column("min_provisioned_tps", sa.Integer(), nullable=False),
        sa.Column("campaign_config", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("creation_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_updated_date_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["campaign_arn"], ["campaign.arn"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["solution_version_arn"], ["solution_version.arn"], ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_deployment_campaign_arn"), "deployment", ["campaign_arn"])
    op.create_index(op.f("ix_deployment_solution_version_arn"), "deployment", ["solution_version_arn"])
    op.create_index(op.f("ix_deployment_status"), "deployment", ["status"])
