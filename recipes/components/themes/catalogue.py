"""What the lists of a job are compared with: items of the catalogue, and vectors learnt from what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from recipes.components.themes.ports import DescribedItem
from recipes.components.themes.vectors import TextVectors
from recipes.data.histories import FloatArray

__all__ = ["ThemeCatalogue"]


@dataclass(frozen=True, slots=True)
class ThemeCatalogue:
    """What a writer may compare the items of a list with.

    Attributes:
        items: Of the catalogue, a random sample where it is large.
        vectors: Learnt from their texts.
    """

    items: Sequence[DescribedItem]
    vectors: TextVectors
    _kept: dict[DescribedItem, FloatArray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, items: Sequence[DescribedItem], *, seed: int) -> Self:
        """Learn vectors from some items, at least one; the seed decides the random start."""
        return cls(items, TextVectors.learn([item.text() for item in items], seed=seed))

    def vectors_of(self, items: Sequence[DescribedItem]) -> FloatArray:
        """Return the vectors of items, of the catalogue or not: float32 [n, c], see `TextVectors.of`; they are kept."""
        others = list(dict.fromkeys(item for item in items if item not in self._kept))
        self._kept.update(zip(others, self.vectors.of([item.text() for item in others]), strict=True))
        rows = np.array([self._kept[item] for item in items], np.float32)
        return rows.reshape(len(items), self.vectors.size)
