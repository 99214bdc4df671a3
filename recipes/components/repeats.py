"""Whether users come back to items, learnt from what held-out users did next.

One number is learnt on top of a fitted model: how much an item's score changes because it is already in the history. It
is the value under which the held-out next items are most likely, which the model's own softmax makes a problem of one
dimension with one maximum. Modes of repeating and exploring, with a probability each, are those of Ren et al.,
"RepeatNet: A Repeat Aware Neural Recommendation Machine for Session-based Recommendation" (AAAI 2019); here the odds
between them are one learnt number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.ranking import batches

__all__ = ["LIMIT", "SeenItems", "learn_repeat_bias"]

#: The bias when all held-out users came back, and its negative when none did: out of reach of every other score.
LIMIT = 30.0


@dataclass(frozen=True, slots=True)
class SeenItems:
    """The distinct items of the histories of m users.

    Attributes:
        n_items: Items of the catalogue.
        places: int64 [p], ascending: where they stand in an array [m, n_items] that is laid flat.
    """

    n_items: int
    places: NDArray[np.int64]

    @classmethod
    def of(cls, histories: Histories, *, n_items: int) -> Self:
        """Collect them; the histories have items of the catalogue alone."""
        return cls(n_items, np.unique(histories.owners() * n_items + histories.items))

    def within(self, part: slice) -> NDArray[np.int64]:
        """Return their places within the rows of a part, counted from its first one: int64 [up to p]."""
        begin = part.start * self.n_items
        span = slice(*np.searchsorted(self.places, (begin, part.stop * self.n_items)))
        places: NDArray[np.int64] = self.places[span] - begin
        return places

    def have(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Say for each user whether an item, int32 [m], is among them: bool [m]."""
        cells = np.arange(len(items)) * self.n_items + items
        at = np.searchsorted(self.places, cells)
        has: NDArray[np.bool_] = np.append(self.places, -1)[at] == cells
        return has


def learn_repeat_bias(
    item_vectors: FloatArray,
    queries: FloatArray,
    *,
    seen: SeenItems,
    targets: ItemIndexes,
    weights: FloatArray | None = None,
) -> float:
    """Find the repeat bias of greatest likelihood.

    With s the softmax share of a user's history and y = 1 when the user came back to it, the log-likelihood of a bias b
    is the weighted sum of y b - log(1 - s + s e^b); its slope falls in b, so the zero is bisected.

    Args:
        item_vectors: float32 [n_items, d].
        queries: float32 [m, d], of users that the model was not fitted to at this place.
        seen: What these users had used.
        targets: int32 [m], what they did next.
        weights: float32 [m], how much each counts; None for 1.

    Returns:
        The bias, from -LIMIT to LIMIT; 0 when there is nothing to learn from.
    """
    if not len(targets):
        return 0.0
    shares = np.concatenate([
        _shares(queries[part] @ item_vectors.T, seen.within(part))
        for part in batches(len(targets), n_items=len(item_vectors))
    ])  # fmt: skip
    has_history = shares > 0.0  # a user without history says nothing about repeats
    if not has_history.any():
        return 0.0
    shares, repeated = np.minimum(shares[has_history], 1.0 - 1e-9), seen.have(targets)[has_history]
    mass = np.ones(len(shares)) if weights is None else weights[has_history].astype(np.float64)
    low, high = -LIMIT, LIMIT
    for _ in range(60):
        middle = (low + high) / 2
        raised = shares * np.exp(middle)
        slope = float((mass * repeated).sum() - (mass * (raised / (1.0 - shares + raised))).sum())
        low, high = (middle, high) if slope > 0.0 else (low, middle)
    return (low + high) / 2


def _shares(logits: FloatArray, seen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the softmax share of what each user had used, float64 [rows]; gives the logits, [rows, n_items], up."""
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits, out=logits)
    of_seen = np.bincount(seen // logits.shape[1], weights=exponentials.reshape(-1)[seen], minlength=len(logits))
    shares: NDArray[np.float64] = of_seen / exponentials.sum(axis=1, dtype=np.float64)
    return shares
