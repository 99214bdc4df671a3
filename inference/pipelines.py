"""From a request to ranked items: for each kind of recipe the stages that it goes through, from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from inference.model import Model
from inference.recent_events import EventRule
from inference.request import RecommendationRequest
from inference.result import EXPLORED, PROMOTED, ScoredItems
from inference.run import NOTHING, PipelineRun, Stage
from inference.stages.describe import describe, describe_actions
from inference.stages.explore import lift_new_items, mix_new_items
from inference.stages.filter import keep_best
from inference.stages.new_items import add_new_items
from inference.stages.promote import Promote
from inference.stages.retrieve import retrieve
from inference.stages.score import score, score_actions, score_all
from inference.stages.trend import score_trend
from inference.user_state import StateCounts, UserStates
from recipes.components.exploration import ExplorationSettings, Explorer, make_explorer
from recipes.spec import RecipeKind

__all__ = ["PIPELINES", "AnswerCounts", "Pipeline", "relates_items"]


def start_from_user(run: PipelineRun) -> None:
    """Start from what the user did, in the situation of the request."""
    run.state = run.users.user_state(run.request.user_id, run.request.recent, counts=run.state_counts)
    if run.request.context:
        run.state = run.users.with_context(run.state, run.request.context)


def start_from_item(run: PipelineRun) -> None:
    """Start from the item that is asked about, which is itself never returned; from nothing if it is not known."""
    item = run.model.item_index(run.request.item_id)
    if item is not None:
        run.state = run.users.item_state(item)
        run.candidates = run.candidates.without(item)


_FIND: Final = (retrieve, score, keep_best, add_new_items)
_FIND_TREND: Final = (score_trend, keep_best)

#: What is not here is not served.
PIPELINES: Final[Mapping[RecipeKind, Sequence[Stage]]] = {
    RecipeKind.USER_PERSONALIZATION: (
        start_from_user,
        lift_new_items,
        *_FIND,
        mix_new_items,
        Promote(_FIND),
        describe,
    ),
    RecipeKind.POPULAR_ITEMS: (*_FIND, Promote(_FIND), describe),
    RecipeKind.TRENDING_ITEMS: (*_FIND_TREND, Promote(_FIND_TREND), describe),
    RecipeKind.RELATED_ITEMS: (start_from_item, *_FIND, Promote(_FIND), describe),
    RecipeKind.SIMILAR_CONTENT: (start_from_item, *_FIND, Promote(_FIND), describe),
    RecipeKind.PERSONALIZED_RANKING: (start_from_user, *_FIND, describe),
    RecipeKind.PERSONALIZED_ACTIONS: (start_from_user, score_actions, describe_actions),
}


def relates_items(kind: RecipeKind) -> bool:
    """Return whether recipes of a kind answer for an item."""
    return start_from_item in PIPELINES[kind]


@dataclass(slots=True)
class AnswerCounts:
    """Answers so far, for metrics.

    Attributes:
        proven: Those that have the best items for certain.
        unproven: Those of an index that most often finds them.
        items: Items in all of them.
        explored: Those of the items that are there, or as high as they are, to be explored.
        promoted: Those of the items that a promotion put there.
    """

    proven: int = 0
    unproven: int = 0
    items: int = 0
    explored: int = 0
    promoted: int = 0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Answers requests from one model; used by one thread.

    Attributes:
        model: What answers.
        users: Make states.
        stages: What a request goes through.
        explorer: Gives new items their chance; None where nothing is explored.
        random: Of the places of promoted items.
        needs_user: Whether requests must name a user.
        needs_item: Whether requests must name an item.
        needs_list: Whether requests must list the items that are ranked.
        answer_counts: Counts what was answered.
    """

    model: Model
    users: UserStates
    stages: Sequence[Stage]
    explorer: Explorer | None = None
    random: np.random.Generator = field(default_factory=np.random.default_rng, repr=False)
    needs_user: bool = False
    needs_item: bool = False
    needs_list: bool = False
    answer_counts: AnswerCounts = field(default_factory=AnswerCounts)

    @classmethod
    def make(
        cls,
        model: Model,
        *,
        cache_users: int = 0,
        event_type: str | None = None,
        event_rules: Sequence[EventRule] = (),
        exploration: ExplorationSettings | None = None,
        random: Callable[[], np.random.Generator] = np.random.default_rng,
    ) -> Pipeline:
        """Make the pipeline of a model's kind.

        Args:
            model: What answers; its kind is one that is served.
            cache_users: Active users whose states are kept.
            event_type: The only type of recent events that counts; None for all.
            event_rules: Recent events count that one of them takes; without rules all do.
            exploration: What the campaign says of new items; None for the defaults.
            random: Makes sources of randomness.
        """
        users = UserStates(model, cache_users=cache_users, event_type=event_type, event_rules=event_rules)
        explorer = _explorer(model, users, exploration or ExplorationSettings(), random)
        stages = PIPELINES[model.recipe.kind]
        return cls(
            model,
            users,
            stages,
            explorer,
            random(),
            needs_user=model.recipe.kind.is_personalized,
            needs_item=relates_items(model.recipe.kind),
            needs_list=model.recipe.kind is RecipeKind.PERSONALIZED_RANKING,
        )

    def with_events(self, *, event_type: str | None, event_rules: Sequence[EventRule]) -> Pipeline:
        """Return the same pipeline where other recent events count; no state is kept from before."""
        users = UserStates(
            self.model, cache_users=self.users.cache.size, event_type=event_type, event_rules=event_rules
        )
        return replace(self, users=users)

    def run(self, request: RecommendationRequest) -> ScoredItems:
        """Answer a request."""
        if request.limit == 0:
            return NOTHING
        run, counts = self._through(self.begin(request)), self.answer_counts
        if run.exact:
            counts.proven += 1
        else:
            counts.unproven += 1
        counts.items += len(run.items)
        if run.reasons:
            reasons = [run.reasons.get(item) for item in run.items.tolist()]
            counts.explored += reasons.count(EXPLORED)
            counts.promoted += reasons.count(PROMOTED)
        return run.result

    def trace(self, request: RecommendationRequest) -> PipelineRun:
        """Answer a request for at least one result; return how that went, the result included. Nothing is counted."""
        run = self.begin(request)
        run.state_counts = StateCounts()
        return self._through(run)

    def _through(self, run: PipelineRun) -> PipelineRun:
        for stage in self.stages:
            stage(run)
        return run

    def begin(self, request: RecommendationRequest) -> PipelineRun:
        """Return a request before its first stage."""
        return PipelineRun(
            request=request,
            model=self.model,
            users=self.users,
            new_items=self.model.new_items.current,
            explorer=self.explorer,
            random=self.random,
            state=self.users.cold_start_state,
            candidates=request.candidates,
            limit=request.limit,
            filtered=request.candidates.restricts,
        )

    def explored_candidates(self, scored: ScoredItems) -> list[str]:
        """Return the ids of the new items in a list, which are explored less the more often they are shown.

        To be called once for each list that a user is shown, as it counts them.
        """
        if self.explorer is None:
            return []
        new = self.explorer.new_among(scored.items).tolist()
        if self.explorer.lifts:
            # Those that a promotion put there are counted as such.
            promoted = {int(scored.items[place]) for place in scored.promotions}
            self.answer_counts.explored += len(new) - len(promoted.intersection(new))
        return [self.model.item_id(item) for item in new]


def _explorer(
    model: Model, users: UserStates, settings: ExplorationSettings, random: Callable[[], np.random.Generator]
) -> Explorer | None:
    if model.ages is None:
        return None
    return make_explorer(
        model.recipe.exploration,
        model.ages,
        settings,
        scores_of=lambda user: score_all(model.scorer.item_vectors, users.snapshot_state(user)),
        user_vectors=model.user_vectors,
        item_vectors=model.scorer.item_vectors,
        chooses=model.index is not None,
        random=random,
    )
