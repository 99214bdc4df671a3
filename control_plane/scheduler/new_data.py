"""Whether a dataset has rows that the last training or update of a solution has not seen.

The control plane knows of bulk imports, which are its own jobs, and of streamed rows because events services ask it
before they write some, see `TrackerService.FindTables`. It asks nobody and reads no data.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from control_plane.domain.jobs import UNFINISHED
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetImportJob, Job, Solution, SolutionVersion

__all__ = ["has_new_data", "last_training", "outdated_version"]

#: Versions in the other states have learnt nothing.
_WITH_MODEL: Final = frozenset(Status) - {Status.CREATE_FAILED, Status.CREATE_STOPPED, Status.CREATE_STOPPING}
#: Rows that are streamed are written a moment after they are noted, and are noted once a minute.
_NOTED_BEFORE: Final = timedelta(minutes=2)


def last_training(unit: Unit, solution_arn: str, **where: object) -> SolutionVersion | None:
    """Return the newest version that learns or has learnt something; None without one.

    Args:
        unit: A unit of work.
        solution_arn: Whose version.
        **where: Further conditions, as of `Unit.first`.
    """
    newest_first = ["-creation_date_time", "-arn"]
    return unit.first(SolutionVersion, solution_arn=solution_arn, status=_WITH_MODEL, order=newest_first, **where)


def has_new_data(unit: Unit, solution: Solution, *, dataset_type: str, since: datetime) -> bool:
    """Return whether a solution's group may have rows of a type that came after some moment.

    Streamed rows are noted to within a minute and before they are written, so some that came shortly before count as
    well: a training too many costs less than rows that none learns from.

    Args:
        unit: A unit of work.
        solution: The solution.
        dataset_type: E.g. `INTERACTIONS`.
        since: When the last training was asked for; it may have seen rows that came a little later.
    """
    dataset = unit.first(
        Dataset, dataset_group_arn=solution.dataset_group_arn, dataset_type=dataset_type, status=Status.ACTIVE
    )
    if dataset is None:
        return False
    if dataset.rows_streamed_at is not None and dataset.rows_streamed_at >= since - _NOTED_BEFORE:
        return True
    newest = unit.first(
        DatasetImportJob, dataset_arn=dataset.arn, status=Status.ACTIVE, order=["-last_updated_date_time"]
    )
    return newest is not None and newest.last_updated_date_time >= since


def outdated_version(unit: Unit, solution: Solution) -> SolutionVersion | None:
    """Return the newest ACTIVE version of a solution if it may lack items; None if not, or while an update is on."""
    newest_first = ["-creation_date_time", "-arn"]
    version = unit.first(SolutionVersion, solution_arn=solution.arn, status=Status.ACTIVE, order=newest_first)
    if version is None or unit.first(Job, subject=version.arn, state=UNFINISHED) is not None:
        return None
    since = (version.items_updated_at or version.creation_date_time) - _NOTED_BEFORE
    return version if has_new_data(unit, solution, dataset_type="ITEMS", since=since) else None
