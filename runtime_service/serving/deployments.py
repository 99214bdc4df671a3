"""Campaigns as this worker serves them: a model, what the campaign says about it, and the queries of active users."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple, cast

import numpy as np

from common.positions import Position
from inference.model import Model
from inference.recent_events import EventRule, RecentHistory, known_steps, newer_events
from inference.result import ScoredItems, rank
from inference.stages.explore import ExplorationSettings, Explorer, make_explorer
from recipes.data.histories import FloatArray, History, ItemIndexes
from recipes.models.action_propensity.score import ActionPropensityScorer
from recipes.models.trending.score import TrendingScorer
from recipes.ports import ScoreDelta, UsesSideFeatures
from recipes.spec import RecipeKind
from runtime_service.history import HistoryReader
from runtime_service.serving.influence import RankingInfluence
from runtime_service.serving.trending_list import TrendingList

__all__ = ["Assignment", "Deployment", "DeploymentTable", "Query", "QueryCache"]

_NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


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
    """

    campaign_arn: str
    deployment_id: str
    artifact_location: str
    dataset_group_arn: str
    event_type: str | None
    event_rules: tuple[EventRule, ...] = ()
    exploration: ExplorationSettings = field(default_factory=ExplorationSettings)
    influence: RankingInfluence = field(default_factory=RankingInfluence)


@dataclass(frozen=True, slots=True)
class Query:
    """What a history comes to.

    Attributes:
        vector: float32 [d], of the scorer.
        change: Its adjustment.
    """

    vector: FloatArray
    change: ScoreDelta


class _State(NamedTuple):
    """Which events of a user there are beside those of the snapshot.

    Attributes:
        newest: Place of the newest.
        contained: Up to this offset the snapshot has them.
    """

    newest: Position
    contained: int

    @classmethod
    def of(cls, recent: RecentHistory, watermark: Position) -> _State:
        """Return the state of a history beside a snapshot that reaches to a place."""
        return cls(recent.lineage.at(recent.last_offset), recent.lineage.shared(watermark))


