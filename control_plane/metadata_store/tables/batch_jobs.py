"""The tables of batch inference and batch segment jobs."""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import (
    AnyResource,
    list_indexes,
    message_column,
    parent_column,
    text_column,
)
from protos.tailorbird.control.v1.batch_inference_job_pb2 import (
    BatchInferenceJobConfig,
    BatchInferenceJobInput,
    BatchInferenceJobOutput,
    ThemeGenerationConfig,
)
from protos.tailorbird.control.v1.batch_segment_job_pb2 import BatchSegmentJobInput, BatchSegmentJobOutput

__all__ = ["BatchInferenceJob", "BatchSegmentJob"]


class BatchInferenceJob(AnyResource, table=True):
    """Recommendations for many users or items, from a file to a file; deleted with its solution."""

    __tablename__ = "batch_inference_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_batch_inference_job_status", "status", "account"),
        Index("ix_batch_inference_job_filter", "filter_arn", "status"),
        *list_indexes("batch_inference_job", "solution_version_arn"),
    )

    job_name: str = Field(max_length=63)
    solution_version_arn: str = parent_column("solution_version.arn", cascade=True)
    filter_arn: str | None = Field(default=None, max_length=256)
    num_results: int
    job_input: BatchInferenceJobInput | None = message_column(BatchInferenceJobInput)
    job_output: BatchInferenceJobOutput | None = message_column(BatchInferenceJobOutput)
    batch_inference_job_config: BatchInferenceJobConfig | None = message_column(BatchInferenceJobConfig)
    batch_inference_job_mode: str = Field(max_length=32)
    theme_generation_config: ThemeGenerationConfig | None = message_column(ThemeGenerationConfig)
    role_arn: str | None = Field(default=None, max_length=256)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = text_column(nullable=True)


class BatchSegmentJob(AnyResource, table=True):
    """Users for many items or attributes, from a file to a file; deleted with its solution."""

    __tablename__ = "batch_segment_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_batch_segment_job_status", "status", "account"),
        Index("ix_batch_segment_job_filter", "filter_arn", "status"),
        *list_indexes("batch_segment_job", "solution_version_arn"),
    )

    job_name: str = Field(max_length=63)
    solution_version_arn: str = parent_column("solution_version.arn", cascade=True)
    filter_arn: str | None = Field(default=None, max_length=256)
    num_results: int
    job_input: BatchSegmentJobInput | None = message_column(BatchSegmentJobInput)
    job_output: BatchSegmentJobOutput | None = message_column(BatchSegmentJobOutput)
    role_arn: str | None = Field(default=None, max_length=256)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
