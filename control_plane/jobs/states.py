"""The words of the job queue."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = ["FINISHED", "JobKind", "JobState", "Outcome"]


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


#: Nothing more will be done.
FINISHED: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.STOPPED})


class Outcome(StrEnum):
    """How an attempt ended."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    RELEASED = "RELEASED"
    STOPPED = "STOPPED"
