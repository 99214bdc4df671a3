"""Assignments as the contract has them, and how far this worker is with each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from inference.model import RankingInfluence
from inference.recent_events import EventRule
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.internal.v1 import serving_pb2
from recipes.components.exploration import ExplorationSettings
from runtime_service.serving.deployments import Assignment

__all__ = [
    "FAILED",
    "LOADING",
    "READY",
    "Goal",
    "identity",
    "is_active",
    "read_exploration",
    "read_influence",
    "read_metadata",
    "to_assignment",
]

LOADING = serving_pb2.SERVING_PHASE_LOADING
READY = serving_pb2.SERVING_PHASE_READY
FAILED = serving_pb2.SERVING_PHASE_FAILED


@dataclass(slots=True, eq=False)
class Goal:
    """One assignment and how far it is.

    Attributes:
        message: As the control plane gave it.
        assignment: The same, as deployments have it.
        phase: How far it is; FAILED is tried again and again.
        failure_reason: Why the last attempt failed.
        load: What brings it further; None once it is READY.
    """

    message: serving_pb2.ServingAssignment
    assignment: Assignment
    phase: serving_pb2.ServingPhase.ValueType
    failure_reason: str = ""
    load: asyncio.Task[None] | None = None

    @property
    def campaign_arn(self) -> str:
        """ARN of the campaign that the goal is about."""
        return self.assignment.campaign_arn

    @property
    def active(self) -> bool:
        """Whether callers rely on the campaign already."""
        return is_active(self.message)

    def give_up(self) -> None:
        """Do no more for it: it is no longer wanted, or reached."""
        if self.load is not None:
            self.load.cancel()

    def state(self) -> serving_pb2.ServingState:
        """Return what is reported of it."""
        return serving_pb2.ServingState(
            serving_arn=self.campaign_arn,
            deployment_id=self.assignment.deployment_id,
            phase=self.phase,
            failure_reason=self.failure_reason or None,
        )


def is_active(item: serving_pb2.ServingAssignment) -> bool:
    """Return whether callers rely on a campaign already; a control plane that does not say so means yes."""
    return item.active or not item.HasField("active")


def identity(item: serving_pb2.ServingAssignment | Assignment) -> tuple[str, str]:
    """Return what tells one load from another: the deployment, and its artifact, which updates of versions change."""
    return item.deployment_id, item.artifact_location


def to_assignment(item: serving_pb2.ServingAssignment) -> Assignment:
    """Return what deployments need of an assignment."""
    return Assignment(
        campaign_arn=item.serving_arn,
        deployment_id=item.deployment_id,
        artifact_location=item.artifact_location,
        dataset_group_arn=item.dataset_group_arn,
        event_type=item.event_type or None,
        event_rules=tuple(
            EventRule(rule.event_type or None, rule.least_value if rule.HasField("least_value") else None)
            for rule in item.event_rules
        ),
        exploration=read_exploration(item.campaign_config),
        influence=read_influence(item.campaign_config),
        metadata=read_metadata(item.campaign_config),
        solution_version_arn=item.solution_version_arn,
    )


def read_exploration(config: CampaignConfig) -> ExplorationSettings:
    """Read `itemExplorationConfig` of a configuration, which the control plane has checked."""
    return ExplorationSettings.read(config.item_exploration_config)


def read_metadata(config: CampaignConfig) -> bool | None:
    """Return whether a configuration wants columns of items in answers; None where it does not say."""
    if not config.HasField("enable_metadata_with_recommendations"):
        return None
    return config.enable_metadata_with_recommendations


def read_influence(config: CampaignConfig) -> RankingInfluence:
    """Read `rankingInfluence` of a configuration, which the control plane has checked."""
    return RankingInfluence.read(config.ranking_influence)
