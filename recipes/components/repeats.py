"""Whether users come back to items, learnt from what held-out users did next.

One number is learnt on top of a fitted model: how much an item's score changes because it is already in the history. It
is the value under which the held-out next items are most likely, which the model's own softmax makes a problem of one
dimension with one maximum. Modes of repeating and exploring, with a probability each, are those of Ren et al.,
"RepeatNet: A Repeat Aware Neural Recommendation Machine for Session-based Recommendation" (AAAI 2019); here the odds
between them are one learnt number.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.ranking import batches

__all__ = ["LIMIT", "learn_repeat_bias"]

#: The bias when all held-out users came back, and its negative when none did: out of reach of every other score.
LIMIT = 30.0


def learn_repeat_bias(
    item_vectors: FloatArray,
    queries: FloatArray,
    *,
    histories: Histories,
    targets: ItemIndexes,
    weights: FloatArray | None = None,
) -> float:
    """Find the repeat bias of greatest likelihood.

    With s the softmax share of a user's history and y = 1 when the user came back to it, the log-likelihood of a bias b
    is the weighted sum of y b - log(1 - s + s e^b); its slope falls in b, so the zero is bisected.

    Args:
        item_vectors: float32 [n_items, d].
        queries: float32 [m, d], of users that the model was not fitted to at this place.
        histories: Of the same m users.
        targets: int32 [m], what they did next.
        weights: float32 [m], how much each counts; None for 1.

    Returns:
        The bias, from -LIMIT to LIMIT; 0 when there is nothing to learn from.
    """
    shares = np.empty(len(targets))
    repeated = np.empty(len(targets), bool)
    for part in batches(len(targets), n_items=len(item_vectors)):
        _measure(item_vectors, queries, histories=histories, targets=targets, part=part, out=(shares, repeated))
    has_history = shares > 0.0  # a user without history says nothing about repeats
    if not has_history.any():
        return 0.0
    shares, repeated = np.minimum(shares[has_history], 1.0 - 1e-9), repeated[has_history]
    mass = np.ones(len(shares)) if weights is None else weights[has_history].astype(np.float64)
    low, high = -LIMIT, LIMIT
    for _ in range(60):
        middle = (low + high) / 2
        raised = shares * np.exp(middle)
        slope = float((mass * repeated).sum() - (mass * (raised / (1.0 - shares + raised))).sum())
        low, high = (middle, high) if slope > 0.0 else (low, middle)
    return (low + high) / 2


def _measure(
    item_vectors: FloatArray,
    queries: FloatArray,
    *,
    histories: Histories,
    targets: ItemIndexes,
    part: slice,
    out: tuple[NDArray[np.float64], NDArray[np.bool_]],
) -> None:
    """Write the softmax share of each user's history, and whether the user came back to it, into `out`."""
    logits = queries[part] @ item_vectors.T
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits, out=logits)
    totals = exponentials.sum(axis=1, dtype=np.float64)
    shares, repeated = out
    for row in range(part.start, part.stop):
        seen = np.unique(histories.of(row).items)
        shares[row] = float(exponentials[row - part.start, seen].sum(dtype=np.float64)) / totals[row - part.start]
        repeated[row] = targets[row] in seen
