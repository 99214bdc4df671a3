"""Rules "who used i goes on to j", counted over short distances and applied to the newest items of a history.

A baseline for offline evaluation only: its scores come from a sparse matrix, not from vectors, so it is not served. See
Ludewig and Jannach, "Evaluation of session-based recommendation algorithms" (UMUAI 2018), where such rules are a
baseline under the name SR; the cosine normalisation is ours.
"""

from __future__ import annotations

import numpy as np

from recipes.data.counts import count_successors
from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import CatalogueScores

__all__ = ["SequentialRulesBaseline"]


class SequentialRulesBaseline:
    """Counted rules.

    Args:
        rules: Row i, column j: how strongly i leads to j.
        window: Newest items of a history that rules are applied to.
    """

    def __init__(self, rules: SparseRows, *, window: int) -> None:
        self._rules = rules
        self._window = window
        self._n_items = len(rules.offsets) - 1

    @classmethod
    def fit(cls, data: TrainingData, *, window: int = 10) -> SequentialRulesBaseline:
        """Count followers up to `window` places on, each 1 / distance, over the root of both items' popularity."""
        counts = np.bincount(data.interactions.item, minlength=data.n_items)
        rules = count_successors(data.histories(), n_items=data.n_items, window=window)
        return cls(rules.scaled((1.0 / np.sqrt(np.maximum(counts, 1))).astype(np.float32)), window=window)

    def scores(self, histories: Histories) -> CatalogueScores:
        """Score the catalogue for some users: the newest item's rules count 1, the next newest's 1/2, and so on."""
        newest = histories.newest(self._window)

        def of_rows(rows: slice) -> FloatArray:
            found = np.zeros((rows.stop - rows.start, self._n_items), np.float32)
            for row in range(rows.start, rows.stop):
                found[row - rows.start] = self._of_history(newest.of(row).items)
            return found

        return of_rows

    def _of_history(self, newest: np.ndarray[tuple[int], np.dtype[np.int32]]) -> FloatArray:
        known = newest[::-1][(newest[::-1] >= 0) & (newest[::-1] < self._n_items)]
        found = np.zeros(self._n_items, np.float32)
        for place, item in enumerate(known.tolist(), start=1):
            entries = slice(int(self._rules.offsets[item]), int(self._rules.offsets[item + 1]))
            # Columns of one row differ, so nothing is added twice to one place.
            found[self._rules.columns[entries]] += self._rules.values[entries] / np.float32(place)
        return found
