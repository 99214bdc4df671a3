"""The assignments: for every campaign and recommender the deployment that runtime workers have to load and serve."""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.domain.events import EventRule, event_rules
from control_plane.domain.recommenders import served_with
from control_plane.domain.states import CREATING, STARTING, UNSERVED, Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Deployment, EventTracker, ServingTarget
from control_plane.resources.artifacts import served_artifact
from control_plane.serving.revisions import current_revision
from control_plane.serving.served_groups import ServedGroup, served_groups
from control_plane.serving.targets import all_targets, served_version
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig

__all__ = ["Assignment", "AssignmentSet", "assignment_set", "deployment_in_progress"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One campaign or recommender to serve; its attributes have the names of the fields of the contract's message.

    Attributes:
        serving_arn: ARN of the campaign or recommender.
        deployment_id: The deployment of it to load.
        solution_version_arn: The version that the deployment serves.
        artifact_location: Folder of the version's newest artifact in the store; an update of the version changes it.
        campaign_config: Its configuration; None without one.
        tracking_ids: Ids of the trackers whose events belong to the dataset group.
        dataset_group_arn: Dataset group of the version.
        event_type: Event type that the version was trained on; None for all.
        event_rules: Which streamed events count for a user's history.
        active: Whether it answers requests already, with this deployment or the one before.
    """

    serving_arn: str
    deployment_id: str
    solution_version_arn: str
    artifact_location: str
    campaign_config: CampaignConfig | None
    tracking_ids: tuple[str, ...]
    dataset_group_arn: str
    event_type: str | None
    event_rules: tuple[EventRule, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class AssignmentSet:
    """All assignments at one revision.

    Attributes:
        revision: Grows with every change of the set.
        assignments: What is served.
        groups: The dataset groups that it belongs to, each once.
    """

    revision: int
    assignments: tuple[Assignment, ...]
    groups: tuple[ServedGroup, ...]


def deployment_in_progress(unit: Unit, target: ServingTarget) -> Deployment | None:
    """Return the deployment that the creation or an update of a target waits for; None when there is none."""
    return unit.first(Deployment, target_arn=target.arn, status=frozenset(CREATING))


def assignment_set(unit: Unit) -> AssignmentSet:
    """Return the current set of assignments.

    A target that is being updated is assigned its new deployment, once its version is trained: runtimes answer with the
    old one until the new one is ready. When an update fails, the set has the deployment before it again.
    """
    assignments = []
    for target in all_targets(unit):
        if target.status in UNSERVED:
            continue
        deployment = deployment_in_progress(unit, target)
        if deployment is not None and served_version(unit, deployment).status != Status.ACTIVE:
            deployment = None
        if deployment is None and target.serving_id is not None:
            deployment = unit.get(Deployment, target.serving_id)
        if deployment is not None:
            assignments.append(_assignment(unit, target, deployment))
    groups = served_groups(unit, [assignment.dataset_group_arn for assignment in assignments])
    return AssignmentSet(current_revision(unit), tuple(assignments), groups)


def _assignment(unit: Unit, target: ServingTarget, deployment: Deployment) -> Assignment:
    version = served_version(unit, deployment)
    trackers = unit.find(EventTracker, dataset_group_arn=version.dataset_group_arn, status=Status.ACTIVE)
    return Assignment(
        serving_arn=target.arn,
        deployment_id=deployment.id,
        solution_version_arn=version.arn,
        artifact_location=served_artifact(version),
        campaign_config=_serving_config(deployment),
        tracking_ids=tuple(sorted(tracker.tracking_id for tracker in trackers)),
        dataset_group_arn=version.dataset_group_arn,
        event_type=version.event_type,
        event_rules=event_rules(version.solution_config or SolutionConfig()),
        active=target.serving_id is not None and target.status not in STARTING,
    )


def _serving_config(deployment: Deployment) -> CampaignConfig | None:
    """Return what runtimes are told of a configuration; recommenders are served like campaigns."""
    if deployment.recommender_config is not None:
        return served_with(deployment.recommender_config)
    return deployment.campaign_config
