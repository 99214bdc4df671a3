"""Fitting user segments: vectors by iALS, and what counts besides them by held-out interactions.

The vectors are those of `recipes.models.ials.als`, which names the papers. The score of a user for an item is their
inner product, plus activity, plus or minus earlier use, minus the distance in time; see `score.Weights`.

A user who did much will do much, whatever it is, and what a user did last says most about what comes next. How strongly
the vectors are regularised, how fast older interactions fade and how much activity and earlier use count is chosen by
the newest fifth of each user's interactions, for the measure that is published; then everything is fitted on all data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from common.errors import InvalidInput
from recipes.data.histories import FloatArray, Timestamps
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.models.ials.als import Factors, factorise, newest_uses, solve
from recipes.models.user_segments.attributes import Attributes
from recipes.models.user_segments.config import SegmentsConfig
from recipes.models.user_segments.evaluation import (
    Question,
    Ranker,
    SegmentSplit,
    attribute_questions,
    evaluate,
    hold_out_newest,
    item_questions,
    sample,
)
from recipes.models.user_segments.score import SegmentScorer, Weights
from recipes.ports import FitProgress, ignore_progress

__all__ = ["AttributeAffinityFitter", "ItemAffinityFitter"]

_REGULARIZATIONS: Final = (0.01, 0.03)
#: Half-lives of a user's interactions: in shares of what the user did, or in steps; None lets all count alike.
_FADINGS: Final = (("all", 0.0), ("share", 0.25), ("share", 1.0), ("steps", 10.0))
_SWEEPS: Final = 6
#: Passes over all data for the deployed model, which begins with the fitted vectors.
_EXTENSION_SWEEPS: Final = 2
#: Scores computed for the choice of one setting at most, and questions at least.
_DECIDING_SCORES: Final = 2_000_000
_DECIDING_QUESTIONS: Final = 50


@dataclass(frozen=True, slots=True)
class _Choice:
    """Settings that were chosen by held-out interactions; `fading` is a unit and a half-life, see `_FADINGS`."""

    regularization: float
    fading: tuple[str, float]
    weights: Weights


class _SegmentsFitter:
    """What both recipes share; nothing is random but where the vectors begin.

    Args:
        config: The width of the vectors.
        seed: Decides the first vectors, and the questions that settings are chosen by.
        progress: Called after each factorisation.
    """

    #: Values of `Weights` to try.
    activities: tuple[float, ...]
    earlier_uses: tuple[float, ...]
    periods: tuple[float, ...] = (0.0,)

    def __init__(self, config: SegmentsConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress
        self._choice: _Choice | None = None
        self._factors: Factors | None = None

    def fit(self, data: TrainingData) -> SegmentScorer:
        """Choose the settings, and fit all of the data by them.

        Raises:
            InvalidInput: No user has two interactions, all happened at one moment, or items have no attributes where
                the recipe wants some.
        """
        if len(data.interactions) and np.ptp(data.interactions.timestamp) == 0:
            raise InvalidInput("`interactions`: got one timestamp everywhere, want times: segments need an order")
        choice = self._choice = self._choose(data)
        begin = self._begin(data, choice.regularization)
        factors = self._factors = factorise(_uses(data), begin, sweeps=_SWEEPS)
        self._progress(fraction=1.0, stage="fitted", metrics=self.report)
        return _make(data, factors, choice)

    def extend(self, data: TrainingData) -> SegmentScorer:
        """Continue from the fitted vectors on data with the same users and items."""
        assert self._factors is not None, "`fit` comes first"
        assert self._choice is not None, "`fit` comes first"
        factors = factorise(_uses(data), self._factors, sweeps=_EXTENSION_SWEEPS)
        self._progress(fraction=1.0, stage="fitted on", metrics=self.report)
        return _make(data, factors, self._choice)

    def questions(self, split: SegmentSplit) -> list[Question]:
        """Return the queries that a split answers, which the recipe is evaluated by."""
        raise NotImplementedError

    def prepare(self, scorer: SegmentScorer, questions: Sequence[Question]) -> Callable[[Weights], Ranker]:
        """Compute what does not depend on weights, for questions that are asked with many."""
        raise NotImplementedError

    def _choose(self, data: TrainingData) -> _Choice:
        split = hold_out_newest(data)
        limit = max(_DECIDING_QUESTIONS, _DECIDING_SCORES // max(1, data.n_users))
        questions = sample(self.questions(split), limit, seed=self._seed)
        grid = [Weights(*values) for values in product(self.activities, self.earlier_uses, self.periods)]

        value, chosen = -1.0, _Choice(_REGULARIZATIONS[0], _FADINGS[0], grid[0])
        for number, regularization in enumerate(_REGULARIZATIONS, start=1):
            begin = self._begin(split.training, regularization)
            factors = factorise(_uses(split.training), begin, sweeps=_SWEEPS)
            for fading in _FADINGS:
                candidate = _Choice(regularization, fading, grid[0])
                prepared = self.prepare(_make(split.training, factors, candidate), questions)
                for weights in grid:
                    metrics = evaluate(questions, prepared(weights), n_users=data.n_users).named()
                    # Hits reward popular items, recall rewards rare ones: the product wants both.
                    product_of_both = metrics["hits_at_1_percent"] * metrics["recall_at_1_percent"]
                    if product_of_both > value:
                        value, chosen = product_of_both, replace(candidate, weights=weights)
            self._progress(
                fraction=number / (len(_REGULARIZATIONS) + 1),
                stage=f"tried {number} of {len(_REGULARIZATIONS)}",
                metrics={"hits_times_recall": value},
            )
        self.report = {
            "regularization": chosen.regularization, "fading": chosen.fading[1], "activity": chosen.weights.activity,
            "known": chosen.weights.earlier_use, "period": chosen.weights.period, "hits_times_recall": value,
        }  # fmt: skip
        return chosen

    def _begin(self, data: TrainingData, regularization: float) -> Factors:
        width = self._config.hidden_dimension
        return Factors.random(data.n_users, data.n_items, width=width, regularization=regularization, seed=self._seed)


class ItemAffinityFitter(_SegmentsFitter):
    """Fits Item-Affinity; see `recipes.ports.Fitter`, whose scorer is a `SegmentScorer` here."""

    activities = (0.0, 0.05, 0.1, 0.2)
    earlier_uses = (-np.inf, 0.0, 0.2)
    periods = (0.0, 0.05, 0.1)

    def questions(self, split: SegmentSplit) -> list[Question]:
        """Return a question for each item."""
        return item_questions(split)

    def prepare(self, scorer: SegmentScorer, questions: Sequence[Question]) -> Callable[[Weights], Ranker]:
        """Compute the inner products."""
        affinities = {int(question.items[0]): scorer.affinity(question.items) for question in questions}

        def rank(weights: Weights) -> Ranker:
            weighed = scorer.with_weights(weights)
            return lambda question: weighed.of_item(int(question.items[0]), affinity=affinities[int(question.items[0])])

        return rank


class AttributeAffinityFitter(_SegmentsFitter):
    """Fits Item-Attribute-Affinity; see `ItemAffinityFitter`."""

    activities = (0.0, 0.25, 0.5, 1.0)
    earlier_uses = (0.0, 0.5, 1.0, 2.0)

    def __init__(self, config: SegmentsConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        super().__init__(config, seed=seed, progress=progress)
        self._attributes: Attributes | None = None

    def fit(self, data: TrainingData) -> SegmentScorer:
        """See `ItemAffinityFitter.fit`."""
        if not data.items.categorical and not data.items.numeric:
            raise InvalidInput("`Items`: got no column to find users by, want one that is categorical or numeric")
        self._attributes = Attributes.of_columns(data.items, n_items=data.n_items)
        return super().fit(data)

    def questions(self, split: SegmentSplit) -> list[Question]:
        """Return a question for each category; where there are only numbers, one for each item."""
        assert self._attributes is not None, "`fit` sets it"
        return attribute_questions(split, self._attributes) or item_questions(split)

    def prepare(self, scorer: SegmentScorer, questions: Sequence[Question]) -> Callable[[Weights], Ranker]:
        """Compute the summed inner products, and what users used."""
        parts = {
            id(question): (scorer.affinity(question.items), scorer.count_uses(question.items)) for question in questions
        }

        def rank(weights: Weights) -> Ranker:
            weighed = scorer.with_weights(weights)

            def scores(question: Question) -> FloatArray:
                affinity, uses = parts[id(question)]
                return weighed.of_items(question.items, affinity=affinity, earlier_uses=uses)

            return scores

        return rank


def _uses(data: TrainingData) -> SparseRows:
    """Return which items each user used: [n_users, n_items], 1 each, a row in the order of use."""
    return newest_uses(data.histories(), n_items=data.n_items)


def _make(data: TrainingData, factors: Factors, choice: _Choice) -> SegmentScorer:
    """Make a scorer: vectors of users that follow what they did last, and what counts besides the vectors."""
    uses = _fade(_uses(data), choice.fading)
    user_times, item_times = _times(data)
    return SegmentScorer(
        user_factors=solve(uses, factors.items, regularization=factors.regularization),
        item_factors=factors.items,
        activity=np.log1p(uses.lengths()).astype(np.float32),
        user_times=user_times,
        item_times=item_times,
        users_of_items=uses.transposed(data.n_items),
        weights=choice.weights,
    )


def _times(data: TrainingData) -> tuple[Timestamps, Timestamps]:
    """Return when each user was last active, and when half of the interactions with each item had happened.

    Users and items without interactions get the first moment of all.
    """
    rows = data.interactions
    first = rows.timestamp.min(initial=np.iinfo(np.int64).max) if len(rows) else 0
    users, items = np.full(data.n_users, first, np.int64), np.full(data.n_items, first, np.int64)
    np.maximum.at(users, rows.user, rows.timestamp)
    ordered = rows.timestamp[np.lexsort((rows.timestamp, rows.item))]
    counts = np.bincount(rows.item, minlength=data.n_items)
    used = np.flatnonzero(counts)
    items[used] = ordered[(np.cumsum(counts) - counts)[used] + (counts[used] - 1) // 2]
    return users, items


def _fade(uses: SparseRows, fading: tuple[str, float]) -> SparseRows:
    """Return the matrix with how much each entry counts: 1 for the newest of each user, less for older ones."""
    unit, half_life = fading
    if unit == "all":
        return uses
    lengths = np.repeat(uses.lengths(), uses.lengths())
    newer_uses = np.repeat(uses.offsets[1:], uses.lengths()) - 1 - np.arange(len(uses.columns))
    ages = newer_uses / (half_life * lengths if unit == "share" else half_life)
    return replace(uses, values=(0.5**ages).astype(np.float32))
