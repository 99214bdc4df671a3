"""Which jobs of an account wait, run and have ended, for people who look at the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.domain.jobs import FINISHED, UNFINISHED, JobState
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import DatasetGroup, Job, JobAttempt

__all__ = ["MAX_LISTED", "JobStatuses", "ListedJob"]

#: Jobs in one answer.
MAX_LISTED: Final = 100


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job, and why its last attempt did not succeed; None where none failed, or the job succeeded in the end."""

    job: Job
    failure_reason: str | None


class JobStatuses:
    """Lists jobs."""

    def list(self, unit: Unit, *, resource_arn: str | None, ended: bool) -> Sequence[ListedJob]:
        """Return the jobs of an account that wait or run, the oldest first, at most `MAX_LISTED`.

        Args:
            unit: Bound to the account.
            resource_arn: Only jobs of this resource.
            ended: Whether those that have ended follow, the newest first, where there is room.
        """
        where: dict[str, object] = {
            "dataset_group_arn": frozenset(group.arn for group in unit.find(DatasetGroup, order=["arn"]))
        }
        if resource_arn is not None:
            where["subject"] = resource_arn
        jobs = unit.find(Job, state=UNFINISHED, order=["created_at", "id"], limit=MAX_LISTED, **where)
        if ended:
            left = MAX_LISTED - len(jobs)
            jobs += unit.find(Job, state=FINISHED, order=["-finished_at", "id"], limit=left, **where)
        return [ListedJob(job, _failure(unit, job)) for job in jobs]


def _failure(unit: Unit, job: Job) -> str | None:
    if job.state == JobState.SUCCEEDED:
        return None
    newest = unit.find(JobAttempt, job_id=job.id, order=["-started_at"], limit=2)
    # While an attempt runs, that of the one before.
    return next((attempt.reason for attempt in newest if attempt.reason), None)
