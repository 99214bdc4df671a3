"""Items that came after a training: a model that has never heard of them learns of their columns alone.

The same items are cold as in `benchmarks.quality.cold_items`, but the training has neither them nor their columns: it
is one of the other items, and the cold ones are encoded when it is over, as a runtime does with what is put.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import invalid
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import FloatArray, Histories, History
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import CatalogueScores
from recipes.ports import EncodesNewItems, ItemScorer, RelatesNewItems
from recipes.registry import make_fitter, read_config

__all__ = ["LaterItems", "fit_before"]


@dataclass(frozen=True, slots=True)
class LaterItems:
    """A model of the warm items, which has been told of the cold ones.

    Attributes:
        scorer: Reads histories with all items: the warm ones, then the cold ones.
        vectors: float32 [cold items, c], of the cold ones.
        order: int64 [n_items], the items as the model counts them.
        n_warm: How many of them are warm.
        seconds: What fitting and encoding took.
    """

    scorer: ItemScorer
    vectors: FloatArray
    order: NDArray[np.int64]
    n_warm: int
    seconds: float

    def scores(self, histories: Histories) -> CatalogueScores:
        """Score all items for some users, as they are served."""
        moved = replace(histories, items=np.argsort(self.order)[histories.items].astype(np.int32))
        of_warm = catalogue_scores(self.scorer, moved)
        if isinstance(self.scorer, RelatesNewItems):
            queries = np.array([self.scorer.embed_for_new_items(moved.of(row)) for row in range(len(moved))])
        else:
            queries = self.scorer.embed_histories(moved)

        def scored(rows: slice) -> FloatArray:
            values = np.empty((len(queries[rows]), len(self.order)), np.float32)
            values[:, self.order[: self.n_warm]] = of_warm(rows)
            values[:, self.order[self.n_warm :]] = queries[rows] @ self.vectors.T
            return values

        return scored

    def related(self, item: int) -> FloatArray:
        """Score all items for one that is asked about: float32 [n_items]."""
        history = History.of_items([int(np.flatnonzero(self.order == item)[0])])
        query = for_new = self.scorer.embed_history(history)
        if isinstance(self.scorer, RelatesNewItems):
            for_new = self.scorer.embed_for_new_items(history)
        values, delta = self.scorer.item_vectors @ query, self.scorer.score_deltas(history)
        values[delta.items] += delta.values
        scores = np.empty(len(self.order), np.float32)
        scores[self.order[: self.n_warm]] = values
        scores[self.order[self.n_warm :]] = self.vectors @ for_new
        return scores


def fit_before(
    name: str, training: TrainingData, cold: NDArray[np.bool_], *, hyperparameters: Mapping[str, str]
) -> LaterItems:
    """Fit a recipe to the warm items, and tell it of the cold ones.

    Args:
        name: Of the recipe.
        training: Without interactions of cold items, with columns of all.
        cold: bool [n_items].
        hyperparameters: Of the recipe.

    Raises:
        InvalidInput: The recipe knows nothing of items that come after a training.
    """
    declared, started = get_recipe(name), time.perf_counter()
    warm, later = np.flatnonzero(~cold), np.flatnonzero(cold)
    rows = training.interactions
    items = np.searchsorted(warm, rows.item).astype(np.int32)
    before = replace(
        training, interactions=replace(rows, item=items), n_items=len(warm), items=_columns(training.items, warm)
    )
    scorer = make_fitter(declared, read_config(declared, hyperparameters), seed=0).fit(before)
    encoder = scorer.new_item_encoder() if isinstance(scorer, EncodesNewItems) else None
    if encoder is None or not isinstance(scorer, EncodesNewItems):
        raise invalid("recipes", got=name, want="recipes that know items that came after a training")
    encoded = encoder.encode(_columns(training.items, later), n_rows=len(later))
    reading = scorer.with_new_items(encoded.vectors, encoded.neighbours)
    seconds = round(time.perf_counter() - started, 1)
    return LaterItems(reading, encoded.vectors, np.concatenate([warm, later]), len(warm), seconds)


def _columns(columns: Columns, rows: NDArray[np.int64]) -> Columns:
    """Return the columns of some rows."""

    def categories(column: CategoricalColumn) -> CategoricalColumn:
        names: Sequence[Any] = column.categories
        spans = [slice(int(column.offsets[row]), int(column.offsets[row + 1])) for row in rows]
        return CategoricalColumn.of_values([[names[code] for code in column.codes[span]] for span in spans])

    return Columns(
        {name: categories(column) for name, column in columns.categorical.items()},
        {name: values[rows] for name, values in columns.numeric.items()},
        {name: tuple(texts[row] for row in rows.tolist()) for name, texts in columns.textual.items()},
    )
