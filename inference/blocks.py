"""Answers many users at once as a pipeline answers one after another, to the same bits, where that can be done.

So batch jobs answer plain lines: recommendations of all items, from lists, for a user of the training. What is anything
more, e.g. filtered, or what lists are not good for, goes through the stages of the pipeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from inference.result import EXPLORED, ScoredItems
from inference.run import SHARED
from inference.stages.retrieve import retrieve
from recipes.components.exploration import Explorer
from recipes.ports import ScoresManyUsers
from recipes.retrieval.blocks import UNSURE, BlockSearch
from recipes.retrieval.lists import ListIndex
from recipes.retrieval.top_k import rounded

__all__ = ["Draws", "UserBlocks"]


class Draws(Protocol):
    """Draws for a user, that depend on nothing else."""

    def fraction(self, text: str) -> float:
        """Draw a number from 0 to 1, 1 excluded, for a user."""

    def begin(self, text: str) -> None:
        """Let what the pipeline draws from begin anew for a user."""


@dataclass(frozen=True, slots=True)
class UserBlocks:
    """Answers requests that differ in their users alone; used by one thread.

    Attributes:
        pipeline: Answers the others.
        search: In the lists of its model.
        scorer: Of its model.
        limit: Results of a request.
    """

    pipeline: Pipeline
    search: BlockSearch
    scorer: ScoresManyUsers
    limit: int

    @classmethod
    def of(cls, pipeline: Pipeline, *, limit: int) -> Self | None:
        """Return what answers requests for so many results; None where each has to go through the stages."""
        model, explorer = pipeline.model, pipeline.explorer
        if (
            not pipeline.needs_user
            or pipeline.needs_list
            or retrieve not in pipeline.stages
            or not isinstance(model.index, ListIndex)
            or model.scan is None
            or not isinstance(model.scorer, ScoresManyUsers)
            or not 0 < limit <= model.index_depth
            or len(model.new_items.current)
            or (explorer is not None and explorer.lifts)
        ):
            return None
        return cls(pipeline, BlockSearch.of(model.index, model.scan), model.scorer, limit)

    def takes(self, request: RecommendationRequest) -> bool:
        """Return whether a request asks for nothing but recommendations for a user."""
        return (
            request.limit == self.limit
            and bool(request.user_id)
            and request.recent is None
            and not request.candidates.restricts
            and request.promotion is None
            and not request.context
            and not request.columns
        )

    def answer(self, requests: Sequence[RecommendationRequest], *, draws: Draws) -> list[ScoredItems | None]:
        """Answer requests.

        Args:
            requests: Those that it takes.
            draws: Whose draws the pipeline's are.

        Returns:
            What each comes to; None for those that have to go through the stages of the pipeline.
        """
        results: list[ScoredItems | None] = [None] * len(requests)
        users = self.pipeline.model.users.indexes(request.user_id for request in requests)
        taken = np.flatnonzero(users >= 0)
        chosen = users[taken].astype(np.int64)
        best = self.search.best(
            np.ascontiguousarray(self.pipeline.model.user_vectors[chosen]),
            self.scorer.score_deltas_of(self.pipeline.model.histories, chosen),
            limit=self.limit,
            shared=SHARED,
            good_for=self.pipeline.model.index_depth,
        )
        shown: list[float] = rounded(best.shares.ravel()).tolist()
        names, explorer = self.pipeline.model.item_ids, self.pipeline.explorer
        chances = [0.0 if explorer is None else explorer.chance(length) for length in range(self.limit + 1)]
        for row, (place, count) in enumerate(zip(taken.tolist(), best.counts.tolist(), strict=True)):
            if count == UNSURE:
                continue
            items, of_items = best.items[row, :count], shown[row * self.limit : row * self.limit + count]
            user_id, chance = requests[place].user_id, chances[count]
            if explorer is not None and chance and draws.fraction(user_id) < chance:
                draws.begin(user_id)
                results[place] = self._mixed(explorer, items, of_items)
            else:
                results[place] = ScoredItems(items, [names[item] for item in items.tolist()], of_items)
        return results

    def _mixed(self, explorer: Explorer, items: NDArray[np.int32], scores: list[float]) -> ScoredItems:
        """Return a list with the new items that are explored, which have no score."""
        mixed = explorer.mix(items, surely=True)
        names = self.pipeline.model.item_ids
        if mixed is None:
            return ScoredItems(items, [names[item] for item in items.tolist()], scores)
        placed, explored = mixed
        of_places = [None if new else score for new, score in zip(explored.tolist(), scores, strict=True)]
        reasons = dict.fromkeys(np.flatnonzero(explored).tolist(), EXPLORED)
        return ScoredItems(placed, [names[item] for item in placed.tolist()], of_places, reasons)
