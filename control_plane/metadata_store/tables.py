"""The tables of the metadata store: every resource, the job queue, and what runtimes and events services report.

Columns have Personalize's member names in snake_case wherever a caller sees them, so that rows are turned into
responses by name. Nothing outside of `metadata_store` writes SQL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.message import Message
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlmodel import Field, SQLModel

from common.arn import Arn
from control_plane.domain.states import Status
from control_plane.metadata_store.columns import MessageColumn
from protos.tailorbird.control.v1.batch_inference_job_pb2 import (
    BatchInferenceJobConfig,
    BatchInferenceJobInput,
    BatchInferenceJobOutput,
    ThemeGenerationConfig,
)
from protos.tailorbird.control.v1.batch_segment_job_pb2 import BatchSegmentJobInput, BatchSegmentJobOutput
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.control.v1.dataset_export_job_pb2 import DatasetExportJobOutput
from protos.tailorbird.control.v1.dataset_pb2 import DatasetUpdateSummary
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttributionOutput
from protos.tailorbird.control.v1.recommender_pb2 import RecommenderConfig
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.solution_pb2 import SolutionUpdateSummary
from protos.tailorbird.storage.v1.evaluation_pb2 import Evaluation

__all__ = [
    "HEARTBEAT_COLUMNS",
    "AnyResource",
    "AttributedMetric",
    "BatchInferenceJob",
    "BatchSegmentJob",
    "Campaign",
    "DataDeletionJob",
    "Dataset",
    "DatasetExportJob",
    "DatasetGroup",
    "DatasetImportJob",
    "DatasetSchema",
    "Deployment",
    "EventTracker",
    "EventsService",
    "Filter",
    "Job",
    "JobAttempt",
    "MetricAttribution",
    "Owned",
    "Recommender",
    "RuntimeWorker",
    "Schedule",
    "SchedulerLease",
    "ServingReport",
    "ServingRevision",
    "ServingTarget",
    "Solution",
    "SolutionVersion",
    "Tag",
    "UtcDateTime",
]

# Migrations drop constraints by their names, which databases would otherwise choose differently.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Times in UTC, read back with their time zone also where the database keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert to UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Add the time zone where the database keeps none."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _arn() -> Any:
    return Field(sa_column=Column(String(256), primary_key=True))


def _parent(target: str, *, cascade: bool = False) -> Any:
    """Declare the ARN of a parent; every table lists it first in one of its indexes."""
    rule = "CASCADE" if cascade else "RESTRICT"
    return Field(sa_column=Column(String(256), ForeignKey(target, ondelete=rule), nullable=False))


def _moment(*, nullable: bool = False, index: bool = False) -> Any:
    default: Any = None if nullable else ...
    return Field(default=default, sa_column=Column(UtcDateTime(), nullable=nullable, index=index))


def _account_in(column: str) -> Any:
    """Declare the account, which a new row gets from the ARN in another column."""

    def account(context: DefaultExecutionContext) -> str:
        parameters = context.current_parameters
        assert parameters is not None, "an insertion has some"
        return Arn.parse(parameters[column], field=column).account

    return Field(max_length=12, sa_column_kwargs={"default": account})


def list_indexes(table: str, *parents: str) -> tuple[Index, ...]:
    """Return the indexes that pages of an account are read from in order: of all resources, and of one parent's."""
    order = ("account", "creation_date_time", "arn")
    return (
        Index(f"ix_{table}_page", *order),
        *(Index(f"ix_{table}_{parent.removesuffix('_arn')}_page", parent, *order) for parent in parents),
    )


def _json(*, nullable: bool = False) -> Any:
    default: Any = None if nullable else ...
    return Field(default=default, sa_column=Column(JSON(none_as_null=True), nullable=nullable))


def _message(message_class: type[Message]) -> Any:
    return Field(default=None, sa_column=Column(MessageColumn(message_class), nullable=True))


def _flag() -> Any:
    return Field(default=False, sa_column=Column(Boolean(), nullable=False, server_default=false()))


def _text(*, nullable: bool = False) -> Any:
    default: Any = None if nullable else ...
    return Field(default=default, sa_column=Column(Text(), nullable=nullable))


