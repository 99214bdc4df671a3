"""Serving Similar-Items: the neighbours that the training found, and what columns say of items that came after it."""

from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np

from recipes.components import item_neighbors
from recipes.components.item_neighbors import ItemNeighborsScorer, different
from recipes.data.histories import FloatArray, History, ItemIndexes
from recipes.data.sparse import SparseRows
from recipes.models.ease.new_items import NewItemWeights, RelatedItemEncoder, load_weights, save_weights
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.saved_content import load_content
from recipes.ports import Neighbours, ScoreDelta

__all__ = ["EASEScorer", "load"]


class EASEScorer(ItemNeighborsScorer):
    """Neighbours, which new items have and are by their columns; a `recipes.ports.RelatesNewItems`.

    Args:
        item_vectors: As of `ItemNeighborsScorer`.
        neighbours: Likewise.
        new_items: What new items and the others have to do with each other; None where no columns were learnt from.
        content: From columns to what those weights are of: what was learnt, or the folder that it was saved in.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        neighbours: SparseRows,
        *,
        new_items: NewItemWeights | None = None,
        content: ContentVectors | Path | None = None,
    ) -> None:
        super().__init__(item_vectors, neighbours)
        self._weights = new_items
        self._content = content
        width = 0 if new_items is None else new_items.speaks.shape[1]
        self._new_vectors = np.empty((0, width), np.float32)
        self._new_neighbours = Neighbours(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32))

    @property
    def new_item_queries(self) -> FloatArray:
        """What each item looks for among new items: float32 [n_items, c]."""
        return np.empty((len(self.item_vectors), 0), np.float32) if self._weights is None else self._weights.speaks

    def new_item_encoder(self) -> RelatedItemEncoder | None:
        """Return what knows new items by their columns; None where the training knew no columns.

        Raises:
            CorruptArtifact: The files are damaged.
        """
        if self._weights is None or self._content is None:
            return None
        content = load_content(self._content) if isinstance(self._content, Path) else self._content
        return RelatedItemEncoder(content, self._weights)

    def with_new_items(self, vectors: FloatArray, neighbours: Neighbours | None) -> EASEScorer:
        """Return the same model that is asked about new items too; see `recipes.ports.EncodesNewItems`."""
        changed = copy(self)
        changed._new_vectors = vectors  # noqa: SLF001 - one's own copy
        if neighbours is not None:
            changed._new_neighbours = neighbours  # noqa: SLF001 - one's own copy
        return changed

    def embed_for_new_items(self, history: History) -> FloatArray:
        """Return what a history looks for among new items: float32 [c]."""
        if self._weights is None:
            return np.empty(0, np.float32)
        items, new = self._used(history)
        if len(items) == 1 and not len(new):
            row: FloatArray = self._weights.speaks[items[0]]
            return row
        query: FloatArray = self._weights.speaks[items].sum(axis=0)
        query += self._weights.likeness * self._new_vectors[new].sum(axis=0)
        return query

    def score_deltas(self, history: History) -> ScoreDelta:
        """Score the neighbours of the history's different items by the sum of their weights."""
        items, new = self._used(history)
        rows = [self._row(item) for item in items.tolist()]
        for place in new.tolist():
            is_there = self._new_neighbours.items[place] >= 0
            rows.append((self._new_neighbours.items[place][is_there], self._new_neighbours.weights[place][is_there]))
        return self._changed(items, rows)

    def save(self, folder: Path) -> None:
        """Write vectors, neighbours and what new items need."""
        super().save(folder)
        if (encoder := self.new_item_encoder()) is not None:
            save_weights(encoder, folder)

    def _used(self, history: History) -> tuple[ItemIndexes, ItemIndexes]:
        """Return the different items of a history: those of the model, and the places of new ones, which are known."""
        n_items = len(self.item_vectors)
        used = different(history.in_catalogue(n_items + len(self._new_vectors)).items)
        split = int(used.searchsorted(n_items))
        return used[:split], used[split:] - n_items


def load(folder: Path) -> EASEScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit.
    """
    saved = item_neighbors.load(folder)
    weights = load_weights(folder, n_items=len(saved.item_vectors))
    return EASEScorer(saved.item_vectors, saved.neighbours, new_items=weights, content=folder)
