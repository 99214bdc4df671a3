"""The schedules of solutions: rows that say when a solution is trained or updated next without being asked for.

Whatever is trained as a solution may have one. It is changed together with the solution, in the same unit of work.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from control_plane.domain.schedules import Task
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Schedule

__all__ = ["start_schedule", "stop_schedule"]


def start_schedule(
    unit: Unit,
    solution_arn: str,
    *,
    interval: timedelta,
    first_at: datetime,
    now: datetime,
    last_run_at: datetime | None = None,
    only_with_new_data: bool = True,
    task: Task = Task.TRAINING,
) -> None:
    """Begin a schedule anew, also where the solution has one of its task.

    Args:
        unit: A writing unit of work.
        solution_arn: What is trained.
        interval: Time from the beginning of one training to the next.
        first_at: When the first training is due.
        now: The present.
        last_run_at: When a training began that the first one follows; None where there was none: then the first one is
            left out if the solution is trained on request before.
        only_with_new_data: Leave out later trainings for which there is nothing new to learn from.
        task: What is done: trainings or, with all that is said of them here, updates.
    """
    stop_schedule(unit, solution_arn, task=task)
    unit.add(
        Schedule(
            solution_arn=solution_arn,
            task=task,
            interval_seconds=round(interval.total_seconds()),
            only_with_new_data=only_with_new_data,
            begun_at=now,
            last_run_at=last_run_at,
            next_run_at=first_at,
        )
    )


def stop_schedule(unit: Unit, solution_arn: str, *, task: Task = Task.TRAINING) -> None:
    """End the schedule of a solution for a task, if there is one."""
    if (schedule := unit.get(Schedule, (solution_arn, task))) is not None:
        unit.remove(schedule)
