"""Items' columns as feature vectors: categories and numbers, cut to the directions in which items differ most."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recipes.columns import CategoricalColumn, Columns
from recipes.interface import FloatArray

__all__ = ["WIDTH", "item_features"]

#: Features of an item at most.
WIDTH = 64
#: Categories of a column that are told apart, the most frequent; others count as none.
_MAX_CATEGORIES = 512


def item_features(columns: Columns, *, n_items: int) -> FloatArray:
    """Describe items by their categorical and numeric columns.

    Each column's categories share a length of 1; numbers are standardised, 0 where there is none. Where that gives more
    than `WIDTH` features, the leading principal directions are kept (of the uncentred matrix).

    Returns:
        float32 [n_items, up to `WIDTH`]; no columns without metadata. An item of which nothing is told has zeros.
    """
    parts = [_one_hot(column) for _, column in sorted(columns.categorical.items())]
    parts += [sparse.csr_array(_standard(values)[:, None]) for _, values in sorted(columns.numeric.items())]
    if not parts:
        return np.zeros((n_items, 0), np.float32)
    matrix = sparse.hstack(parts, format="csr")
    if matrix.shape[1] <= WIDTH:
        return np.asarray(matrix.toarray(), np.float32)
    _, directions = np.linalg.eigh((matrix.T @ matrix).toarray())
    reduced: FloatArray = (matrix @ directions[:, ::-1][:, :WIDTH]).astype(np.float32)
    return reduced


def _one_hot(column: CategoricalColumn) -> sparse.csr_array:
    frequent = np.argsort(-np.bincount(column.codes, minlength=len(column.categories)), kind="stable")[:_MAX_CATEGORIES]
    places = np.full(len(column.categories), -1)
    places[frequent] = np.arange(len(frequent))
    kept = places[column.codes] >= 0
    rows = column.rows()[kept]
    lengths = np.bincount(rows, minlength=len(column))
    values = 1.0 / np.sqrt(lengths[rows])
    return sparse.csr_array((values, (rows, places[column.codes][kept])), shape=(len(column), len(frequent)))


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    told = np.isfinite(values)
    if not told.any():
        return np.zeros(len(values))
    spread = float(values[told].std()) or 1.0
    standard: NDArray[np.float64] = np.where(told, (values - values[told].mean()) / spread, 0.0)
    # One number out of all proportion must not outweigh everything else.
    return np.clip(standard, -3.0, 3.0)
