"""Removes rows that would grow without limit: finished jobs, and old deployments of campaigns and recommenders.

Nothing that Describe and List calls show is removed: a failed job stays for as long as its failure is shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.states import CREATING
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Deployment, ServingReport, ServingTarget
from control_plane.serving.targets import all_targets

__all__ = ["KEPT_DEPLOYMENTS", "Pruner"]

#: Configurations of a campaign or recommender that are kept, newest first. Older ones say only which versions were
#: tried or refused, which matters for versions that are newer than the one that is served.
KEPT_DEPLOYMENTS: Final = 100
#: Jobs that are removed in one unit of work, while other writers wait.
_BATCH_SIZE: Final = 500
_PAUSE: Final = timedelta(minutes=1)
_log = get_logger(__name__)


class Pruner:
    """Removes a batch of rows once a minute, and at every call while there are more.

    Args:
        metadata_store: The database.
        app_context: The clock.
        finished_job_hours: How long finished jobs are kept.
        max_finished_jobs: How many finished jobs are kept at most.
    """

    def __init__(
        self,
        metadata_store: MetadataStore,
        app_context: AppContext,
        *,
        finished_job_hours: float,
        max_finished_jobs: int,
    ) -> None:
        self._metadata_store = metadata_store
        self._clock = app_context.clock
        self._age = timedelta(hours=finished_job_hours)
        self._keep = max_finished_jobs
        self._next: datetime | None = None

    def prune(self) -> None:
        """Remove one batch of what is due, unless that was done less than a minute ago."""
        now = self._clock.now()
        if self._next is not None and now < self._next:
            return
        jobs, deployments = self._metadata_store.transact(lambda unit: self._remove(unit, before=now - self._age))
        if jobs or deployments:
            _log.info("pruned", jobs=jobs, deployments=deployments)
        self._next = now if jobs == _BATCH_SIZE else now + _PAUSE

    def _remove(self, unit: Unit, *, before: datetime) -> tuple[int, int]:
        """Remove jobs that ended until then, and old deployments; return how many of each."""
        jobs = unit.prunable_jobs(before=before, keep=self._keep, limit=_BATCH_SIZE)
        for job in jobs:
            unit.remove(job)
        return len(jobs), sum(self._prune_target(unit, target) for target in all_targets(unit))

    @staticmethod
    def _prune_target(unit: Unit, target: ServingTarget) -> int:
        if unit.count(Deployment, limit=KEPT_DEPLOYMENTS + 1, target_arn=target.arn) <= KEPT_DEPLOYMENTS:
            return 0
        deployments = unit.find(Deployment, target_arn=target.arn, order=["-number"])
        # An update begins from it where nothing is served yet.
        newest_tried = next((item.id for item in deployments if not item.refused), None)
        removable = [
            item
            for item in deployments[KEPT_DEPLOYMENTS:]
            if item.id not in (target.serving_id, newest_tried) and item.status not in CREATING
        ]
        for deployment in removable:
            for report in unit.find(ServingReport, deployment_id=deployment.id):
                unit.remove(report)
            unit.remove(deployment)
        return len(removable)
