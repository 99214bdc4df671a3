"""Fitting Semantic-Similarity: vectors of names and texts, and how new and how popular each item is.

There is no pretrained language model: the vectors are those of `recipes.models.lsa.decomposition`, learnt from the
catalogue's own words. So items are alike when they share words, or words that go together elsewhere in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.errors import invalid
from recipes.components.item_age import creation_times
from recipes.data.columns import NO_TIME, Columns
from recipes.data.counts import users_per_item
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.lsa.config import LSAConfig
from recipes.models.lsa.decomposition import learn_vectors
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
        self._vectors: FloatArray | None = None

    def fit(self, data: TrainingData) -> LSAScorer:
        """Learn vectors from the items' names and texts.

        Raises:
            InvalidInput: There are no names, or no texts.
        """
        self._progress(fraction=0.01, stage="reading texts", metrics={})
        if self._vectors is None:
            self._vectors = self._read(data)
        self.report = {"described_items": float(self._vectors.any(axis=1).sum())}
        vectors = np.column_stack([self._vectors, _freshness(data), _popularity(data)]).astype(np.float32)
        self._progress(fraction=1.0, stage="texts read", metrics=self.report)
        return LSAScorer(vectors)

    def extend(self, data: TrainingData) -> LSAScorer:
        """Count popularity again; the texts are the same."""
        return self.fit(data)

    def _read(self, data: TrainingData) -> FloatArray:
        items = data.items
        if items.names is None or not any(items.names):
            raise invalid("items", got="no names", want="an Items dataset with a field of the attribute itemName")
        if not items.textual:
            raise invalid("items", got="no texts", want="a textual field that at least 85% of the items have")
        texts = Columns(textual={"names": items.names, **{f"texts.{key}": text for key, text in items.textual.items()}})
        vectors = learn_vectors(texts, n_rows=data.n_items, size=_SIZE, seed=self._seed)[1]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        scaled: FloatArray = (vectors / np.maximum(lengths, np.float32(1e-9))).astype(np.float32)
        return scaled


def _popularity(data: TrainingData) -> FloatArray:
    """Return log(1 + users) by that of the most popular item: float32 [n_items], 0 to 1."""
    users = np.log1p(users_per_item(data))
    return (users / max(1.0, float(users.max(initial=0.0)))).astype(np.float32)


def _freshness(data: TrainingData) -> FloatArray:
    """Return how new items are, 0 for the oldest and 1 for the newest: float32 [n_items].

    An item without a time of creation is as old as its oldest interaction, or new when it has none.
    """
    created = creation_times(data, unused=NO_TIME)
    # Where nothing has a time, all are equally new.
    newest = max(int(data.interactions.timestamp.max(initial=NO_TIME)), int(created.max(initial=NO_TIME)))
    created[created == NO_TIME] = newest
    oldest = int(created.min(initial=newest))
    return ((created - oldest) / max(1, newest - oldest)).astype(np.float32)
