"""Jobs: their kinds and states, how attempts end, and the failure reason that Describe calls show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

__all__ = [
    "FINISHED",
    "UNFINISHED",
    "FailedAttempt",
    "JobKind",
    "JobState",
    "Outcome",
    "failure_reason",
    "lost_lease_reason",
]


class JobKind(StrEnum):
    """Kinds of long work: the names of the contract's enum without their prefix."""

    DATASET_IMPORT = "DATASET_IMPORT"
    SOLUTION_VERSION_TRAINING = "SOLUTION_VERSION_TRAINING"
    SOLUTION_VERSION_UPDATE = "SOLUTION_VERSION_UPDATE"
    STORAGE_REMOVAL = "STORAGE_REMOVAL"
    DATASET_EXPORT = "DATASET_EXPORT"
    DATA_DELETION = "DATA_DELETION"
    BATCH_INFERENCE = "BATCH_INFERENCE"
    BATCH_SEGMENT = "BATCH_SEGMENT"
    STORAGE_MAINTENANCE = "STORAGE_MAINTENANCE"
    USER_SEARCH = "USER_SEARCH"
    FEATURE_SNAPSHOT = "FEATURE_SNAPSHOT"


class JobState(StrEnum):
    """The state of a job."""

    WAITING = "WAITING"
    LEASED = "LEASED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


#: States in which an attempt runs or may follow.
UNFINISHED: Final = frozenset({JobState.WAITING, JobState.LEASED})
#: States in which no attempt runs or follows.
FINISHED: Final = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.STOPPED})


class Outcome(StrEnum):
    """How an attempt ended, or that it still runs.

    LOST: its lease expired. RELEASED: its worker stopped and returned the job, which does not count as a failure.
    """

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    LOST = "LOST"
    RELEASED = "RELEASED"
    STOPPED = "STOPPED"


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt that did not succeed."""

    number: int
    worker_id: str
    reason: str


def lost_lease_reason(*, last_heartbeat: datetime, activity: str | None) -> str:
    """Return the reason of an attempt whose lease expired.

    Args:
        last_heartbeat: When the worker was last heard from, in UTC.
        activity: What it then reported to be doing; None when it reported nothing.
    """
    while_at = f" while at: {activity}" if activity else ""
    return (
        f"the worker sent no sign of life after {last_heartbeat:%Y-%m-%d %H:%M:%S} UTC{while_at}; "
        "it was stopped, ran out of memory, or lost its connection"
    )


def failure_reason(work: str, attempts: Sequence[FailedAttempt], *, retryable: bool, request_id: str) -> str:
    """Return the `failureReason` that Describe calls show.

    Args:
        work: Name of the work, e.g. `training`.
        attempts: Every attempt, oldest first; at least one.
        retryable: Whether the last failure was one that another attempt can mend.
        request_id: Id of the call that created the job, by which the logs can be searched.
    """
    if not retryable and len(attempts) == 1:
        return attempts[0].reason
    texts = " ".join(f"Attempt {item.number} ({item.worker_id}): {item.reason.rstrip('.')}." for item in attempts)
    if not retryable:
        return f"The {work} failed in attempt {len(attempts)} and cannot succeed by trying again. {texts}"
    return (
        f"The {work} was given up after {len(attempts)} attempts. {texts} "
        f"The trainer's log has the details under request id {request_id or 'unknown'}; "
        "mend what it names and ask for the work again."
    )
