"""Trains and updates what is due: solutions by their schedules, on one of any number of control planes.

Every run is one unit of work, which holds the lease, creates the solution version or the update and moves the schedule
on. So a run happens once, whoever else tries at the same moment, and whenever a process dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from common.errors import TailorbirdError, Unavailable
from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.recipes import retrained_on
from control_plane.domain.schedules import Task, next_time
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Schedule, Solution
from control_plane.resources.versions import SolutionVersions
from control_plane.scheduler.lease import Lease
from control_plane.scheduler.new_data import has_new_data, last_training, outdated_version

__all__ = ["Scheduler"]

_log = get_logger(__name__)
#: Runs of one round; the others follow in the next.
_MAX_RUNS: Final = 20
#: When a run that could not be is tried again: a quota was full, or the data were too few.
_RETRY: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class _Due:
    """A run that is due, as it was found."""

    solution_arn: str
    task: Task
    account: str


class Scheduler:
    """Trains and updates what is due.

    Args:
        metadata_store: The database.
        app_context: Clock and ids.
        versions: Creates and updates the versions.
        lease_seconds: How long the other control planes wait for one that has become silent.
    """

    def __init__(
        self,
        metadata_store: MetadataStore,
        app_context: AppContext,
        versions: SolutionVersions,
        *,
        lease_seconds: float,
    ) -> None:
        self._metadata_store = metadata_store
        self._clock = app_context.clock
        self._versions = versions
        self._lease = Lease(app_context, seconds=lease_seconds)

    def run_due(self) -> None:
        """Run what is due, a bounded number at once; when nothing is, nothing is written."""
        now = self._clock.now()
        due = self._metadata_store.view(
            lambda unit: [
                _Due(row.solution_arn, Task(row.task), row.account)
                for row in unit.due_schedules(now=now, limit=_MAX_RUNS)
            ]
        )
        for run in due:
            if not self._run(run):
                return

    def _run(self, due: _Due) -> bool:
        """Run one schedule; return whether this control plane has the lease."""
        try:
            work = self._train if due.task is Task.TRAINING else self._update
            return self._metadata_store.transact(partial(work, due=due), account=due.account)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be run, for whatever reason, must not stop the others
            return self._metadata_store.transact(partial(self._postpone, due=due, error=error), account=due.account)

    def _train(self, unit: Unit, *, due: _Due) -> bool:
        """Create the version that is due, unless it is not wanted, and move the schedule on.

        Raises:
            TailorbirdError: The version cannot be created.
        """
        if not self._lease.hold(unit):
            return False
        now = self._clock.now()
        schedule, solution = self._still_due(unit, due, now=now), unit.get(Solution, due.solution_arn)
        if schedule is None or solution is None:
            return True
        interval = timedelta(seconds=schedule.interval_seconds)
        schedule.postponed_by = None
        if (reason := self._unwanted(unit, schedule, solution)) is not None:
            # The first one counts from the training on request that takes its place.
            newest = last_training(unit, solution.arn)
            begun = schedule.last_run_at or (now if newest is None else newest.creation_date_time)
            schedule.last_run_at = begun
            schedule.next_run_at = next_time(begun, interval, now=now)
            unit.after_commit(partial(_log.info, "training_skipped", solution_arn=solution.arn, reason=reason))
            return True
        version = self._versions.train(unit, solution, training_type="AUTOMATIC")
        schedule.last_run_at, schedule.next_run_at = now, now + interval
        unit.after_commit(
            partial(_log.info, "training_scheduled", solution_arn=solution.arn, solution_version_arn=version.arn)
        )
        return True

    def _update(self, unit: Unit, *, due: _Due) -> bool:
        """Submit the update that is due, if the latest version lacks items, and move the schedule on.

        Raises:
            TailorbirdError: It cannot be submitted.
        """
        if not self._lease.hold(unit):
            return False
        now = self._clock.now()
        schedule, solution = self._still_due(unit, due, now=now), unit.get(Solution, due.solution_arn)
        if schedule is None or solution is None:
            return True
        interval = timedelta(seconds=schedule.interval_seconds)
        schedule.postponed_by = None
        schedule.next_run_at = next_time(schedule.begun_at, interval, now=now)
        version = outdated_version(unit, solution)
        if version is not None:
            self._versions.update_items(unit, solution, version)
            schedule.last_run_at = now
            unit.after_commit(partial(_log.info, "update_scheduled", solution_version_arn=version.arn))
        return True

    def _postpone(self, unit: Unit, *, due: _Due, error: Exception) -> bool:
        """Try a run again later; the reason is logged once, with its traceback where it is a defect."""
        if not self._lease.hold(unit):
            return False
        now = self._clock.now()
        schedule = self._still_due(unit, due, now=now)
        if schedule is None:
            return True
        name = type(error).__name__
        if schedule.postponed_by != name:
            if isinstance(error, TailorbirdError):
                log = partial(_log.warning, reason=error.message)
            else:
                log = partial(_log.error, exc_info=error)
            event = "training_postponed" if due.task is Task.TRAINING else "update_postponed"
            unit.after_commit(partial(log, event, solution_arn=due.solution_arn))
        schedule.postponed_by = name
        schedule.next_run_at = now + min(_RETRY, timedelta(seconds=schedule.interval_seconds))
        return True

    @staticmethod
    def _still_due(unit: Unit, due: _Due, *, now: datetime) -> Schedule | None:
        """Return the schedule, None when another control plane was faster or it has ended meanwhile."""
        schedule = unit.get(Schedule, (due.solution_arn, due.task))
        return None if schedule is None or schedule.next_run_at > now else schedule

    @staticmethod
    def _unwanted(unit: Unit, schedule: Schedule, solution: Solution) -> str | None:
        """Return why a run is left out, None when it is wanted."""
        if schedule.last_run_at is None:
            version = last_training(unit, solution.arn, training_type="MANUAL")
            if version is None or version.creation_date_time < schedule.begun_at:
                return None
            return f"{version.arn} was created on request"
        newest = last_training(unit, solution.arn)
        if newest is None or not schedule.only_with_new_data:
            return None
        dataset_type = retrained_on(solution.recipe_arn)
        if has_new_data(unit, solution, dataset_type=dataset_type, since=newest.creation_date_time):
            return None
        return f"no new data of type {dataset_type} since {newest.arn}"
