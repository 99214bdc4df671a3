"""Draws the consequences of what runtimes report: campaigns become ACTIVE, fail, follow new versions, or are gone.

Run whenever something was reported and every few seconds besides, since a worker's silence says something too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from common.logs import get_logger
from control_plane.catalogue import Unit
from control_plane.catalogue.tables import Campaign, Deployment, RuntimeWorker, ServingReport
from control_plane.domain.states import CREATING, DELETING, Status
from control_plane.environment import Environment
from control_plane.resources.base import remove
from control_plane.serving.following import Following
from control_plane.serving.revisions import next_revision

__all__ = ["Phase", "Settlement"]

_log = get_logger(__name__)
#: Workers that have been silent for so many times the liveness limit are forgotten.
_FORGET_AFTER: Final = 20


class Phase(StrEnum):
    """How far a worker is with a deployment."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


class Settlement:
    """Moves campaigns by the reports of the live workers.

    Args:
        environment: The clock.
        following: Moves campaigns on to new versions.
        liveness_seconds: A worker that was not heard of for so long counts no more.
    """

    def __init__(self, environment: Environment, *, following: Following, liveness_seconds: float) -> None:
        self._environment = environment
        self._following = following
        self._liveness = timedelta(seconds=liveness_seconds)

    def settle(self, unit: Unit) -> None:
        """Move every campaign that waits for workers, within a writing unit."""
        unit.flush()
        now = self._environment.clock.now()
        live = [worker for worker in unit.find(RuntimeWorker) if worker.last_seen_at >= now - self._liveness]
        for deployment in unit.find(Deployment, status=frozenset(CREATING)):
            self._deploy(unit, deployment, live, now)
        for campaign in unit.find(Campaign, status=frozenset(DELETING)):
            self._delete(unit, campaign, live, now)
        for campaign in unit.find(Campaign, status=Status.ACTIVE):
            self._following.follow(unit, campaign)

    def forget_silent_workers(self, unit: Unit) -> None:
        """Remove workers that have been gone for long, with their reports."""
        limit = self._environment.clock.now() - self._liveness * _FORGET_AFTER
        for worker in unit.find(RuntimeWorker):
            if worker.last_seen_at < limit:
                for report in unit.find(ServingReport, runtime_id=worker.runtime_id):
                    unit.remove(report)
                unit.remove(worker)

    def _deploy(self, unit: Unit, deployment: Deployment, live: list[RuntimeWorker], now: datetime) -> None:
        reports = {report.runtime_id: report for report in unit.find(ServingReport, deployment_id=deployment.id)}
        heard = [reports[worker.runtime_id] for worker in live if worker.runtime_id in reports]
        campaign = unit.get(Campaign, deployment.campaign_arn)
        assert campaign is not None, "a foreign key holds it"
        if heard and deployment.status == Status.CREATE_PENDING:
            self._mark(campaign, deployment, Status.CREATE_IN_PROGRESS, now)
        if not heard or len(heard) < len(live) or any(report.phase == Phase.LOADING for report in heard):
            return
        failed = [report for report in heard if report.phase == Phase.FAILED]
        if failed:
            reasons = "; ".join(sorted({report.failure_reason or "no reason given" for report in failed}))
            deployment.failure_reason = f"{len(failed)} of {len(heard)} runtime workers could not load it: {reasons}"
            self._mark(campaign, deployment, Status.CREATE_FAILED, now)
            next_revision(unit)
        else:
            self._mark(campaign, deployment, Status.ACTIVE, now)
            campaign.serving_id = deployment.id
        _log.info("deployment_settled", campaign_arn=campaign.arn, status=deployment.status, workers=len(heard))

    @staticmethod
    def _mark(campaign: Campaign, deployment: Deployment, status: Status, now: datetime) -> None:
        deployment.status = status
        deployment.last_updated_date_time = now
        # An update that fails, or goes on, leaves the state of the campaign as it was.
        if deployment.number == 1 or status is Status.ACTIVE:
            campaign.status = status
            campaign.failure_reason = deployment.failure_reason
            campaign.last_updated_date_time = now

    @staticmethod
    def _delete(unit: Unit, campaign: Campaign, live: list[RuntimeWorker], now: datetime) -> None:
        gone_from = campaign.deleted_revision or 0
        if all((worker.known_revision or 0) >= gone_from for worker in live):
            for deployment in unit.find(Deployment, campaign_arn=campaign.arn):
                unit.remove(deployment)
            remove(unit, campaign)
        elif campaign.status == Status.DELETE_PENDING:
            campaign.status = Status.DELETE_IN_PROGRESS
            campaign.last_updated_date_time = now
