"""The metadata store: the database of resources, jobs and reports. The interface is here, the implementation in `sql`.

All access is by units of work: everything done in one is committed together or not at all, and what is read in a
writing one still holds when it is committed. Where several control planes write to one database, that may take several
attempts, so a unit of work is a function.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from sqlmodel import SQLModel

from common.process.long_poll import ChangeNotifier
from control_plane.domain.paging import Position
from control_plane.metadata_store.tables import AnyResource, Dataset, DatasetGroup, Job, Schedule

__all__ = ["MetadataStore", "Unit"]

Row = TypeVar("Row", bound=SQLModel)
Listed = TypeVar("Listed", bound=AnyResource)
Result = TypeVar("Result")


class Unit(Protocol):
    """Access to the tables within one unit of work.

    Conditions are keywords: `column=value`, or `column={values}` for any of them.

    Attributes:
        account: The account that the unit is bound to: it sees, counts and adds only resources and tags of this one,
            and those of others do not exist for it. None for the machinery, which works for all accounts.
    """

    account: str | None

    def get(self, table: type[Row], key: object) -> Row | None:
        """Return the row with a primary key, or None. Changes of its attributes are kept by a writing unit."""

    def find(
        self, table: type[Row], *, order: Sequence[str] = (), limit: int | None = None, **where: object
    ) -> list[Row]:
        """Return all rows that fulfil the conditions, or the first ones, ordered by columns; `-column` descends."""

    def first(self, table: type[Row], *, order: Sequence[str] = (), **where: object) -> Row | None:
        """Return the first row that fulfils the conditions, or None."""

    def count(self, table: type[SQLModel], *, limit: int, **where: object) -> int:
        """Return how many rows fulfil the conditions, `limit` where there are more: no more are looked at."""

    def page(
        self,
        table: type[Listed],
        *,
        after: Position | None,
        limit: int,
        newest_first: bool = False,
        **where: object,
    ) -> list[Listed]:
        """Return up to `limit` rows after a position, ordered by creation and then by ARN."""

    def add(self, row: SQLModel) -> None:
        """Insert a row.

        Raises:
            ValueError: It is of another account than the unit is bound to.
        """

    def remove(self, row: SQLModel) -> None:
        """Delete a row, and what depends on it where the tables say so."""

    def flush(self) -> None:
        """Send what was changed to the database, so that later conditions see it."""

    def after_commit(self, action: Callable[[], None]) -> None:
        """Let something outside of the database happen once the unit is committed, such as a line in the log.

        Args:
            action: Must not raise; forgotten when the unit is undone or its work run again.
        """

    def due_job(self, kinds: Collection[str], *, now: datetime) -> Job | None:
        """Return the job to lease next: the oldest waiting one of the dataset group whose last turn was longest ago.

        A turn is an attempt at a job of one of these kinds. No other unit gets the same job, nor one with the same
        `output_folder` while that is leased. None when no job is due.
        """

    def prunable_jobs(self, *, before: datetime, keep: int, limit: int) -> list[Job]:
        """Return finished jobs that may be removed, oldest first: old ones, and all but the newest.

        A failed job may not be removed while its resource shows the failure.

        Args:
            before: Jobs that ended until then are old.
            keep: How many of the newest are kept.
            limit: How many jobs are returned at most.
        """

    def due_schedules(self, *, now: datetime, limit: int) -> list[Schedule]:
        """Return schedules whose next run is due, those that have waited longest first."""

    def due_groups(self, *, now: datetime, limit: int) -> list[DatasetGroup]:
        """Return dataset groups whose maintenance is due, those that have waited longest first."""

    def due_features(self, *, now: datetime, limit: int) -> list[Dataset]:
        """Return ACTIVE datasets whose snapshot of features is due, those that have waited longest first.

        Datasets that a job waits or runs for are left out.
        """

    def expired_jobs(self, *, now: datetime) -> list[Job]:
        """Return leased jobs whose leases have expired."""


class MetadataStore(Protocol):
    """The database of the control plane.

    Attributes:
        changed: Notified after every commit of this process that changed more than heartbeats.
    """

    changed: ChangeNotifier

    def transact(self, work: Callable[[Unit], Result], *, account: str | None = None) -> Result:
        """Run a unit of work that is committed at its end, or undone by an exception, and return its result.

        Args:
            work: May run several times, when other writers came first: it changes nothing but the unit, and what it
                returns must be right for the attempt that is committed. Rows may be used afterwards.
            account: The account that the unit is bound to; None for all.

        Raises:
            Unavailable: The database gives no answer, or there are too many other writers; a later call may succeed.
        """

    def view(self, work: Callable[[Unit], Result], *, account: str | None = None) -> Result:
        """Run a unit of work that sees one state of the database throughout and changes nothing; return its result.

        Args:
            work: May run several times.
            account: The account that the unit is bound to; None for all.

        Raises:
            Unavailable: The database gives no answer; a later call may succeed.
        """

    def close(self) -> None:
        """Close all connections."""
