"""Lets recommenders go on when the training of the version that they wait for does."""

from __future__ import annotations

from datetime import datetime

from control_plane.domain.states import CREATING, Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Deployment, SolutionVersion
from control_plane.serving.revisions import next_revision
from control_plane.serving.targets import activate, mark, target_of

__all__ = ["follow_training"]


def follow_training(unit: Unit, version: SolutionVersion, now: datetime) -> None:
    """Bring the deployment that waits for a version, if there is one, in line with the version's new status."""
    if not version.of_recommender:
        return
    deployment = unit.first(Deployment, solution_version_arn=version.arn, status=frozenset(CREATING))
    if deployment is None:
        return
    target = target_of(unit, deployment)
    if version.status == Status.CREATE_IN_PROGRESS:
        mark(target, deployment, Status.CREATE_IN_PROGRESS, now)
    elif version.status == Status.CREATE_FAILED:
        deployment.failure_reason = version.failure_reason
        mark(target, deployment, Status.CREATE_FAILED, now)
    elif version.status == Status.ACTIVE and target.status == Status.INACTIVE:
        activate(unit, target, deployment, now)
    elif version.status == Status.ACTIVE:
        # From now on runtimes are given time to load it.
        deployment.last_updated_date_time = now
        next_revision(unit)