class Owned(SQLModel):
    """The column that all rows of accounts have.

    Attributes:
        account: The account in the row's ARN, which need not be given.
    """

    account: str


class AnyResource(Owned):
    """The columns that all resources have."""

    # Columns may hold protobuf messages.
    model_config = {"arbitrary_types_allowed": True}

    arn: str
    account: str = _account_in("arn")
    creation_date_time: datetime
    last_updated_date_time: datetime


class DatasetGroup(AnyResource, table=True):
    """A container of datasets, solutions and a tracker."""

    __tablename__ = "dataset_group"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("dataset_group"))

    arn: str = _arn()
    name: str = Field(max_length=63)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    domain: str | None = Field(default=None, max_length=32)
    role_arn: str | None = Field(default=None, max_length=256)
    kms_key_arn: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class DatasetSchema(AnyResource, table=True):
    """An Avro schema; never changed."""

    __tablename__ = "dataset_schema"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("dataset_schema"))

    arn: str = _arn()
    name: str = Field(max_length=63)
    schema_text: str = _text()
    dataset_type: str = Field(max_length=32)
    domain: str | None = Field(default=None, max_length=32)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Dataset(AnyResource, table=True):
    """A dataset; its rows are in the store at `location`.

    Attributes:
        tracking_id: The id that action interactions are sent with; None for other types.
        latest_update: The latest change of its schema; None before the first.
        added_columns: Columns that changes of the schema have added, with the times (ISO 8601); None for none.
        deleted_revision: Serving revision from which on events services take no events for it; None before
            DeleteDataset, and again once they all know and its table may be removed.
        rows_streamed_at: When an events service last had rows for it, to within a minute; None before any.
    """

    __tablename__ = "dataset"
    __table_args__ = (
        Index("ix_dataset_schema_arn", "schema_arn", "account"),
        *list_indexes("dataset", "dataset_group_arn"),
    )

    arn: str = _arn()
    name: str = Field(max_length=63)
    dataset_group_arn: str = _parent("dataset_group.arn")
    schema_arn: str = _parent("dataset_schema.arn")
    dataset_type: str = Field(max_length=32)
    location: str = Field(max_length=256, unique=True)
    tracking_id: str | None = Field(default=None, max_length=36, unique=True)
    latest_update: DatasetUpdateSummary | None = _message(DatasetUpdateSummary)
    added_columns: dict[str, str] | None = _json(nullable=True)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)
    rows_streamed_at: datetime | None = _moment(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class DatasetImportJob(AnyResource, table=True):
    """One bulk import; deleted with its dataset."""

    __tablename__ = "dataset_import_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_dataset_import_job_status", "status", "account"),
        *list_indexes("dataset_import_job", "dataset_arn"),
    )

    arn: str = _arn()
    job_name: str = Field(max_length=63)
    dataset_arn: str = _parent("dataset.arn", cascade=True)
    data_location: str = _text()
    role_arn: str | None = Field(default=None, max_length=256)
    import_mode: str = Field(max_length=16)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    imported_rows: int | None = Field(default=None, sa_type=BigInteger)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Solution(AnyResource, table=True):
    """A recipe and a configuration by which models of a dataset group are trained.

    Attributes:
        of_recommender: Whether it is the hidden one below a recommender, whose ARN it has.
        recipe_arn: ARN of its recipe; None where AutoML chooses one for each version.
        best_recipe_arn: ARN of the recipe that AutoML chose last; None before.
        latest_update: The last UpdateSolution; None before the first.
    """

    __tablename__ = "solution"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("solution", "dataset_group_arn"))

    arn: str = _arn()
    name: str = Field(max_length=63)
    dataset_group_arn: str = _parent("dataset_group.arn")
    of_recommender: bool = _flag()
    recipe_arn: str | None = Field(default=None, max_length=256)
    best_recipe_arn: str | None = Field(default=None, max_length=256)
    event_type: str | None = Field(default=None, max_length=256)
    solution_config: SolutionConfig | None = _message(SolutionConfig)
    perform_hpo: bool = False
    perform_auto_ml: bool = False
    perform_auto_training: bool = False
    latest_update: SolutionUpdateSummary | None = _message(SolutionUpdateSummary)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class SolutionVersion(AnyResource, table=True):
    """One training of a solution and, when ACTIVE, its artifact.

    Attributes:
        of_recommender: Whether its solution is.
        recipe_arn: ARN of the recipe; None before AutoML has chosen it.
        training_type: AUTOMATIC when its schedule asked for it, MANUAL when a caller did.
        evaluation: The evaluation; None when there is none.
        verdict: A `domain.evaluations.Verdict`; None for versions that were compared with none before them.
        tuned_hyper_parameters: The hyperparameters that tuning chose, by name; None without tuning.
    """

    __tablename__ = "solution_version"
    __table_args__ = (
        Index("ix_solution_version_status", "status", "account"),
        Index("ix_solution_version_dataset_group_arn", "dataset_group_arn", "account", "status"),
        *list_indexes("solution_version", "solution_arn"),
    )

    arn: str = _arn()
    name: str = Field(max_length=80)
    solution_arn: str = _parent("solution.arn", cascade=True)
    dataset_group_arn: str = _parent("dataset_group.arn")
    of_recommender: bool = _flag()
    recipe_arn: str | None = Field(default=None, max_length=256)
    event_type: str | None = Field(default=None, max_length=256)
    solution_config: SolutionConfig | None = _message(SolutionConfig)
    perform_hpo: bool = False
    perform_auto_ml: bool = False
    training_mode: str = Field(max_length=16)
    training_type: str = Field(default="MANUAL", max_length=16)
    artifact_location: str = Field(max_length=256, unique=True)
    training_hours: float | None = None
    metrics: dict[str, float] | None = _json(nullable=True)
    evaluation: Evaluation | None = _message(Evaluation)
    verdict: str | None = Field(default=None, max_length=16)
    tuned_hyper_parameters: dict[str, str] | None = _json(nullable=True)
    artifact_bytes: int | None = Field(default=None, sa_type=BigInteger)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Schedule(Owned, table=True):
    """When a solution is trained next without being asked for; deleted with it.

    Attributes:
        interval_seconds: Time from the beginning of one training to the next.
        only_with_new_data: Leave out trainings, but for the first, for which there is nothing new to learn from.
        begun_at: When it was begun, or begun anew by another interval.
        last_run_at: When the last training began that it counts from; None before the first.
        next_run_at: When the next one is due, or is tried again.
        postponed_by: Name of the error that the next one was put off for; None when it was not.
    """

    __tablename__ = "schedule"
    __table_args__ = (Index("ix_schedule_next_run_at", "next_run_at"),)

    account: str = _account_in("solution_arn")
    solution_arn: str = Field(
        sa_column=Column(String(256), ForeignKey("solution.arn", ondelete="CASCADE"), primary_key=True)
    )
    interval_seconds: int
    only_with_new_data: bool = True
    begun_at: datetime = _moment()
    last_run_at: datetime | None = _moment(nullable=True)
    next_run_at: datetime = _moment()
    postponed_by: str | None = Field(default=None, max_length=64)


