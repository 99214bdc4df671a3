"""The words of a failureReason: what happened in each attempt, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Attempt", "failure_reason", "lost_lease"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that did not succeed."""

    number: int
    worker_id: str
    reason: str


def lost_lease(*, last_sign: datetime, activity: str | None) -> str:
    """Say why an attempt ended whose worker fell silent."""
    doing = f" while at: {activity}" if activity else ""
    return (
        f"the worker sent no sign of life after {last_sign:%Y-%m-%d %H:%M:%S} UTC{doing}; "
        "it was stopped, ran out of memory, or lost its connection"
    )


def failure_reason(work: str, attempts: Sequence[Attempt], *, retryable: bool, request_id: str) -> str:
    """Put together the reason that Describe calls show.

    Args:
        work: What was to be done, e.g. `training`.
        attempts: Every attempt, oldest first; at least one.
        retryable: Whether the last failure could have been tried again, had there been attempts left.
        request_id: Of the call that asked for the work, to be found in the logs.
    """
    if not retryable and len(attempts) == 1:
        return attempts[0].reason
    told = " ".join(f"Attempt {item.number} ({item.worker_id}): {item.reason.rstrip('.')}." for item in attempts)
    if not retryable:
        return f"The {work} failed in attempt {len(attempts)} and cannot succeed by trying again. {told}"
    return (
        f"The {work} was given up after {len(attempts)} attempts. {told} "
        f"The trainer's log has the details under request id {request_id or 'unknown'}; "
        "mend what it names and ask for the work again."
    )
