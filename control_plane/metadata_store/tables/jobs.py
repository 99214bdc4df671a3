"""The tables of the job queue."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from control_plane.metadata_store.tables.base import json_column, message_column, moment_column, text_column
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress

__all__ = ["Job", "JobAttempt"]


class Job(SQLModel, table=True):
    """One job of the queue.

    Attributes:
        kind: A `domain.jobs.JobKind`.
        state: A `domain.jobs.JobState`.
        subject: ARN of the resource that the job is for.
        dataset_group_arn: The group that it belongs to; None for jobs from before groups took turns.
        payload: What is to be done, keyed like the contract's message; empty once the job is finished.
        output_folder: Where the owner of the job wants its output; of jobs with the same one, one runs at a time. None
            of jobs that write nothing for others, or into a folder of their own.
        attempt: Number of the attempt that runs or ran last; 0 before the first.
        available_at: The job is not leased before.
        leased_at: Beginning of the attempt that runs or ran last.
        lease_expires_at: When the lease of the running attempt expires; None when none runs.
        training: How far the epochs of a training are, as the last heartbeat said.
    """

    model_config = {"arbitrary_types_allowed": True}
    __tablename__ = "job"
    # Finds the last turn of each dataset group.
    __table_args__ = (Index("ix_job_turn", "dataset_group_arn", "kind", "leased_at"),)

    id: str = Field(primary_key=True, max_length=32)
    kind: str = Field(max_length=40)
    state: str = Field(max_length=16, index=True)
    subject: str = Field(max_length=256, index=True)
    dataset_group_arn: str | None = Field(default=None, max_length=256)
    request_id: str = Field(max_length=128)
    payload: dict[str, Any] = json_column()
    output_folder: str | None = text_column(nullable=True)
    attempt: int = 0
    available_at: datetime = moment_column()
    leased_at: datetime | None = moment_column(nullable=True)
    lease_expires_at: datetime | None = moment_column(nullable=True)
    progress: float = 0.0
    activity: str | None = text_column(nullable=True)
    training: TrainingProgress | None = message_column(TrainingProgress)
    stop_requested: bool = False
    created_at: datetime = moment_column()
    finished_at: datetime | None = moment_column(nullable=True, index=True)


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
    reason: str | None = text_column(nullable=True)
    started_at: datetime = moment_column()
    last_sign_at: datetime = moment_column()
