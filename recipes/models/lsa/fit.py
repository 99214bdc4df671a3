"""Fitting Semantic-Similarity: vectors of names and texts, and how new and how popular each item is.

There is no pretrained language model: the vectors are those of `recipes.models.lsa.decomposition`, learnt from the
catalogue's own words. So items are alike when they share words, or words that go together elsewhere in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recipes.data.counts import users_per_item
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.lsa.config import LSAConfig
from recipes.models.lsa.decomposition import learn_vectors
from recipes.models.lsa.freshness import created_between, freshness
from recipes.models.lsa.learnt_texts import LearntTexts, scaled, texts_of
from recipes.models.lsa.score import LSAScorer
from recipes.ports import FitProgress, ignore_progress

__all__ = ["LSAFitter"]

#: Coordinates of a text.
_SIZE = 128


class LSAFitter:
    """Fits vectors of names and texts; a `recipes.ports.Fitter`. Interactions are not needed, and nothing is held out.

    Args:
        config: Without hyperparameters.
        seed: Decides where the search for what is common in texts starts.
        progress: Called when texts are read and when vectors are made.
    """

    def __init__(
        self,
        config: LSAConfig,  # noqa: ARG002 -- the port's signature
        *,
        seed: int,
        progress: FitProgress = ignore_progress,
    ) -> None:
        self.report: Mapping[str, float] = {}
        self._seed = seed
        self._progress = progress
        self._learnt: tuple[LearntTexts, FloatArray] | None = None

    def fit(self, data: TrainingData) -> LSAScorer:
        """Learn vectors from the items' names and texts.

        Raises:
            InvalidInput: There are no names, or no texts.
        """
        self._progress(fraction=0.01, stage="reading texts", metrics={})
        created, ages = created_between(data)
        if self._learnt is None:
            texts = texts_of(data.items)
            content, vectors = learn_vectors(texts, n_rows=data.n_items, size=_SIZE, seed=self._seed)
            self._learnt = LearntTexts.of(content, texts, n_items=data.n_items, ages=ages), scaled(vectors)
        learnt, of_texts = self._learnt
        self.report = {"described_items": float(of_texts.any(axis=1).sum())}
        item_vectors = np.column_stack([of_texts, freshness(created, ages), _popularity(data)]).astype(np.float32)
        self._progress(fraction=1.0, stage="texts read", metrics=self.report)
        return LSAScorer(item_vectors, learnt=lambda: learnt)

    def extend(self, data: TrainingData) -> LSAScorer:
        """Count popularity again; the texts are the same."""
        return self.fit(data)


def _popularity(data: TrainingData) -> FloatArray:
    """Return log(1 + users) by that of the most popular item: float32 [n_items], 0 to 1."""
    users = np.log1p(users_per_item(data))
    return (users / max(1.0, float(users.max(initial=0.0)))).astype(np.float32)
