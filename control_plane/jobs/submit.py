"""Submits jobs and requests their stop, within the unit of work that changes the resource."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from google.protobuf.message import Message

from common.logs import request_id
from control_plane.app_context import AppContext
from control_plane.domain.jobs import UNFINISHED, JobState
from control_plane.jobs.payloads import write_payload
from control_plane.jobs.registry import kind_of
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Job

__all__ = ["StopResult", "enqueue", "request_stop"]


class StopResult(Enum):
    """What a request to stop a job leads to."""

    STOPPED = "no attempt was running: the job is over"
    REQUESTED = "an attempt runs: its worker learns of the request with its next heartbeat"


def enqueue(
    unit: Unit,
    app_context: AppContext,
    payload: Message,
    *,
    subject: str,
    group_arn: str,
    output_folder: str | None = None,
) -> Job:
    """Add a job to the queue; it can be leased once the unit of work is committed.

    Args:
        unit: The unit of work that creates or deletes the resource.
        app_context: Clock and ids.
        payload: What is to be done: the payload of an entry in `control_plane.jobs.registry`.
        subject: ARN of the resource that the job is for.
        group_arn: ARN of the dataset group that the resource belongs to; groups take turns.
        output_folder: Where the owner of the job wants its output; jobs with the same one run one after the other.
    """
    now = app_context.clock.now()
    job = Job(
        id=app_context.new_id(),
        kind=kind_of(payload),
        state=JobState.WAITING,
        subject=subject,
        dataset_group_arn=group_arn,
        output_folder=output_folder,
        request_id=request_id.get(),
        payload=write_payload(payload),
        available_at=now,
        created_at=now,
    )
    unit.add(job)
    return job


def request_stop(unit: Unit, subject: str, *, now: datetime) -> StopResult:
    """Stop the unfinished job of a resource, if there is one.

    A job that waits is stopped at once; one that runs is marked, and its worker ends it.
    """
    job = unit.first(Job, subject=subject, state=UNFINISHED)
    if job is not None and job.state == JobState.LEASED:
        job.stop_requested = True
        return StopResult.REQUESTED
    if job is not None:
        job.state = JobState.STOPPED
        job.finished_at = now
        job.payload = {}
    return StopResult.STOPPED
