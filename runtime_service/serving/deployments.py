"""Campaigns as this worker serves them: what is assigned, the model, and the pipeline that answers from it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from inference.model import Model, RankingInfluence
from inference.pipelines import Pipeline
from inference.recent_events import EventRule
from recipes.components.exploration import ExplorationSettings
from recipes.ports import TrendScorer
from runtime_service.serving.trending_list import TrendingList

__all__ = ["Assignment", "Deployment", "DeploymentTable"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the control plane wants served for one campaign.

    Attributes:
        campaign_arn: The campaign.
        deployment_id: Changes with each update of the campaign.
        artifact_location: Folder of the artifact in the shared store.
        dataset_group_arn: Whose events count.
        event_type: The only type of event that counts; None for all.
        event_rules: Events count that one of them takes; without rules all do.
        exploration: What the campaign says of new items.
        influence: How much freshness and popularity count.
        metadata: Whether answers may carry columns of items; None where the configuration does not say.
        solution_version_arn: The version that the artifact is of; empty where that is not known.
    """

    campaign_arn: str
    deployment_id: str
    artifact_location: str
    dataset_group_arn: str
    event_type: str | None
    event_rules: tuple[EventRule, ...] = ()
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)
    influence: RankingInfluence = field(default_factory=RankingInfluence)
    metadata: bool | None = None
    solution_version_arn: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one campaign serves; used by one thread.

    Attributes:
        assignment: What is served.
        model: The loaded artifact, as the campaign configures it.
        pipeline: Answers requests; keeps the states of active users.
        trending_list: What rises now, where the recipe counts events.
    """

    assignment: Assignment
    model: Model
    pipeline: Pipeline = field(repr=False)
    trending_list: TrendingList | None = field(default=None, repr=False)

    @property
    def returns_metadata(self) -> bool:
        """Whether answers may carry columns of items."""
        said = self.assignment.metadata
        return self.model.recipe.metadata_by_default if said is None else said

    @classmethod
    def make(cls, assignment: Assignment, model: Model, *, cache_users: int) -> Deployment:
        """Let a model serve a campaign.

        Args:
            assignment: The campaign.
            model: The loaded artifact.
            cache_users: Active users whose states are kept.
        """
        model = assignment.influence.on(model)
        pipeline = Pipeline.make(
            model,
            cache_users=cache_users,
            event_type=assignment.event_type,
            event_rules=assignment.event_rules,
            exploration=assignment.exploration,
        )
        return cls(assignment, model, pipeline, _trending_list(assignment, model))

    def reassigned(self, assignment: Assignment) -> Deployment:
        """Return the same deployment with what the control plane says about it now.

        States are made anew when it says something else: other events may count.
        """
        if assignment == self.assignment:
            return self
        pipeline = self.pipeline.with_events(event_type=assignment.event_type, event_rules=assignment.event_rules)
        trending_list = self.trending_list
        if assignment.event_type != self.assignment.event_type:
            trending_list = _trending_list(assignment, self.model)
        return Deployment(assignment, self.model, pipeline, trending_list)


def _trending_list(assignment: Assignment, model: Model) -> TrendingList | None:
    if not isinstance(model.scorer, TrendScorer):
        return None
    return TrendingList(
        model.scorer,
        model.items,
        new_ids=model.new_items.ids,
        dataset_group_arn=assignment.dataset_group_arn,
        event_type=assignment.event_type,
    )


class DeploymentTable:
    """The deployments by campaign; replaced whole, so that a request sees one state from begin to end.

    Attributes:
        loaded: Set once the assignments are known, and each of them is served or has failed to load.
        changed: Set at each change of what follows; the task that waits for it clears it.
        confirmed: Whether the assignments come from the control plane, and not only from the disk of this host.
    """

    def __init__(self) -> None:
        self._serving: Mapping[str, Deployment] = {}
        self._expected: frozenset[str] = frozenset()
        self._begun: frozenset[str] = frozenset()
        self.loaded = asyncio.Event()
        self.changed = asyncio.Event()
        self.confirmed = False

    @property
    def expected(self) -> frozenset[str]:
        """The campaigns that callers rely on, whether this worker serves them or not."""
        return self._expected

    def lacks(self, campaign_arn: str) -> bool:
        """Whether callers rely on a campaign that this worker cannot serve at the moment."""
        return campaign_arn in self._expected and campaign_arn not in self._serving

    def may_come(self, campaign_arn: str) -> bool:
        """Whether a campaign that callers do not rely on yet may be served here in a moment.

        That is one which is being created, and any at all while the control plane has not said what there is.
        """
        return campaign_arn in self._begun or not self.confirmed

    def expect(self, campaign_arns: Iterable[str], *, begun: Iterable[str] = ()) -> None:
        """Say which campaigns callers rely on, and which others are being created."""
        self._expected, self._begun = frozenset(campaign_arns), frozenset(begun)
        self.changed.set()

    def confirm(self) -> None:
        """Say that the control plane has told what is to be served."""
        self.confirmed = True
        self.changed.set()

    def find(self, campaign_arn: str) -> Deployment | None:
        """Return what answers for a campaign now."""
        return self._serving.get(campaign_arn)

    def all(self) -> Collection[Deployment]:
        """Return everything that answers now."""
        return self._serving.values()

    def serve(self, deployment: Deployment) -> None:
        """Let a deployment answer for its campaign from the next request on."""
        self._serving = {**self._serving, deployment.assignment.campaign_arn: deployment}
        self.changed.set()

    def keep(self, campaign_arns: Collection[str]) -> None:
        """Drop every other campaign; requests on the way end with what they began with."""
        self._serving = {arn: deployment for arn, deployment in self._serving.items() if arn in campaign_arns}
