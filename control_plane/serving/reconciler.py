"""Draws the consequences of what runtimes report: campaigns become ACTIVE, fail, follow new versions, or are gone.

Run whenever something was reported and every few seconds besides, since a worker's silence says something too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.states import CREATING, DELETING, Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Campaign, Deployment, RuntimeWorker, ServingReport
from control_plane.resources.base import remove
from control_plane.serving.latest_version_sync import LatestVersionSync
from control_plane.serving.revisions import next_revision

__all__ = ["Phase", "ServingReconciler"]

_log = get_logger(__name__)
#: Workers that have been silent for so many times the liveness limit are forgotten.
_FORGET_AFTER: Final = 20


class Phase(StrEnum):
    """How far a worker is with a deployment."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


class ServingReconciler:
    """Moves campaigns by the reports of the live workers.

    Args:
        environment: The clock.
        following: Moves campaigns on to new versions.
        liveness_seconds: A worker that was not heard of for so long counts no more.
        loading_seconds: A deployment waits no longer for workers that neither loaded it nor failed.
    """

    def __init__(
        self, environment: AppContext, *, following: LatestVersionSync, liveness_seconds: float, loading_seconds: float
    ) -> None:
        self._environment = environment
        self._following = following
        self._liveness = timedelta(seconds=liveness_seconds)
        self._loading = timedelta(seconds=loading_seconds)

    def settle(self, unit: Unit) -> None:
        """Move every campaign that waits for workers, within a writing unit."""
        unit.flush()
        now = self._environment.clock.now()
        live = [worker for worker in unit.find(RuntimeWorker) if worker.last_seen_at >= now - self._liveness]
        for deployment in unit.find(Deployment, status=frozenset(CREATING)):
            self._deploy(unit, deployment, live, now)
        for campaign in unit.find(Campaign, status=frozenset(DELETING)):
            self._delete(unit, campaign, live, now)
        troubles = _troubles(unit, live)
        for campaign in unit.find(Campaign, status=Status.ACTIVE):
            self._tell_trouble(campaign, troubles.get(campaign.serving_id or ""))
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
        ended = [report for report in heard if report.phase != Phase.LOADING]
        if not heard or (len(ended) < len(live) and now - deployment.last_updated_date_time < self._loading):
            return
        failed = [report for report in ended if report.phase == Phase.FAILED]
        if failed:
            deployment.failure_reason = _told(failed, workers=len(live))
        elif not ended:
            seconds = self._loading.total_seconds()
            deployment.failure_reason = f"none of {len(live)} runtime workers loaded it within {seconds:g} seconds"
        if deployment.failure_reason is not None:
            self._mark(campaign, deployment, Status.CREATE_FAILED, now)
            next_revision(unit)
        else:
            self._mark(campaign, deployment, Status.ACTIVE, now)
            campaign.serving_id = deployment.id
        _log.info(
            "deployment_settled",
            campaign_arn=campaign.arn,
            status=deployment.status,
            workers=len(ended),
            not_waited_for=len(live) - len(ended),
        )

    @staticmethod
    def _tell_trouble(campaign: Campaign, reason: str | None) -> None:
        """Show with an ACTIVE campaign that workers cannot serve it, for as long as they say so."""
        if campaign.failure_reason == reason:
            return
        campaign.failure_reason = reason
        if reason is None:
            _log.info("campaign_served_again", campaign_arn=campaign.arn)
        else:
            _log.error("campaign_not_served_everywhere", campaign_arn=campaign.arn, reason=reason)

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


def _troubles(unit: Unit, live: list[RuntimeWorker]) -> dict[str, str]:
    """Return what live workers say of deployments that they cannot load, by deployment."""
    known = {worker.runtime_id for worker in live}
    failed: dict[str, list[ServingReport]] = {}
    for report in unit.find(ServingReport, phase=Phase.FAILED):
        if report.runtime_id in known:
            failed.setdefault(report.deployment_id, []).append(report)
    return {deployment_id: _told(reports, workers=len(live)) for deployment_id, reports in failed.items()}


def _told(failed: list[ServingReport], *, workers: int) -> str:
    reasons = "; ".join(sorted({report.failure_reason or "no reason given" for report in failed}))
    return f"{len(failed)} of {workers} runtime workers could not load it: {reasons}"
