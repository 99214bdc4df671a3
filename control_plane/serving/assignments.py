"""The set of assignments: for every campaign the deployment that runtimes are to load and serve."""

from __future__ import annotations

import json
from dataclasses import dataclass

from control_plane.domain.events import EventRule, event_rules
from control_plane.domain.states import CREATING, DELETING, Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Campaign, Deployment, EventTracker, SolutionVersion
from control_plane.serving.revisions import current_revision

__all__ = ["Assignment", "AssignmentSet", "assignments", "deployment_in_progress"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One campaign to serve; keyed like the message of the contract."""

    serving_arn: str
    deployment_id: str
    solution_version_arn: str
    artifact_location: str
    config_json: str | None
    tracking_ids: tuple[str, ...]
    dataset_group_arn: str
    event_type: str | None
    event_rules: tuple[EventRule, ...]
    active: bool


@dataclass(frozen=True, slots=True)
class AssignmentSet:
    """Everything to be served now."""

    revision: int
    assignments: tuple[Assignment, ...]


def deployment_in_progress(unit: Unit, campaign: Campaign) -> Deployment | None:
    """Return the creation or update of a campaign that is being loaded."""
    return unit.first(Deployment, campaign_arn=campaign.arn, status=frozenset(CREATING))


def assignments(unit: Unit) -> AssignmentSet:
    """Return the present set.

    A campaign that is being updated is assigned its new deployment: runtimes go on answering with the one they have
    until the new one is ready. An update that failed leaves the set, and the one before it comes back.
    """
    found = []
    for campaign in unit.find(Campaign, order=["arn"]):
        if campaign.status in DELETING:
            continue
        deployment = deployment_in_progress(unit, campaign)
        if deployment is None and campaign.serving_id is not None:
            deployment = unit.get(Deployment, campaign.serving_id)
        if deployment is not None:
            found.append(_assignment(unit, campaign, deployment))
    return AssignmentSet(current_revision(unit), tuple(found))


def _assignment(unit: Unit, campaign: Campaign, deployment: Deployment) -> Assignment:
    version = unit.get(SolutionVersion, deployment.solution_version_arn)
    assert version is not None, "a foreign key holds it"
    config = deployment.campaign_config
    trackers = unit.find(EventTracker, dataset_group_arn=version.dataset_group_arn, status=Status.ACTIVE)
    return Assignment(
        serving_arn=campaign.arn,
        deployment_id=deployment.id,
        solution_version_arn=version.arn,
        artifact_location=version.artifact_location,
        config_json=None if config is None else json.dumps(config),
        tracking_ids=tuple(sorted(tracker.tracking_id for tracker in trackers)),
        dataset_group_arn=version.dataset_group_arn,
        event_type=version.event_type,
        event_rules=event_rules(version.solution_config or {}),
        active=campaign.serving_id is not None,
    )
