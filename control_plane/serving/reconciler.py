"""Brings what is served in line with what runtime workers report: it becomes ACTIVE, fails, moves on or ends.

Runs after every report and every few seconds besides, because a worker that stops reporting counts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Final

from common.logs import get_logger
from control_plane.app_context import AppContext
from control_plane.domain.states import BLOCKING, CREATING, DELETING, STARTING, STOPPING, Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    Deployment,
    Recommender,
    RuntimeWorker,
    ServingReport,
    ServingTarget,
    Solution,
    SolutionVersion,
)
from control_plane.resources.artifacts import stored_folders
from control_plane.resources.base import remove
from control_plane.serving.latest_version_sync import LatestVersionSync
from control_plane.serving.revisions import next_revision
from control_plane.serving.targets import activate, all_targets, mark, served_version, target_of
from protos.tailorbird.internal.v1.jobs_pb2 import StorageRemovalPayload

__all__ = ["Phase", "ServingReconciler"]

_log = get_logger(__name__)
#: Workers are removed when they have been silent for so many times the liveness limit.
_REMOVE_AFTER: Final = 20


class Phase(StrEnum):
    """How far a worker is with a deployment."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class _Loading:
    """How far the live workers are with a deployment.

    Attributes:
        begun: Whether any has heard of it.
        ended: Whether those that have neither loaded it nor failed are not waited for.
        finished: How many have loaded it or failed.
        failure_reason: Why it failed; None when it did not, or has not ended.
    """

    begun: bool
    ended: bool
    finished: int
    failure_reason: str | None


