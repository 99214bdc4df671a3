"""Taking jobs from the queue: leases, signs of life, results; what a job has to look like to be done here.

Each room (`imports`, `training`, `removal`) does one kind of job. It is handed a `JobContext`, through which it says
how far it is and hears that it must end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, Protocol

__all__ = ["CancelReason", "JobCancelled", "JobContext", "JobHandler", "NullJobContext"]


class CancelReason(Enum):
    """Why a job must end before it is done."""

    STOP = "its owner asked to stop it"
    LOST = "its lease is another worker's"
    CLOSING = "the trainer is stopping"


class JobCancelled(Exception):
    """Raised inside of a job that must end.

    Args:
        ending: Why.
    """

    def __init__(self, ending: CancelReason) -> None:
        super().__init__(ending.value)
        self.ending = ending


class JobContext(Protocol):
    """A running job's line to whoever asked for it; safe to use from several threads."""

    def report(self, *, fraction: float, activity: str) -> None:
        """Say how far the job is; the next sign of life carries it.

        Args:
            fraction: Share of the work that is done, 0 to 1.
            activity: What is being done, for a person.
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
    def ending_calls(self, react: Callable[[], object]) -> Iterator[None]:
        """Call `react` from another thread as soon as the job must end while the block runs."""


class NullJobContext:
    """The watch of a job that nobody asked for through the queue: it never ends it. For rooms used by hand."""

    def report(self, *, fraction: float, activity: str) -> None:
        """Tell nobody."""

    def check(self) -> None:
        """Go on."""

    def confirm(self) -> None:
        """Go on."""

    @contextmanager
    def ending_calls(self, react: Callable[[], object]) -> Iterator[None]:  # noqa: ARG002 - the port's signature
        """Run the block; nothing ends it."""
        yield


class JobHandler(Protocol):
    """Does the jobs of one kind."""

    def do(self, payload: Any, watch: JobContext) -> Any:
        """Do one job.

        Args:
            payload: The job's payload message.
            watch: See `JobContext`.

        Returns:
            The result message of the kind.

        Raises:
            JobCancelled: The watch said so.
            Unavailable: Something needed cannot be reached; another attempt may succeed.
            TailorbirdError: Another attempt cannot succeed; the message says what to do.
        """