class QueryCache:
    """The queries of users with recent events, least recently used out first.

    A query is good for as long as its user has no newer event; results are not kept.

    Args:
        size: Users at most; 0 keeps none.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[str, tuple[_State, Query]] = OrderedDict()

    def get(self, user_id: str, state: _State) -> Query | None:
        """Return the query of a user whose events are in this state."""
        entry = self._entries.get(user_id)
        if entry is None or entry[0] != state:
            return None
        self._entries.move_to_end(user_id)
        return entry[1]

    def put(self, user_id: str, state: _State, query: Query) -> None:
        """Keep a query that was made when the events were in this state."""
        if self.size:
            self._entries[user_id] = (state, query)
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
        trend: The list that changes without a training, where the recipe has one.
        explorer: Gives new items their chance; None where nothing is to be explored.
        context_columns: See `Model.context_columns`.
    """

    assignment: Assignment
    model: Model
    cache: QueryCache = field(repr=False)
    newcomer: Query = field(repr=False)
    trend: TrendingList | None = field(default=None, repr=False)
    explorer: Explorer | None = field(default=None, repr=False)
    context_columns: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def make(cls, assignment: Assignment, model: Model, *, cache_users: int) -> Deployment:
        """Put a model to work for a campaign."""
        model = assignment.influence.on(model)
        nothing = model.snapshot_history(None)
        newcomer = Query(model.scorer.embed_history(nothing), model.scorer.score_deltas(nothing))
        return cls(
            assignment,
            model,
            QueryCache(cache_users),
            newcomer,
            _live_trend(assignment, model),
            _explorer(assignment, model),
            model.context_columns(),
        )

    @property
    def item_ids(self) -> list[str]:
        """Ids of the items by the indexes in what is found: the model's, and those that were new since."""
        return self.model.item_ids if self.trend is None else self.trend.item_ids

    def reassigned(self, assignment: Assignment) -> Deployment:
        """Return the same deployment with what the control plane says about it now.

        Queries are made anew when it says something else: other events may count.
        """
        if assignment == self.assignment:
            return self
        trend = _live_trend(assignment, self.model)
        return replace(self, assignment=assignment, cache=QueryCache(self.cache.size), trend=trend)

    def recommend(
        self, user_id: str, recent: RecentHistory | None, *, limit: int, context: Mapping[str, str] = _NO_CONTEXT
    ) -> ScoredItems:
        """Find the best items for a user.

        Args:
            user_id: The user, known or not; empty for nobody.
            recent: The user's recent events.
            limit: Items wanted, at least 1.
            context: The situation, by columns of the interactions; a value that the model does not know is passed over.
        """
        query = self._query(user_id, recent)
        vector = self._situated(query.vector, context) if context else query.vector
        if self.explorer is None:
            return self.model.retrieval.find(vector, change=query.change, limit=limit)
        bonus = self.explorer.bonus()
        return self.explorer.mix(self.model.retrieval.find(vector, change=query.change, limit=limit, bonus=bonus))

    def explorable(self, ranked: ScoredItems) -> list[str]:
        """Return the ids of the new items in a list, which are explored less the more often they are shown."""
        if self.explorer is None:
            return []
        new = ranked.items[np.isin(ranked.items, self.explorer.items)]
        return [self.model.item_ids[item] for item in new.tolist()]

    def act(self, user_id: str, recent: RecentHistory | None, *, limit: int, now: float) -> list[tuple[str, float]]:
        """Return the actions that a user is most likely to take, and how likely.

        Args:
            user_id: The user, known or not.
            recent: The user's recent events with items.
            limit: Actions wanted.
            now: Seconds since 1970.
        """
        model, scorer = self.model, cast("ActionPropensityScorer", self.model.scorer)
        state, user = self._query(user_id, recent).vector, model.users.index(user_id)
        event_types, scores = scorer.recommend(state, user=user, now=now, limit=limit)
        found = zip(event_types.tolist(), scores.astype(float).round(7).tolist(), strict=True)
        return [(model.action_ids[action], score) for action, score in found]

    async def trending(self, histories: HistoryReader, *, limit: int) -> ScoredItems:
        """Find the items that rise most now, or those that are popular where nothing has happened lately.

        Args:
            histories: Has the counts.
            limit: Items wanted, at least 1.
        """
        assert self.trend is not None, "asked of recipes that count events"
        found = await self.trend.find(histories, limit=limit)
        if found is not None:
            return found
        scorer = cast("TrendingScorer", self.model.scorer)
        return self.model.retrieval.find(scorer.popular(), change=self.newcomer.change, limit=limit)

    def rank(
        self,
        user_id: str,
        recent: RecentHistory | None,
        *,
        items: ItemIndexes,
        context: Mapping[str, str] = _NO_CONTEXT,
    ) -> ScoredItems:
        """Put given items into the order that fits a user.

        Args:
            user_id: The user, known or not.
            recent: The user's recent events.
            items: int32 [k], all different, at least one.
            context: As of `recommend`.
        """
        query = self._query(user_id, recent)
        vector = self._situated(query.vector, context) if context else query.vector
        return rank(self.model.scorer.item_vectors, items, query=vector, change=query.change)

    def relate(self, item_id: str, *, limit: int) -> ScoredItems:
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
        query, change = model.scorer.embed_history(history), model.scorer.score_deltas(history)
        found = model.retrieval.find(query, change=change, limit=limit + 1)
        others = found.items != item
        return ScoredItems(found.items[others][:limit], found.scores[others][:limit])

    def _situated(self, vector: FloatArray, context: Mapping[str, str]) -> FloatArray:
        scorer = self.model.scorer
        table = scorer.context if isinstance(scorer, UsesSideFeatures) else None
        added = None if table is None else table.of_request(context)
        if added is None:
            return vector
        situated = vector.copy()
        situated[: len(added)] += added
        return situated

    def _query(self, user_id: str, recent: RecentHistory | None) -> Query:
        model = self.model
        if not user_id or not model.recipe.kind.is_personalized:
            return self.newcomer
        if recent is not None:
            state = _State.of(recent, model.watermark)
            if recent.last_offset > state.contained:
                return self.cache.get(user_id, state) or self._continued(user_id, recent, state)
        user = model.users.index(user_id)
        if user is None:
            return self.newcomer
        # Vectors were made at training. Adjustments are made here: they would take more room than the histories.
        return Query(model.user_vectors[user], model.scorer.score_deltas(model.histories.of(user)))

    def _continued(self, user_id: str, recent: RecentHistory, state: _State) -> Query:
        model = self.model
        wanted = self.assignment
        newer = newer_events(
            recent.events(), watermark=state.contained, event_type=wanted.event_type, rules=wanted.event_rules
        )
        steps = known_steps(newer, index_of=model.items.index, event_types=model.event_types)
        user = model.users.index(user_id)
        history = model.continued_history(user, History(*steps))
        query = Query(model.embed_history(user, history), model.scorer.score_deltas(history))
        self.cache.put(user_id, state, query)
        return query


def _explorer(assignment: Assignment, model: Model) -> Explorer | None:
    if model.ages is None:
        return None
    return make_explorer(
        model.recipe.exploration,
        model.ages,
        assignment.exploration,
        scores_of=model.scores_of,
        n_users=len(model.users),
    )


def _live_trend(assignment: Assignment, model: Model) -> TrendingList | None:
    if model.recipe.kind is not RecipeKind.TRENDING_ITEMS:
        return None
    return TrendingList(
        cast("TrendingScorer", model.scorer),
        model.items,
        model.item_ids,
        dataset_group_arn=assignment.dataset_group_arn,
        event_type=assignment.event_type,
    )


class DeploymentTable:
    """The deployments by campaign; replaced whole, so that a request sees one state from begin to end.

    Attributes:
        known: Set once it is known what is to be served, and each of it is served or was tried.
        changed: Set at each change of what is said below; whoever follows clears it.
        confirmed: Whether the control plane said what is to be served, and not only the disk of this host.
    """

    def __init__(self) -> None:
        self._serving: Mapping[str, Deployment] = {}
        self._expected: frozenset[str] = frozenset()
        self.known = asyncio.Event()
        self.changed = asyncio.Event()
        self.confirmed = False

    @property
    def expected(self) -> frozenset[str]:
        """The campaigns that callers rely on, whether this worker serves them or not."""
        return self._expected

    def lacks(self, campaign_arn: str) -> bool:
        """Whether callers rely on a campaign that this worker cannot serve at the moment."""
        return campaign_arn in self._expected and campaign_arn not in self._serving

    def expect(self, campaign_arns: Iterable[str]) -> None:
        """Say which campaigns callers rely on."""
        self._expected = frozenset(campaign_arns)
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
