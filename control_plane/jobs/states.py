"""The words of the job queue."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["JobKind", "JobState", "Outcome"]


class JobKind(StrEnum):
    """Kinds of long work."""

    DATASET_IMPORT = "DATASET_IMPORT"
    SOLUTION_VERSION_TRAINING = "SOLUTION_VERSION_TRAINING"
    STORAGE_REMOVAL = "STORAGE_REMOVAL"


class JobState(StrEnum):
    """Where a job stands."""

    WAITING = "WAITING"
    LEASED = "LEASED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Outcome(StrEnum):
    """How an attempt ended."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    STOPPED = "STOPPED"
