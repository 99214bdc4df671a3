"""What a whole history speaks for, by the weights of its items: the serving side of the regression of items on items.

A sequence model reads the order of the newest items, and sequential rules what follows them. What is used by the same
users, in whatever order and however far apart, is a third thing that can be known. For a history h and an item i,

    regression(h, i) = v * log(1 + 1 / e * sum over different j in h of 2^(-steps since j / HALF_LIFE) * weights[j, i])

is a part of the score fusion, where v and e are learnt; see `recipes.components.score_fusion.score`. The sum is like a
probability, and scores are like logarithms of probabilities: added as it is it helps on no data at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, History, ItemIndexes
from recipes.data.sparse import SparseRows

__all__ = ["ItemRegression", "decays"]

#: Steps after which an item of the history counts half as much, and newest steps that count at all: the next one would
#: count a thirtieth.
HALF_LIFE: Final = 10
_STEPS: Final = 50

_ARRAYS = ("regression_offsets", "regression_items", "regression_weights", "regression_places", "regression_weight")


def decays() -> FloatArray:
    """Return what the weights of the newest items count, the newest first: float32 [_STEPS]."""
    return (0.5 ** (np.arange(_STEPS) / HALF_LIFE)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ItemRegression:
    """Weights of items for items, row by row; immutable.

    Attributes:
        weights: Row j, column i: how much j speaks for i, above 0; the largest of each row first.
        places: float32 [p], what the rows of the newest items count, the newest first: the decay by e. Of a row so
            large a share is looked at as its place counts by the newest: what is small times what is small.
        weight: v, above 0.
    """

    weights: SparseRows
    places: FloatArray = field(default_factory=decays)
    weight: float = 1.0

    @classmethod
    def nothing(cls) -> Self:
        """Return the regression that speaks for no item, whatever the catalogue."""
        empty = SparseRows(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
        return cls(empty, np.empty(0, np.float32))

    def sums(self, history: History) -> tuple[ItemIndexes, NDArray[np.float64]]:
        """Add up what a history speaks for, before the logarithm.

        Args:
            history: All its items are in the catalogue.

        Returns:
            item: int32 [k], all different, ascending; the sum of its weights: float64 [k].
        """
        if not len(self.places):
            return np.empty(0, np.int32), np.empty(0)
        newest_first = history.items[::-1]
        items, places = np.unique(newest_first, return_index=True)
        is_near = places < len(self.places)
        items, places = items[is_near], places[is_near]
        lengths = np.ceil(self.weights.lengths()[items] * (self.places[places] / self.places[0])).astype(np.int64)
        ends = np.cumsum(lengths)
        at = np.repeat(self.weights.offsets[items] - (ends - lengths), lengths) + np.arange(
            ends[-1] if len(ends) else 0
        )
        factors = np.repeat(self.places[places], lengths)
        spoken_for, inverse = np.unique(self.weights.columns[at], return_inverse=True)
        values = self.weights.values[at] * factors
        return spoken_for, np.bincount(inverse, weights=values, minlength=len(spoken_for)).astype(np.float64)

    def weighted(self, weight: float, scale: float) -> Self:
        """Return the same sums with v and e, both above 0."""
        return type(self)(self.weights, self.places / np.float32(scale), weight)

    def moved(self, before: NDArray[np.int64]) -> Self:
        """Return the same weights by the indexes of another catalogue; new items have none.

        Args:
            before: int64 [items of the other catalogue], the index that each had here, -1 for new ones.
        """
        if not len(self.places):
            return self
        present = np.full(len(self.weights), -1, np.int32)
        old = np.flatnonzero(before >= 0)
        present[before[old]] = old
        at = self.weights.entries_of(before[old])
        columns, lengths = present[self.weights.columns[at]], np.zeros(len(before), np.int64)
        lengths[old] = self.weights.lengths()[before[old]]
        kept = columns >= 0
        rows = np.repeat(np.arange(len(before)), lengths)[kept]
        offsets = np.searchsorted(rows, np.arange(len(before) + 1)).astype(np.int64)
        return type(self)(SparseRows(offsets, columns[kept], self.weights.values[at[kept]]), self.places, self.weight)

    def save(self, folder: Path) -> None:
        """Write the arrays; nothing where there are no weights."""
        if len(self.places):
            weight = np.array(self.weight, np.float64)
            arrays = (self.weights.offsets, self.weights.columns, self.weights.values, self.places, weight)
            save_arrays(folder, dict(zip(_ARRAYS, arrays, strict=True)))

    @classmethod
    def load(cls, folder: Path, *, n_items: int) -> Self:
        """Open what was saved; what was saved without weights, or before there were any, speaks for nothing.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit.
        """
        if not any((folder / f"{name}.npy").exists() for name in _ARRAYS):
            return cls.nothing()
        arrays = map_arrays(folder, _ARRAYS)
        offsets, columns, values, places, weight = (arrays[name] for name in _ARRAYS)
        if offsets.shape != (n_items + 1,) or columns.shape != values.shape or int(offsets[-1]) != len(columns):
            raise CorruptArtifact(
                f"`regression_offsets.npy`: got shape {offsets.shape}, want {n_items + 1} rising places"
            )
        if int(offsets[0]) != 0 or (offsets[1:] < offsets[:-1]).any():
            raise CorruptArtifact(f"`regression_offsets.npy`: got places that fall, want {n_items + 1} rising from 0")
        if places.ndim != 1 or not len(places):
            raise CorruptArtifact(f"`regression_places.npy`: got shape {places.shape}, want one dimension, not empty")
        if weight.shape != () or not weight > 0.0:
            raise CorruptArtifact(f"`regression_weight.npy`: got {weight.tolist()}, want one number above 0")
        return cls(SparseRows(offsets, columns, values), places, float(weight))