class SchedulerLease(SQLModel, table=True):
    """The one row that says which control plane runs the schedules, until when."""

    __tablename__ = "scheduler_lease"

    id: int = Field(default=1, primary_key=True)
    owner: str = Field(max_length=32)
    expires_at: datetime = _moment()


class ServingTarget(AnyResource):
    """The columns of what runtimes serve.

    Attributes:
        solution_arn: The solution whose versions it serves.
        serving_id: Id of the deployment that answers requests; None until the first is ACTIVE.
        deleted_revision: Serving revision from which on it is not served; None while it is.
    """

    name: str
    solution_arn: str
    status: str
    failure_reason: str | None
    serving_id: str | None
    deleted_revision: int | None


class Campaign(ServingTarget, table=True):
    """A campaign, which serves a version of its solution."""

    __tablename__ = "campaign"
    __table_args__ = (
        UniqueConstraint("account", "name"),
        Index("ix_campaign_status", "status", "account"),
        *list_indexes("campaign", "solution_arn"),
    )

    arn: str = _arn()
    name: str = Field(max_length=63)
    solution_arn: str = _parent("solution.arn")
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    serving_id: str | None = Field(default=None, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Recommender(ServingTarget, table=True):
    """A recommender: a use case of a domain, trained and served.

    Attributes:
        solution_arn: The hidden solution of its trainings, which has the same ARN.
    """

    __tablename__ = "recommender"
    __table_args__ = (
        UniqueConstraint("account", "name"),
        Index("ix_recommender_solution_arn", "solution_arn", "account"),
        Index("ix_recommender_status", "status", "account"),
        *list_indexes("recommender", "dataset_group_arn"),
    )

    arn: str = _arn()
    name: str = Field(max_length=63)
    dataset_group_arn: str = _parent("dataset_group.arn")
    solution_arn: str = _parent("solution.arn")
    recipe_arn: str = Field(max_length=256)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    serving_id: str | None = Field(default=None, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Deployment(SQLModel, table=True):
    """One configuration of a campaign or recommender: number 1 is its creation, each update adds one.

    Attributes:
        target_arn: The campaign or recommender, which is not removed before its deployments.
        solution_version_arn: The version. Recommenders' deployments are made before it is trained, and wait for it.
        recommender_config: The configuration of a recommender; None for campaigns, which have `campaign_config`.
        refused: Whether it only records a version that the target refused, and was never assigned to runtimes.
    """

    __tablename__ = "deployment"
    model_config = {"arbitrary_types_allowed": True}
    __table_args__ = (
        Index("ix_deployment_number", "target_arn", "number"),
        Index("ix_deployment_version", "solution_version_arn", "creation_date_time"),
    )

    id: str = Field(primary_key=True, max_length=32)
    target_arn: str = Field(max_length=256)
    number: int
    solution_version_arn: str = _parent("solution_version.arn")
    min_provisioned_tps: int
    campaign_config: CampaignConfig | None = _message(CampaignConfig)
    recommender_config: RecommenderConfig | None = _message(RecommenderConfig)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32, index=True)
    failure_reason: str | None = _text(nullable=True)
    refused: bool = False
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class EventTracker(AnyResource, table=True):
    """An event tracker: the tracking id that events of a dataset group are sent with.

    Attributes:
        deleted_revision: Serving revision from which on events services take no events with its tracking id; None
            before DeleteEventTracker.
    """

    __tablename__ = "event_tracker"
    __table_args__ = list_indexes("event_tracker")

    arn: str = _arn()
    name: str = Field(max_length=63)
    dataset_group_arn: str = Field(
        sa_column=Column(String(256), ForeignKey("dataset_group.arn", ondelete="RESTRICT"), unique=True, nullable=False)
    )
    tracking_id: str = Field(max_length=36, unique=True)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Filter(AnyResource, table=True):
    """A filter expression that fits the datasets of its group.

    Attributes:
        fields: The fields that it reads, e.g. `Items.GENRES`.
    """

    __tablename__ = "filter"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("filter", "dataset_group_arn"))

    arn: str = _arn()
    name: str = Field(max_length=63)
    dataset_group_arn: str = _parent("dataset_group.arn")
    filter_expression: str = _text()
    fields: list[str] = _json()
    status: str = Field(default=Status.ACTIVE, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class MetricAttribution(AnyResource, table=True):
    """What is counted of the events of a dataset group, and where the counts are written."""

    __tablename__ = "metric_attribution"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("metric_attribution", "dataset_group_arn"))

    arn: str = _arn()
    name: str = Field(max_length=63)
    dataset_group_arn: str = _parent("dataset_group.arn")
    metrics_output_config: MetricAttributionOutput | None = _message(MetricAttributionOutput)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class AttributedMetric(SQLModel, table=True):
    """One metric of a metric attribution."""

    __tablename__ = "attributed_metric"

    metric_attribution_arn: str = Field(
        sa_column=Column(String(256), ForeignKey("metric_attribution.arn", ondelete="CASCADE"), primary_key=True)
    )
    metric_name: str = Field(primary_key=True, max_length=256)
    event_type: str = Field(max_length=256)
    expression: str = Field(max_length=256)


