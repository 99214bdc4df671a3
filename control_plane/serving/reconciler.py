"""Brings campaigns in line with what runtime workers report: they become ACTIVE, fail, move to new versions or end.

Runs after every report and every few seconds besides, because a worker that stops reporting counts too.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
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
#: Workers are removed when they have been silent for so many times the liveness limit.
_REMOVE_AFTER: Final = 20


class Phase(StrEnum):
    """How far a worker is with a deployment."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


class ServingReconciler:
    """Moves campaigns by the reports of the live workers.

    Args:
        app_context: The clock.
        latest_version_sync: Moves campaigns to new versions.
        liveness_seconds: Workers without a call for so long do not count.
        loading_seconds: How long a deployment waits for workers that neither loaded it nor failed.
    """

    def __init__(
        self,
        app_context: AppContext,
        *,
        latest_version_sync: LatestVersionSync,
        liveness_seconds: float,
        loading_seconds: float,
    ) -> None:
        self._app_context = app_context
        self._latest_version_sync = latest_version_sync
        self._liveness = timedelta(seconds=liveness_seconds)
        self._loading = timedelta(seconds=loading_seconds)

    def reconcile(self, unit: Unit) -> None:
        """Update every campaign and deployment by the reports of the live workers, within a writing unit."""
        unit.flush()
        now = self._app_context.clock.now()
        live = [worker for worker in unit.find(RuntimeWorker) if worker.last_seen_at >= now - self._liveness]
        for deployment in unit.find(Deployment, status=frozenset(CREATING)):
            self._reconcile_deployment(unit, deployment, live, now)
        for campaign in unit.find(Campaign, status=frozenset(DELETING)):
            self._reconcile_deletion(unit, campaign, live, now)
        failure_reasons = _failure_reasons(unit, live)
        for campaign in unit.find(Campaign, status=Status.ACTIVE):
            self._set_failure_reason(unit, campaign, failure_reasons.get(campaign.serving_id or ""))
            self._latest_version_sync.sync(unit, campaign)

    def remove_silent_workers(self, unit: Unit) -> None:
        """Remove workers that have been silent for long, with their reports."""
        limit = self._app_context.clock.now() - self._liveness * _REMOVE_AFTER
        for worker in unit.find(RuntimeWorker):
            if worker.last_seen_at < limit:
                for report in unit.find(ServingReport, runtime_id=worker.runtime_id):
                    unit.remove(report)
                unit.remove(worker)

    def _reconcile_deployment(
        self, unit: Unit, deployment: Deployment, live: list[RuntimeWorker], now: datetime
    ) -> None:
        reports = {report.runtime_id: report for report in unit.find(ServingReport, deployment_id=deployment.id)}
        live_reports = [reports[worker.runtime_id] for worker in live if worker.runtime_id in reports]
        campaign = unit.get(Campaign, deployment.campaign_arn)
        assert campaign is not None, "a foreign key holds it"
        if live_reports and deployment.status == Status.CREATE_PENDING:
            self._mark(campaign, deployment, Status.CREATE_IN_PROGRESS, now)
        final_reports = [report for report in live_reports if report.phase != Phase.LOADING]
        if not live_reports or (
            len(final_reports) < len(live) and now - deployment.last_updated_date_time < self._loading
        ):
            return
        failed = [report for report in final_reports if report.phase == Phase.FAILED]
        if failed:
            deployment.failure_reason = _describe_failures(failed, workers=len(live))
        elif not final_reports:
            seconds = self._loading.total_seconds()
            deployment.failure_reason = f"none of {len(live)} runtime workers loaded it within {seconds:g} seconds"
        if deployment.failure_reason is not None:
            self._mark(campaign, deployment, Status.CREATE_FAILED, now)
            next_revision(unit)
        else:
            self._mark(campaign, deployment, Status.ACTIVE, now)
            campaign.serving_id = deployment.id
        unit.after_commit(
            partial(
                _log.info,
                "deployment_reconciled",
                campaign_arn=campaign.arn,
                status=deployment.status,
                workers=len(final_reports),
                not_waited_for=len(live) - len(final_reports),
            )
        )

    @staticmethod
    def _set_failure_reason(unit: Unit, campaign: Campaign, reason: str | None) -> None:
        """Keep the failure reason of an ACTIVE campaign equal to what its workers report now; None for no failure."""
        if campaign.failure_reason == reason:
            return
        campaign.failure_reason = reason
        if reason is None:
            unit.after_commit(partial(_log.info, "campaign_served_again", campaign_arn=campaign.arn))
        else:
            fields = {"campaign_arn": campaign.arn, "reason": reason}
            unit.after_commit(partial(_log.error, "campaign_not_served_everywhere", **fields))

    @staticmethod
    def _mark(campaign: Campaign, deployment: Deployment, status: Status, now: datetime) -> None:
        deployment.status = status
        deployment.last_updated_date_time = now
        # The status of the campaign does not change while an update runs, nor when it fails.
        if deployment.number == 1 or status is Status.ACTIVE:
            campaign.status = status
            campaign.failure_reason = deployment.failure_reason
            campaign.last_updated_date_time = now

    @staticmethod
    def _reconcile_deletion(unit: Unit, campaign: Campaign, live: list[RuntimeWorker], now: datetime) -> None:
        gone_from = campaign.deleted_revision or 0
        if all((worker.known_revision or 0) >= gone_from for worker in live):
            for deployment in unit.find(Deployment, campaign_arn=campaign.arn):
                unit.remove(deployment)
            remove(unit, campaign)
        elif campaign.status == Status.DELETE_PENDING:
            campaign.status = Status.DELETE_IN_PROGRESS
            campaign.last_updated_date_time = now


def _failure_reasons(unit: Unit, live: list[RuntimeWorker]) -> dict[str, str]:
    """Return, by deployment id, why live workers could not load the deployments that failed."""
    live_ids = {worker.runtime_id for worker in live}
    failed: dict[str, list[ServingReport]] = {}
    for report in unit.find(ServingReport, phase=Phase.FAILED):
        if report.runtime_id in live_ids:
            failed.setdefault(report.deployment_id, []).append(report)
    return {deployment_id: _describe_failures(reports, workers=len(live)) for deployment_id, reports in failed.items()}


def _describe_failures(failed: list[ServingReport], *, workers: int) -> str:
    reasons = "; ".join(sorted({report.failure_reason or "no reason given" for report in failed}))
    return f"{len(failed)} of {workers} runtime workers could not load it: {reasons}"
