"""Campaigns as this worker serves them: a model, what the campaign says about it, and the queries of active users."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from recipes.interface import Adjustment, FloatArray, History, ItemIndexes
from runtime_service.domain.histories import known_steps, newer_events
from runtime_service.history import RecentHistory
from runtime_service.serving.influence import RankingInfluence
from runtime_service.serving.model import Model
from runtime_service.serving.ranked import Ranked, rank

__all__ = ["Assignment", "Deployment", "DeploymentTable", "Query", "QueryCache"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the control plane wants served for one campaign.

    Attributes:
        campaign_arn: The campaign.
        deployment_id: Changes with each update of the campaign.
        artifact_location: Folder of the artifact in the shared store.
        dataset_group_arn: Whose events count.
        event_type: The only type of event that counts; None for all.
        influence: How much freshness and popularity count.
    """

    campaign_arn: str
    deployment_id: str
    artifact_location: str
    dataset_group_arn: str
    event_type: str | None
    influence: RankingInfluence = field(default_factory=RankingInfluence)


@dataclass(frozen=True, slots=True)
class Query:
    """What a history comes to.

    Attributes:
        vector: float32 [d], of the scorer.
        change: Its adjustment.
    """

    vector: FloatArray
    change: Adjustment


class QueryCache:
    """The queries of users with recent events, least recently used out first.

    A query is good for as long as its user has no newer event; results are not kept.

    Args:
        size: Users at most; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[str, tuple[int, Query]] = OrderedDict()

    def get(self, user_id: str, last_offset: int) -> Query | None:
        """Return the query of a user whose newest event is the one at `last_offset`."""
        entry = self._entries.get(user_id)
        if entry is None or entry[0] != last_offset:
            return None
        self._entries.move_to_end(user_id)
        return entry[1]

    def put(self, user_id: str, last_offset: int, query: Query) -> None:
        """Keep a query that was made when the newest event was the one at `last_offset`."""
        if self.size:
            self._entries[user_id] = (last_offset, query)
            self._entries.move_to_end(user_id)
            if len(self._entries) > self.size:
                self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One campaign at work; used by one thread.

    Attributes:
        assignment: What is served.
        model: The loaded artifact.
        cache: Queries of active users.
        newcomer: The query of an empty history.
    """

    assignment: Assignment
    model: Model
    cache: QueryCache = field(repr=False)
    newcomer: Query = field(repr=False)

    @classmethod
    def make(cls, assignment: Assignment, model: Model, *, cache_users: int) -> Deployment:
        """Put a model to work for a campaign."""
        model = assignment.influence.on(model)
        nothing = model.snapshot_history(None)
        newcomer = Query(model.scorer.query(nothing), model.scorer.adjust(nothing))
        return cls(assignment, model, QueryCache(cache_users), newcomer)

    def reassigned(self, assignment: Assignment) -> Deployment:
        """Return the same deployment with what the control plane says about it now.

        Queries are made anew when it says something else: other events may count.
        """
        if assignment == self.assignment:
            return self
        return replace(self, assignment=assignment, cache=QueryCache(self.cache.size))

    def recommend(self, user_id: str, recent: RecentHistory | None, *, limit: int) -> Ranked:
        """Find the best items for a user.

        Args:
            user_id: The user, known or not; empty for nobody.
            recent: The user's recent events.
            limit: Items wanted, at least 1.
        """
        query = self._query(user_id, recent)
        return self.model.retrieval.find(query.vector, change=query.change, limit=limit)

    def rank(self, user_id: str, recent: RecentHistory | None, *, items: ItemIndexes) -> Ranked:
        """Put given items into the order that fits a user.

        Args:
            user_id: The user, known or not.
            recent: The user's recent events.
            items: int32 [k], all different, at least one.
        """
        query = self._query(user_id, recent)
        return rank(self.model.scorer.item_vectors, items, query=query.vector, change=query.change)

    def relate(self, item_id: str, *, limit: int) -> Ranked:
        """Find the items that are related to an item, which is itself never among them.

        Args:
            item_id: The item; for one that the model does not know, what a history of nothing gets.
            limit: Items wanted, at least 1.
        """
        model = self.model
        item = model.items.index(item_id)
        if item is None:
            return model.retrieval.find(self.newcomer.vector, change=self.newcomer.change, limit=limit)
        history = History.of_items([item])
        query, change = model.scorer.query(history), model.scorer.adjust(history)
        found = model.retrieval.find(query, change=change, limit=limit + 1)
        others = found.items != item
        return Ranked(found.items[others][:limit], found.scores[others][:limit])

    def _query(self, user_id: str, recent: RecentHistory | None) -> Query:
        model = self.model
        if not user_id or not model.recipe.uses_history:
            return self.newcomer
        if recent is not None and recent.last_offset > model.watermark:
            known = self.cache.get(user_id, recent.last_offset)
            return known if known is not None else self._continued(user_id, recent)
        user = model.users.index(user_id)
        if user is None:
            return self.newcomer
        # Vectors were made at training. Adjustments are made here: they would take more room than the histories.
        return Query(model.user_vectors[user], model.scorer.adjust(model.histories.of(user)))

    def _continued(self, user_id: str, recent: RecentHistory) -> Query:
        model = self.model
        newer = newer_events(recent.events(), watermark=model.watermark, event_type=self.assignment.event_type)
        steps = known_steps(newer, index_of=model.items.index, actions=model.actions)
        history = model.continued_history(model.users.index(user_id), History(*steps))
        query = Query(model.scorer.query(history), model.scorer.adjust(history))
        self.cache.put(user_id, recent.last_offset, query)
        return query


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