class DatasetExportJob(AnyResource, table=True):
    """One export of a dataset to files; deleted with its dataset."""

    __tablename__ = "dataset_export_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_dataset_export_job_status", "status", "account"),
        *list_indexes("dataset_export_job", "dataset_arn"),
    )

    arn: str = _arn()
    job_name: str = Field(max_length=63)
    dataset_arn: str = _parent("dataset.arn", cascade=True)
    ingestion_mode: str = Field(max_length=16)
    role_arn: str | None = Field(default=None, max_length=256)
    job_output: DatasetExportJobOutput | None = _message(DatasetExportJobOutput)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class DataDeletionJob(AnyResource, table=True):
    """One deletion of all data of some users; deleted with its dataset group.

    Attributes:
        num_deleted: Records that were deleted; None until it has ended.
    """

    __tablename__ = "data_deletion_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        *list_indexes("data_deletion_job", "dataset_group_arn"),
    )

    arn: str = _arn()
    job_name: str = Field(max_length=63)
    dataset_group_arn: str = _parent("dataset_group.arn", cascade=True)
    data_location: str = _text()
    role_arn: str | None = Field(default=None, max_length=256)
    num_deleted: int | None = None
    status: str = Field(default=Status.PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class BatchInferenceJob(AnyResource, table=True):
    """Recommendations for many users or items, from a file to a file; deleted with its solution."""

    __tablename__ = "batch_inference_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_batch_inference_job_status", "status", "account"),
        Index("ix_batch_inference_job_filter", "filter_arn", "status"),
        *list_indexes("batch_inference_job", "solution_version_arn"),
    )

    arn: str = _arn()
    job_name: str = Field(max_length=63)
    solution_version_arn: str = _parent("solution_version.arn", cascade=True)
    filter_arn: str | None = Field(default=None, max_length=256)
    num_results: int
    job_input: BatchInferenceJobInput | None = _message(BatchInferenceJobInput)
    job_output: BatchInferenceJobOutput | None = _message(BatchInferenceJobOutput)
    batch_inference_job_config: BatchInferenceJobConfig | None = _message(BatchInferenceJobConfig)
    batch_inference_job_mode: str = Field(max_length=32)
    theme_generation_config: ThemeGenerationConfig | None = _message(ThemeGenerationConfig)
    role_arn: str | None = Field(default=None, max_length=256)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class BatchSegmentJob(AnyResource, table=True):
    """Users for many items or attributes, from a file to a file; deleted with its solution."""

    __tablename__ = "batch_segment_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_batch_segment_job_status", "status", "account"),
        Index("ix_batch_segment_job_filter", "filter_arn", "status"),
        *list_indexes("batch_segment_job", "solution_version_arn"),
    )

    arn: str = _arn()
    job_name: str = Field(max_length=63)
    solution_version_arn: str = _parent("solution_version.arn", cascade=True)
    filter_arn: str | None = Field(default=None, max_length=256)
    num_results: int
    job_input: BatchSegmentJobInput | None = _message(BatchSegmentJobInput)
    job_output: BatchSegmentJobOutput | None = _message(BatchSegmentJobOutput)
    role_arn: str | None = Field(default=None, max_length=256)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = _text(nullable=True)
    creation_date_time: datetime = _moment()
    last_updated_date_time: datetime = _moment()


