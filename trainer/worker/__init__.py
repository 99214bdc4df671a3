"""Jobs from the queue: what does a job of one kind, and what it is given to report progress and to be cancelled by.

Each handler (in `imports`, `training`, `removal`) does one kind of job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, Protocol

from common.errors import StorageFull, TailorbirdError, Throttled

__all__ = ["NO_DETAILS", "CancelReason", "JobCancelled", "JobContext", "JobHandler", "NullJobContext", "is_retryable"]

#: Of jobs that only say how far they are.
NO_DETAILS: Final[Mapping[str, float]] = MappingProxyType({})


class CancelReason(Enum):
    """Why a job must end before it is done."""

    STOP = "its owner stopped it"
    LOST = "its lease is another worker's"
    CLOSING = "the trainer is stopping"


class JobCancelled(Exception):
    """Raised inside of a job that must end.

    Args:
        reason: Why.
    """

    def __init__(self, reason: CancelReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class JobContext(Protocol):
    """Progress and cancellation of one running job; safe to use from several threads."""

    def report(self, *, fraction: float, activity: str, details: Mapping[str, float] = NO_DETAILS) -> None:
        """Say how far the job is; the next heartbeat carries it.

        Args:
            fraction: Share of the work that is done, 0 to 1.
            activity: What is being done, for a person.
            details: Of a training: the fields of `tailorbird.control.v1.TrainingProgress`, by name.
        """

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            JobCancelled: It must end, leaving everything as it was.
        """

    def confirm(self) -> None:
        """Ask the control plane whether the job may go on; to be called before something is published.

        Waits for an answer: an answer that is late costs less than a training that is thrown away.

        Raises:
            JobCancelled: It must end.
        """

    @contextmanager
    def on_cancel(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` from another thread as soon as the job must end while the block runs."""


class NullJobContext:
    """The context of a job that is in no queue, for handlers used by hand: nobody reads progress, nobody cancels."""

    def report(self, *, fraction: float, activity: str, details: Mapping[str, float] = NO_DETAILS) -> None:
        """Drop the report."""

    def check(self) -> None:
        """Return: nobody cancels it."""

    def confirm(self) -> None:
        """Return: nobody else works on it."""

    @contextmanager
    def on_cancel(self, callback: Callable[[], object]) -> Iterator[None]:  # noqa: ARG002 - the port's signature
        """Run the block; nothing cancels it."""
        yield


class JobHandler(Protocol):
    """Does the jobs of one kind."""

    def run(self, payload: Any, context: JobContext) -> Any:
        """Do one job.

        Args:
            payload: The job's payload message.
            context: Progress and cancellation of the job.

        Returns:
            The result message of the kind.

        Raises:
            JobCancelled: The job must end.
            Unavailable: Something needed cannot be reached; another attempt may succeed.
            TailorbirdError: Another attempt cannot succeed; the message says what to do.
        """


def is_retryable(error: TailorbirdError) -> bool:
    """Return whether what failed may succeed later: after an outage, a rush, a renewal of tokens or a fault."""
    return isinstance(error, Throttled | StorageFull) or error.code in ("UNAVAILABLE", "UNAUTHENTICATED", "INTERNAL")
