"""What runtimes serve: campaigns, whose versions a caller chooses, and recommenders, which are trained for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.app_context import AppContext
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    Campaign,
    Deployment,
    Recommender,
    ServingTarget,
    Solution,
    SolutionVersion,
)
from control_plane.resources.schedules import start_schedule

__all__ = ["activate", "all_targets", "mark", "served_version", "start_retraining", "successor", "target_of"]

_RETRAINED_EVERY: Final = timedelta(days=7)
_TABLES: Final[tuple[type[ServingTarget], ...]] = (Campaign, Recommender)


def all_targets(unit: Unit, **where: Any) -> Iterator[ServingTarget]:
    """Yield the campaigns and recommenders that fulfil conditions."""
    for table in _TABLES:
        yield from unit.find(table, order=["arn"], **where)


def target_of(unit: Unit, deployment: Deployment) -> ServingTarget:
    """Return the campaign or recommender that a deployment belongs to."""
    targets = (unit.get(table, deployment.target_arn) for table in _TABLES)
    return next(target for target in targets if target is not None)


def served_version(unit: Unit, deployment: Deployment) -> SolutionVersion:
    """Return the version that a deployment serves, or is to serve."""
    version = unit.get(SolutionVersion, deployment.solution_version_arn)
    assert version is not None, "a foreign key holds it"
    return version


def successor(app_context: AppContext, before: Deployment, *, version_arn: str, number: int) -> Deployment:
    """Return a new deployment of the same target, configured as one before it, not yet added to a unit."""
    now = app_context.clock.now()
    return Deployment(
        id=app_context.new_id(),
        target_arn=before.target_arn,
        number=number,
        solution_version_arn=version_arn,
        min_provisioned_tps=before.min_provisioned_tps,
        campaign_config=before.campaign_config,
        recommender_config=before.recommender_config,
        creation_date_time=now,
        last_updated_date_time=now,
    )


def start_retraining(unit: Unit, recommender: Recommender, now: datetime) -> None:
    """Let a recommender be trained anew every week, until `stop_schedule`, whether there are new data or not."""
    start_schedule(
        unit,
        recommender.solution_arn,
        interval=_RETRAINED_EVERY,
        first_at=now + _RETRAINED_EVERY,
        now=now,
        only_with_new_data=False,
    )


def mark(target: ServingTarget, deployment: Deployment, status: Status, now: datetime) -> None:
    """Set the status of a deployment that is not ACTIVE, and that of its target while that is created by it.

    The status of a target does not change while an update runs, nor when it fails.
    """
    deployment.status = status
    deployment.last_updated_date_time = now
    if deployment.number == 1:
        target.status = status
        target.failure_reason = deployment.failure_reason
        target.last_updated_date_time = now


def activate(unit: Unit, target: ServingTarget, deployment: Deployment, now: datetime) -> None:
    """Let a target answer with a deployment; a recommender that is stopped stays so."""
    is_first = target.serving_id is None
    deployment.status = Status.ACTIVE
    deployment.last_updated_date_time = now
    target.serving_id = deployment.id
    target.last_updated_date_time = now
    if target.status != Status.INACTIVE:
        target.status = Status.ACTIVE
        target.failure_reason = None
    if isinstance(target, Recommender) and is_first:
        start_retraining(unit, target, now)
    if isinstance(target, Recommender):
        solution = unit.get(Solution, target.solution_arn)
        assert solution is not None, "a foreign key holds it"
        # What is trained from now on is trained like what is served.
        version = served_version(unit, deployment)
        solution.solution_config, solution.columns_chosen_at = version.solution_config, version.columns_chosen_at
