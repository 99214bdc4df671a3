"""Campaigns as this worker serves them: a model, what the campaign says about it, and the vectors of active users."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from recipes.interface import FloatArray, ItemIndexes
from runtime_service.domain.histories import continue_history, newer_events
from runtime_service.history import RecentHistory
from runtime_service.serving.model import Model
from runtime_service.serving.retrieval import Ranked

__all__ = ["Assignment", "Deployment", "DeploymentTable", "QueryCache"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the control plane wants served for one campaign.

    Attributes:
        campaign_arn: The campaign.
        deployment_id: Changes with each update of the campaign.
        artifact_location: Folder of the artifact in the shared store.
        dataset_group_arn: Whose events count.
        event_type: The only type of event that counts; None for all.
    """

    campaign_arn: str
    deployment_id: str
    artifact_location: str
    dataset_group_arn: str
    event_type: str | None


class QueryCache:
    """The vectors of users with recent events, least recently used out first.

    A vector is good for as long as its user has no newer event; results are not kept.

    Args:
        size: Users at most; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, tuple[int, FloatArray, ItemIndexes]] = OrderedDict()

    def get(self, user_id: str, last_offset: int) -> tuple[FloatArray, ItemIndexes] | None:
        """Return the vector and history of a user whose newest event is the one at `last_offset`."""
        entry = self._entries.get(user_id)
        if entry is None or entry[0] != last_offset:
            return None
        self._entries.move_to_end(user_id)
        return entry[1], entry[2]

    def put(self, user_id: str, last_offset: int, *, query: FloatArray, history: ItemIndexes) -> None:
        """Keep a vector and the history that it was made of."""
        if self._size:
            self._entries[user_id] = (last_offset, query, history)
            self._entries.move_to_end(user_id)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One campaign at work; used by one thread.

    Attributes:
        assignment: What is served.
        model: The loaded artifact.
        cache: Vectors of active users.
        newcomer: The vector of an empty history.
    """

    assignment: Assignment
    model: Model
    cache: QueryCache = field(repr=False)
    newcomer: FloatArray = field(repr=False)

    @classmethod
    def make(cls, assignment: Assignment, model: Model, *, cache_users: int) -> Deployment:
        """Put a model to work for a campaign."""
        return cls(assignment, model, QueryCache(cache_users), model.scorer.query(model.snapshot_history(None)))

    def reassigned(self, assignment: Assignment) -> Deployment:
        """Return the same deployment with what the control plane says about it now."""
        return self if assignment == self.assignment else replace(self, assignment=assignment)

    def recommend(self, user_id: str, recent: RecentHistory | None, *, limit: int) -> Ranked:
        """Find the best items for a user.

        Args:
            user_id: The user, known or not; empty for nobody.
            recent: The user's recent events.
            limit: Items wanted, at least 1.
        """
        query, history = self._state(user_id, recent)
        return self.model.retrieval.find(query, history=history, limit=limit)

    def _state(self, user_id: str, recent: RecentHistory | None) -> tuple[FloatArray, ItemIndexes]:
        model = self.model
        if not user_id or not model.recipe.uses_history:
            return self.newcomer, model.snapshot_history(None)
        if recent is not None and recent.last_offset > model.watermark:
            known = self.cache.get(user_id, recent.last_offset)
            return known if known is not None else self._continued(user_id, recent)
        user = model.users.index(user_id)
        if user is None:
            return self.newcomer, model.snapshot_history(None)
        return model.user_vectors[user], model.histories.of(user)

    def _continued(self, user_id: str, recent: RecentHistory) -> tuple[FloatArray, ItemIndexes]:
        model = self.model
        user = model.users.index(user_id)
        snapshot = model.snapshot_history(user)
        history = continue_history(
            snapshot,
            newer_events(recent.events(), watermark=model.watermark, event_type=self.assignment.event_type),
            index_of=model.items.index,
            limit=model.recipe.max_history,
        )
        query = model.scorer.query(history)
        self.cache.put(user_id, recent.last_offset, query=query, history=history)
        return query, history


class DeploymentTable:
    """The deployments by campaign; replaced whole, so that a request sees one state from begin to end."""

    def __init__(self) -> None:
        self._serving: Mapping[str, Deployment] = {}
        self.known = asyncio.Event()  # set once it is known what is to be served

    def find(self, campaign_arn: str) -> Deployment | None:
        """Return what answers for a campaign now."""
        return self._serving.get(campaign_arn)

    def all(self) -> Collection[Deployment]:
        """Return everything that answers now."""
        return self._serving.values()

    def serve(self, deployment: Deployment) -> None:
        """Let a deployment answer for its campaign from the next request on."""
        self._serving = {**self._serving, deployment.assignment.campaign_arn: deployment}

    def keep(self, campaign_arns: Collection[str]) -> None:
        """Drop every other campaign; requests on the way end with what they began with."""
        self._serving = {arn: deployment for arn, deployment in self._serving.items() if arn in campaign_arns}