class ServingReconciler:
    """Moves campaigns and recommenders by the reports of the live workers.

    Args:
        app_context: The clock.
        latest_version_sync: Moves them to new versions.
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
        """Update every target and deployment by the reports of the live workers, within a writing unit."""
        unit.flush()
        now = self._app_context.clock.now()
        live = [worker for worker in unit.find(RuntimeWorker) if worker.last_seen_at >= now - self._liveness]
        for deployment in unit.find(Deployment, status=frozenset(CREATING)):
            self._reconcile_deployment(unit, deployment, live, now)
        for target in all_targets(unit, status=STARTING):
            self._reconcile_start(unit, target, live, now)
        for target in all_targets(unit, status=STOPPING):
            self._reconcile_stop(target, live, now)
        for target in all_targets(unit, status=DELETING):
            self._reconcile_deletion(unit, target, live, now)
        failure_reasons = _failure_reasons(unit, live)
        for target in all_targets(unit, status=Status.ACTIVE):
            self._set_failure_reason(unit, target, failure_reasons.get(target.serving_id or ""))
            self._latest_version_sync.sync(unit, target)

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
        target = target_of(unit, deployment)
        if served_version(unit, deployment).status != Status.ACTIVE:
            return  # A recommender's, which waits for its training.
        loading = self._loading_of(unit, deployment, live, now)
        if loading.begun and deployment.status == Status.CREATE_PENDING:
            mark(target, deployment, Status.CREATE_IN_PROGRESS, now)
        if not loading.ended:
            return
        if loading.failure_reason is not None:
            deployment.failure_reason = loading.failure_reason
            mark(target, deployment, Status.CREATE_FAILED, now)
            next_revision(unit)
        else:
            activate(unit, target, deployment, now)
        unit.after_commit(
            partial(
                _log.info,
                "deployment_reconciled",
                serving_arn=target.arn,
                status=deployment.status,
                workers=loading.finished,
                not_waited_for=len(live) - loading.finished,
            )
        )

    def _reconcile_start(self, unit: Unit, target: ServingTarget, live: list[RuntimeWorker], now: datetime) -> None:
        """Let a recommender that is started again answer; one that cannot be loaded says why, and is tried again."""
        deployment = unit.get(Deployment, target.serving_id)
        assert deployment is not None, "only what was served can be started again"
        loading = self._loading_of(unit, deployment, live, now)
        target.failure_reason = loading.failure_reason
        if loading.ended and loading.failure_reason is None:
            target.status = Status.ACTIVE
            target.last_updated_date_time = now
        elif loading.begun and target.status == Status.START_PENDING:
            target.status = Status.START_IN_PROGRESS
            target.last_updated_date_time = now

    def _loading_of(self, unit: Unit, deployment: Deployment, live: list[RuntimeWorker], now: datetime) -> _Loading:
        """Return how far the live workers are with a deployment; workers that load it for too long do not count."""
        reports = {report.runtime_id: report for report in unit.find(ServingReport, deployment_id=deployment.id)}
        live_reports = [reports[worker.runtime_id] for worker in live if worker.runtime_id in reports]
        final = [report for report in live_reports if report.phase != Phase.LOADING]
        in_time = now - deployment.last_updated_date_time < self._loading
        if not live_reports or (len(final) < len(live) and in_time):
            return _Loading(begun=bool(live_reports), ended=False, finished=len(final), failure_reason=None)
        failed = [report for report in final if report.phase == Phase.FAILED]
        reason = _describe_failures(failed, workers=len(live)) if failed else None
        if not final:
            seconds = self._loading.total_seconds()
            reason = f"none of {len(live)} runtime workers loaded it within {seconds:g} seconds"
        return _Loading(begun=True, ended=True, finished=len(final), failure_reason=reason)

    @staticmethod
    def _set_failure_reason(unit: Unit, target: ServingTarget, reason: str | None) -> None:
        """Keep the failure reason of an ACTIVE target equal to what its workers report now; None for no failure."""
        if target.failure_reason == reason:
            return
        target.failure_reason = reason
        if reason is None:
            unit.after_commit(partial(_log.info, "target_served_again", serving_arn=target.arn))
        else:
            fields = {"serving_arn": target.arn, "reason": reason}
            unit.after_commit(partial(_log.error, "target_not_served_everywhere", **fields))

    def _reconcile_stop(self, target: ServingTarget, live: list[RuntimeWorker], now: datetime) -> None:
        if _dropped_by(live, target):
            target.status, target.last_updated_date_time = Status.INACTIVE, now
        elif target.status == Status.STOP_PENDING:
            target.status, target.last_updated_date_time = Status.STOP_IN_PROGRESS, now

    def _reconcile_deletion(self, unit: Unit, target: ServingTarget, live: list[RuntimeWorker], now: datetime) -> None:
        dropped = _dropped_by(live, target)
        if dropped and not isinstance(target, Recommender):
            for deployment in unit.find(Deployment, target_arn=target.arn):
                unit.remove(deployment)
            remove(unit, target)
            return
        if target.status == Status.DELETE_PENDING:
            target.status, target.last_updated_date_time = Status.DELETE_IN_PROGRESS, now
        if dropped:
            self._remove_versions(unit, target, now)

    def _remove_versions(self, unit: Unit, target: ServingTarget, now: datetime) -> None:
        """Ask a trainer to remove what a recommender was trained to; its rows are removed after that."""
        solution = unit.get(Solution, target.solution_arn)
        assert solution is not None, "a foreign key holds it"
        being_made = unit.first(SolutionVersion, solution_arn=solution.arn, status=BLOCKING)
        if solution.status in DELETING or being_made is not None:
            return
        solution.status, solution.last_updated_date_time = Status.DELETE_PENDING, now
        versions = unit.find(SolutionVersion, solution_arn=solution.arn)
        payload = StorageRemovalPayload(locations=stored_folders(versions))
        enqueue(unit, self._app_context, payload, subject=solution.arn, group_arn=solution.dataset_group_arn)


def _dropped_by(live: list[RuntimeWorker], target: ServingTarget) -> bool:
    """Return whether no live worker serves a target any more that is to be served no longer."""
    gone_from = target.deleted_revision or 0
    return all((worker.known_revision or 0) >= gone_from for worker in live)


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
