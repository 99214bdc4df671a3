"""Asking for long work, and asking to stop it, inside of the unit of work that changes the resource."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from common.logs import request_id
from control_plane.app_context import AppContext
from control_plane.jobs.payloads import DatasetImport, Payload, SolutionVersionTraining, as_document
from control_plane.jobs.states import JobKind, JobState
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Job

__all__ = ["Stop", "enqueue", "request_stop"]


class Stop(Enum):
    """What a request to stop came to."""

    DONE = "no attempt was running: it is over"
    ASKED = "the worker is told at its next heartbeat"


def enqueue(unit: Unit, environment: AppContext, payload: Payload, *, subject: str, group_arn: str) -> Job:
    """Put work into the queue; it begins when the unit of work is committed.

    Args:
        unit: The unit of work that creates or deletes the resource.
        environment: Clock and ids.
        payload: The work.
        subject: ARN of the resource that the work is for.
        group_arn: Of the dataset group that it belongs to: groups take turns.
    """
    kind = JobKind.STORAGE_REMOVAL
    if isinstance(payload, DatasetImport):
        kind = JobKind.DATASET_IMPORT
    elif isinstance(payload, SolutionVersionTraining):
        kind = JobKind.SOLUTION_VERSION_TRAINING
    now = environment.clock.now()
    job = Job(
        id=environment.new_id(),
        kind=kind,
        state=JobState.WAITING,
        subject=subject,
        dataset_group_arn=group_arn,
        request_id=request_id.get(),
        payload=as_document(payload),
        available_at=now,
        created_at=now,
    )
    unit.add(job)
    return job


def request_stop(unit: Unit, subject: str, *, now: datetime) -> Stop:
    """End the job of a resource: at once when it waits, with the worker's help when it runs."""
    job = unit.first(Job, subject=subject, state={JobState.WAITING, JobState.LEASED})
    if job is not None and job.state == JobState.LEASED:
        job.stop_requested = True
        return Stop.ASKED
    if job is not None:
        job.state = JobState.STOPPED
        job.finished_at = now
        job.payload = {}
    return Stop.DONE
