"""How far jobs are, as their trainers said last, for those who ask."""

from __future__ import annotations

import math

from control_plane.domain.jobs import JobState
from control_plane.metadata_store.tables import Job
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress

__all__ = ["finite", "job_progress"]


def finite(progress: TrainingProgress) -> TrainingProgress:
    """Return a copy without the numbers that JSON has none for: a fit may diverge."""
    fields = progress.ListFields()
    return TrainingProgress(
        **{field.name: value for field, value in fields if isinstance(value, str) or math.isfinite(value)}
    )


def job_progress(job: Job) -> TrainingProgress:
    """Return how far a job is; one that waits has done nothing that would be shown."""
    progress = TrainingProgress()
    if job.state == JobState.WAITING:
        progress.activity = "waiting for a trainer" if not job.attempt else f"waiting for attempt {job.attempt + 1}"
        progress.fraction = 0.0
    else:
        if job.training is not None:
            progress.CopyFrom(job.training)
        progress.activity = job.activity or ""
        progress.fraction = job.progress
    if job.attempt:
        progress.attempt = job.attempt
    return progress
