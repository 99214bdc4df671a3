"""Learning what items speak for: every item regressed on the others that the same users used.

Some thousands of items, or of users, are solved exactly, see `recipes.components.item_regression.exact`. Where there
are more of both each item is regressed on those that it is most used together with, see
`recipes.components.item_regression.ease`. Deviations from EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse
Data", WWW 2019): of weights below 0 none is kept, as a request would have to lower half of the catalogue, and of the
others the largest of each row.

Order, distance and repeats count for nothing here: other parts of the score fusion know them. Where event types weigh
differently, what is predicted of an item is multiplied by what its uses count in the mean, and as something that was
used before every item is alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from recipes.components.item_regression.ease import sparse_ease_weights
from recipes.components.item_regression.exact import exact_weights, solves_exactly
from recipes.components.item_regression.limits import CANDIDATES, KEPT, MAX_ITEMS, ROW_LIMIT
from recipes.components.item_regression.score import ItemRegression
from recipes.data.gram_matrix import build_gram_matrix, distinct_steps, largest_of_rows
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.data.sparse import SparseRows

__all__ = ["fit_item_regression"]

#: Added to the number of users of each item.
_PENALTY: Final = 500.0
#: Newest different items of a user that are learnt from, the fewer the more pairs there would be to count, and pairs
#: that are not too many.
_LIMITS: Final = (1000, 500, 200, 100, 50, 20, 10)
_PAIRS: Final = 200_000_000


def fit_item_regression(
    histories: Histories, worth: FloatArray, *, n_items: int, progress: Callable[[float], None]
) -> ItemRegression:
    """Regress every item on the others, and keep the weights above 0 that are largest.

    Args:
        histories: To learn from.
        worth: float32 [total], what each step counts; not all 0.
        n_items: Items of the catalogue.
        progress: Called with the share of the items that are solved, 0 to 1.

    Returns:
        The regression; one that speaks for nothing where the catalogue is too large.
    """
    if n_items > MAX_ITEMS:
        return ItemRegression.nothing()
    worths = _mean_worth(histories.items, worth, n_items=n_items)
    used = _bounded(distinct_steps(histories, n_items=n_items, limit=_LIMITS[0], by_last_use=True))
    if solves_exactly(used, n_items=n_items):
        return ItemRegression(exact_weights(used, worths, penalty=_PENALTY, kept=KEPT, progress=progress))
    gram = build_gram_matrix(used, n_items=n_items, row_limit=ROW_LIMIT)
    penalties = np.full(n_items, _PENALTY, np.float32)
    solved = sparse_ease_weights(gram, penalties, candidates=CANDIDATES, progress=progress)
    values = solved.values * worths[solved.columns]
    above = values > 0.0
    offsets = np.concatenate([[0], np.cumsum(above)])[solved.offsets]
    columns, values = solved.columns[above], values[above]
    kept, offsets = largest_of_rows(offsets, values, limit=KEPT)
    largest_first = kept[np.lexsort((-values[kept], np.repeat(np.arange(n_items), np.diff(offsets))))]
    return ItemRegression(SparseRows(offsets.astype(np.int64), columns[largest_first], values[largest_first]))


def _mean_worth(items: ItemIndexes, worth: FloatArray, *, n_items: int) -> FloatArray:
    """Return what the uses of each item count in the mean, by the mean of all: float32 [n_items]."""
    uses = np.maximum(np.bincount(items, minlength=n_items), 1)
    means = np.bincount(items, weights=worth, minlength=n_items) / uses / worth.mean(dtype=np.float64)
    worths: FloatArray = means.astype(np.float32)
    return worths


def _bounded(histories: Histories) -> Histories:
    """Return the newest items of each user, so many that there are not too many pairs of them."""
    lengths = histories.lengths()
    for limit in _LIMITS:
        if int(np.square(np.minimum(lengths, limit)).sum()) <= _PAIRS:
            break
    return histories.newest(limit)
