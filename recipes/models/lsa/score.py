"""Serving Semantic-Similarity: the cosine of texts, and as much of freshness and popularity as the campaign configures.

The last two coordinates of an item's vector are its freshness and its popularity, so how much they count is said by
the query: score = cosine + f * freshness + p * popularity, with f and p from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact, invalid
from recipes.data.columns import NO_TIME, Columns
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.models.lsa.freshness import created_between, freshness
from recipes.models.lsa.learnt_texts import LearntTexts
from recipes.ports import ContentColumns, EncodedItems, Neighbours, ScoreDelta

__all__ = ["EXTRA", "LSAScorer", "TextEncoder", "load"]

#: Coordinates behind those of the text.
EXTRA = 2
#: Subtracted from the scores of the history's items, which are no answer to themselves: more than any score.
_LAST = 1e6
#: Weight of freshness where the history has no text and popularity decides.
_TIE = 2.0**-10


@dataclass(frozen=True, slots=True)
class TextEncoder:
    """Makes vectors of items that came after the training by their texts; a `recipes.ports.NewItemEncoder`.

    Attributes:
        learnt: Of the training.
    """

    learnt: LearntTexts

    @property
    def columns(self) -> ContentColumns:
        """The texts that are read."""
        return ContentColumns(textual=self.learnt.text_names(), names=True)

    def encode(self, columns: Columns, *, n_rows: int) -> EncodedItems:
        """Make the vectors of some items, as new as they were created by the training's times, and of no popularity."""
        newest = int(self.learnt.ages[1])
        created = np.full(n_rows, newest) if columns.created is None else columns.created
        texts = self.learnt.encode(columns, n_rows=n_rows)
        vectors = np.zeros((n_rows, texts.shape[1] + EXTRA), np.float32)
        vectors[:, :-EXTRA] = texts
        vectors[:, -EXTRA] = freshness(np.where(created == NO_TIME, newest, created), self.learnt.ages)
        return EncodedItems(vectors, (texts != 0.0).any(axis=1, keepdims=False).reshape(n_rows))


class LSAScorer:
    """Scores items by likeness of their texts; a `recipes.ports.ItemScorer`.

    Args:
        item_vectors: float32 [n_items, c + 2]: the text, of length 1 or 0; freshness and popularity, 0 to 1.
        freshness: f, 0 to 1.
        popularity: p, 0 to 1.
        learnt: Returns what updates are made by, which serving does not need; None for artifacts of before there were
            updates.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        *,
        freshness: float = 0.0,
        popularity: float = 0.0,
        learnt: Callable[[], LearntTexts] | None = None,
    ) -> None:
        self.item_vectors = item_vectors
        self._learnt = learnt
        self._new_vectors = np.empty((0, item_vectors.shape[1]), np.float32)
        self._influence = np.array([freshness, popularity], np.float32)

    def influenced(self, *, freshness: float, popularity: float) -> LSAScorer:
        """Return the same items with other weights."""
        return LSAScorer(self.item_vectors, freshness=freshness, popularity=popularity, learnt=self._learnt)

    def new_item_encoder(self) -> TextEncoder | None:
        """Return what makes vectors of items that came after the training; None for artifacts of early releases."""
        return None if self._learnt is None else TextEncoder(self._learnt())

    def with_new_items(
        self,
        vectors: FloatArray,
        neighbours: Neighbours | None,  # noqa: ARG002 -- the port's; vectors say everything
    ) -> LSAScorer:
        """Return the same model that finds what is like new items too; see `recipes.ports.EncodesNewItems`."""
        changed = copy(self)
        changed._new_vectors = vectors  # noqa: SLF001 - one's own copy
        return changed

    def updated(
        self,
        before: NDArray[np.int64],
        data: TrainingData,
        *,
        content: FloatArray | None,  # noqa: ARG002 -- the port's; it has read the texts by words of its own
        seed: int,  # noqa: ARG002 -- the port's; nothing is drawn
    ) -> LSAScorer:
        """Return the same model for the catalogue as it is now; see `recipes.ports.SupportsIncrementalUpdate`.

        Items whose texts are what they were keep their vectors, freshness and popularity included; the others' texts
        are read by what was learnt. New items are as fresh as the training would have called them, and not popular yet.

        Raises:
            InvalidInput: What was learnt is not in the artifact, or the fields that it was learnt from are gone.
            CorruptArtifact: It is damaged.
        """
        if self._learnt is None:
            raise invalid("trainingMode", got="UPDATE", want="FULL: the version was trained before there were updates")
        learnt, texts = self._learnt().updated(data.items, before, self.item_vectors[:, :-EXTRA])
        extra = np.zeros((len(before), EXTRA), np.float32)
        extra[:, 0] = freshness(created_between(data)[0], learnt.ages)
        is_old = before >= 0
        extra[is_old] = self.item_vectors[before[is_old], -EXTRA:]
        return LSAScorer(np.hstack([texts, extra]), learnt=lambda: learnt)

    def embed_history(self, history: History) -> FloatArray:
        """Return the mean text of the history's different items: float32 [c + 2]; popular items for none."""
        n_items = len(self.item_vectors)
        items: ItemIndexes = np.unique(history.in_catalogue(n_items + len(self._new_vectors)).items)
        query = np.zeros(self.item_vectors.shape[1], np.float32)
        query[:-EXTRA] = self.item_vectors[items[items < n_items], :-EXTRA].sum(axis=0)
        query[:-EXTRA] += self._new_vectors[items[items >= n_items] - n_items, :-EXTRA].sum(axis=0)
        length = np.linalg.norm(query)
        if length == 0.0:
            query[-EXTRA:] = (_TIE, 1.0)
            return query
        query /= length
        query[-EXTRA:] = self._influence
        return query

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Return the query of each history: float32 [number of histories, c + 2]."""
        embeddings = [self.embed_history(histories.of(row)) for row in range(len(histories))]
        return np.array(embeddings, np.float32).reshape(len(histories), self.item_vectors.shape[1])

    def score_deltas(self, history: History) -> ScoreDelta:
        """Put the items of the history last."""
        items = np.unique(history.in_catalogue(len(self.item_vectors)).items)
        return ScoreDelta(items, np.full(len(items), -_LAST, np.float32))

    def save(self, folder: Path) -> None:
        """Write the vectors, and what updates need; influence belongs to campaigns, not to the model."""
        save_arrays(folder, {"item_vectors": self.item_vectors})
        if self._learnt is not None:
            self._learnt().save(folder)


def load(folder: Path) -> LSAScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: The file is missing, cannot be read or has another form.
    """
    vectors = map_arrays(folder, ("item_vectors",))["item_vectors"]
    if vectors.ndim != 2 or vectors.shape[1] < EXTRA:
        raise CorruptArtifact(f"`item_vectors.npy`: got shape {vectors.shape}, want at least {EXTRA} columns")
    return LSAScorer(vectors, learnt=partial(LearntTexts.load, folder) if LearntTexts.is_in(folder) else None)
