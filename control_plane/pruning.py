"""Forgets what only grows: finished jobs, and deployments that a campaign has left behind long ago.

What Describe and List show is never touched: a failed job stays for as long as its failure is shown.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.states import CREATING
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Campaign, Deployment, ServingReport

__all__ = ["KEPT_DEPLOYMENTS", "Pruner"]

#: Configurations of a campaign that are kept, newest first. Older ones say only which versions were tried or refused,
#: which matters for versions that are newer than the one that is served.
KEPT_DEPLOYMENTS: Final = 100
#: Rows that are removed in one unit of work: other writers wait meanwhile.
_AT_ONCE: Final = 500
_PAUSE: Final = timedelta(minutes=1)
_log = get_logger(__name__)


class Pruner:
    """Removes some rows at a time, once a minute or as long as there are more.

    Args:
        catalogue: Keeps everything.
        environment: The clock.
        finished_job_hours: Finished jobs are kept for so long.
        max_finished_jobs: And no more than so many of them.
    """

    def __init__(
        self, catalogue: MetadataStore, environment: AppContext, *, finished_job_hours: float, max_finished_jobs: int
    ) -> None:
        self._catalogue = catalogue
        self._clock = environment.clock
        self._age = timedelta(hours=finished_job_hours)
        self._keep = max_finished_jobs
        self._next: datetime | None = None

    def prune(self) -> None:
        """Remove what is due, unless that was just done."""
        now = self._clock.now()
        if self._next is not None and now < self._next:
            return
        with self._catalogue.write() as unit:
            jobs = unit.prunable_jobs(before=now - self._age, keep=self._keep, limit=_AT_ONCE)
            for job in jobs:
                unit.remove(job)
            deployments = sum(self._prune_campaign(unit, campaign) for campaign in unit.find(Campaign))
        if jobs or deployments:
            _log.info("pruned", jobs=len(jobs), deployments=deployments)
        self._next = now if len(jobs) == _AT_ONCE else now + _PAUSE

    @staticmethod
    def _prune_campaign(unit: Unit, campaign: Campaign) -> int:
        if unit.count(Deployment, campaign_arn=campaign.arn) <= KEPT_DEPLOYMENTS:
            return 0
        deployments = unit.find(Deployment, campaign_arn=campaign.arn, order=["-number"])
        # An update begins from it where nothing is served yet.
        tried = next((item.id for item in deployments if not item.refused), None)
        left = [
            item
            for item in deployments[KEPT_DEPLOYMENTS:]
            if item.id not in (campaign.serving_id, tried) and item.status not in CREATING
        ]
        for deployment in left:
            for report in unit.find(ServingReport, deployment_id=deployment.id):
                unit.remove(report)
            unit.remove(deployment)
        return len(left)