class Tag(Owned, table=True):
    """One tag of one resource."""

    __tablename__ = "tag"

    account: str = _account_in("resource_arn")
    resource_arn: str = Field(primary_key=True, max_length=256)
    tag_key: str = Field(primary_key=True, max_length=128)
    tag_value: str = Field(max_length=256)


class Job(SQLModel, table=True):
    """One job of the queue.

    Attributes:
        kind: A `domain.jobs.JobKind`.
        state: A `domain.jobs.JobState`.
        subject: ARN of the resource that the job is for.
        dataset_group_arn: The group that it belongs to; None for jobs from before groups took turns.
        payload: What is to be done, keyed like the contract's message; empty once the job is finished.
        attempt: Number of the attempt that runs or ran last; 0 before the first.
        available_at: The job is not leased before.
        leased_at: Beginning of the attempt that runs or ran last.
        lease_expires_at: When the lease of the running attempt expires; None when none runs.
    """

    __tablename__ = "job"
    # Finds the last turn of each dataset group.
    __table_args__ = (Index("ix_job_turn", "dataset_group_arn", "kind", "leased_at"),)

    id: str = Field(primary_key=True, max_length=32)
    kind: str = Field(max_length=40)
    state: str = Field(max_length=16, index=True)
    subject: str = Field(max_length=256, index=True)
    dataset_group_arn: str | None = Field(default=None, max_length=256)
    request_id: str = Field(max_length=128)
    payload: dict[str, Any] = _json()
    attempt: int = 0
    available_at: datetime = _moment()
    leased_at: datetime | None = _moment(nullable=True)
    lease_expires_at: datetime | None = _moment(nullable=True)
    progress: float = 0.0
    activity: str | None = _text(nullable=True)
    stop_requested: bool = False
    created_at: datetime = _moment()
    finished_at: datetime | None = _moment(nullable=True, index=True)


