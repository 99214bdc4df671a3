"""The tables of the scheduler: when solutions are trained or updated next, and which control plane sees to it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, String
from sqlmodel import Field, SQLModel

from control_plane.domain.schedules import Task
from control_plane.metadata_store.tables.base import Owned, account_column, moment_column

__all__ = ["Schedule", "SchedulerLease"]


class Schedule(Owned, table=True):
    """When a solution is trained, or its latest version updated, next without being asked for; deleted with it.

    Attributes:
        task: A `domain.schedules.Task`. What follows is said of trainings and holds for updates.
        interval_seconds: Time from the beginning of one training to the next.
        only_with_new_data: Leave out trainings, but for the first, for which there is nothing new to learn from.
        begun_at: When it was begun, or begun anew by another interval.
        last_run_at: When the last training began that it counts from; None before the first.
        next_run_at: When the next one is due, or is tried again.
        postponed_by: Name of the error that the next one was put off for; None when it was not.
    """

    __tablename__ = "schedule"
    __table_args__ = (Index("ix_schedule_next_run_at", "next_run_at"),)

    account: str = account_column("solution_arn")
    solution_arn: str = Field(
        sa_column=Column(String(256), ForeignKey("solution.arn", ondelete="CASCADE"), primary_key=True)
    )
    task: str = Field(default=Task.TRAINING, primary_key=True, max_length=16)
    interval_seconds: int
    only_with_new_data: bool = True
    begun_at: datetime = moment_column()
    last_run_at: datetime | None = moment_column(nullable=True)
    next_run_at: datetime = moment_column()
    postponed_by: str | None = Field(default=None, max_length=64)


class SchedulerLease(SQLModel, table=True):
    """The one row that says which control plane runs the schedules, until when."""

    __tablename__ = "scheduler_lease"

    id: int = Field(default=1, primary_key=True)
    owner: str = Field(max_length=32)
    expires_at: datetime = moment_column()
