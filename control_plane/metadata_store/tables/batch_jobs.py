"""The tables of batch inference and batch segment jobs."""

from __future__ import annotations

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from control_plane.metadata_store.tables.base import JobResource, list_indexes, message_column, parent_column
from protos.tailorbird.control.v1.batch_inference_job_pb2 import (
    BatchInferenceJobConfig,
    BatchInferenceJobInput,
    BatchInferenceJobOutput,
    ThemeGenerationConfig,
)
from protos.tailorbird.control.v1.batch_segment_job_pb2 import BatchSegmentJobInput, BatchSegmentJobOutput

__all__ = ["BatchInferenceJob", "BatchJob", "BatchSegmentJob"]


class BatchJob(JobResource):
    """The columns of jobs that answer what is asked in a file, and write to a file.

    Attributes:
        num_results: Results for one line of the input.
    """

    solution_version_arn: str = parent_column("solution_version.arn", cascade=True)
    filter_arn: str | None = Field(default=None, max_length=256)
    num_results: int


class BatchInferenceJob(BatchJob, table=True):
    """Recommendations for many users or items, from a file to a file; deleted with its solution."""

    __tablename__ = "batch_inference_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_batch_inference_job_status", "status", "account"),
        Index("ix_batch_inference_job_filter", "filter_arn", "status"),
        *list_indexes("batch_inference_job", "solution_version_arn"),
    )

    job_input: BatchInferenceJobInput | None = message_column(BatchInferenceJobInput)
    job_output: BatchInferenceJobOutput | None = message_column(BatchInferenceJobOutput)
    batch_inference_job_config: BatchInferenceJobConfig | None = message_column(BatchInferenceJobConfig)
    batch_inference_job_mode: str = Field(max_length=32)
    theme_generation_config: ThemeGenerationConfig | None = message_column(ThemeGenerationConfig)


class BatchSegmentJob(BatchJob, table=True):
    """Users for many items or attributes, from a file to a file; deleted with its solution."""

    __tablename__ = "batch_segment_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_batch_segment_job_status", "status", "account"),
        Index("ix_batch_segment_job_filter", "filter_arn", "status"),
        *list_indexes("batch_segment_job", "solution_version_arn"),
    )

    job_input: BatchSegmentJobInput | None = message_column(BatchSegmentJobInput)
    job_output: BatchSegmentJobOutput | None = message_column(BatchSegmentJobOutput)