class JobAttempt(SQLModel, table=True):
    """One attempt at a job, under one lease.

    Attributes:
        outcome: A `domain.jobs.Outcome`.
        last_sign_at: When the worker last sent a heartbeat.
    """

    __tablename__ = "job_attempt"

    lease_token: str = Field(primary_key=True, max_length=64)
    job_id: str = Field(
        sa_column=Column(String(32), ForeignKey("job.id", ondelete="CASCADE"), index=True, nullable=False)
    )
    number: int
    worker_id: str = Field(max_length=256)
    outcome: str = Field(max_length=16)
    reason: str | None = _text(nullable=True)
    started_at: datetime = _moment()
    last_sign_at: datetime = _moment()


class RuntimeWorker(SQLModel, table=True):
    """A runtime worker process that has called.

    Attributes:
        known_revision: Revision of the assignments that it has by its last call; None for none.
    """

    __tablename__ = "runtime_worker"

    runtime_id: str = Field(primary_key=True, max_length=256)
    last_seen_at: datetime = _moment(index=True)
    known_revision: int | None = Field(default=None, sa_type=BigInteger)


class ServingReport(SQLModel, table=True):
    """How far one worker is with one deployment.

    Attributes:
        phase: A `serving.reconciler.Phase`.
    """

    __tablename__ = "serving_report"

    runtime_id: str = Field(
        sa_column=Column(String(256), ForeignKey("runtime_worker.runtime_id", ondelete="CASCADE"), primary_key=True)
    )
    deployment_id: str = Field(primary_key=True, max_length=32, index=True)
    phase: str = Field(max_length=16)
    failure_reason: str | None = _text(nullable=True)


class EventsService(SQLModel, table=True):
    """An events service that has called.

    Attributes:
        in_use_revision: Revision of the oldest set of trackers that its running calls use; None before it had one.
    """

    __tablename__ = "events_service"

    service_id: str = Field(primary_key=True, max_length=256)
    last_seen_at: datetime = _moment(index=True)
    in_use_revision: int | None = Field(default=None, sa_type=BigInteger)


class ServingRevision(SQLModel, table=True):
    """The one row with the revision of the assignments and trackers that runtimes and events services watch."""

    __tablename__ = "serving_revision"

    id: int = Field(default=1, primary_key=True)
    revision: int = Field(sa_type=BigInteger)


#: Columns that heartbeats change; no waiting call is interested in them.
HEARTBEAT_COLUMNS: Final[Mapping[type[SQLModel], frozenset[str]]] = {
    Dataset: frozenset({"rows_streamed_at"}),
    EventsService: frozenset({"last_seen_at"}),
    Job: frozenset({"lease_expires_at", "progress", "activity"}),
    JobAttempt: frozenset({"last_sign_at"}),
    RuntimeWorker: frozenset({"last_seen_at"}),
    Schedule: frozenset({"last_run_at", "next_run_at", "postponed_by"}),
    SchedulerLease: frozenset({"owner", "expires_at"}),
}
