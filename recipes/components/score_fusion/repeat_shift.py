"""How far items of the history are raised or lowered for lists, beyond what makes held-out steps most likely.

Whether somebody comes back to something differs between people more than histories tell: some look at the same item
again and again, most never do. The most likely weights are those of the average, under which the items of a history
stand below what the network is a little too sure of. In a list it is the order that counts: each list has few items of
the history, and they earn the places that they take from others. So one number more is learnt by the order itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.ranking import batches
from recipes.ports import ScoreDeltas

__all__ = ["learn_repeat_shift"]

#: What is tried, of equally good ones the first, and standard errors of the difference that a gain has to be worth.
_SHIFTS: Final = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.0, -2.0, 3.0])
_ERRORS: Final = 2.0
#: Places of a list that count, and scores worked out at most.
_LIMIT: Final = 10
_MAX_SCORES: Final = 100_000_000

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


def learn_repeat_shift(
    item_vectors: FloatArray,
    queries: FloatArray,
    deltas_of: Callable[[Places], ScoreDeltas],
    *,
    histories: Histories,
    targets: ItemIndexes,
    weights: FloatArray,
    owners: Places,
) -> float:
    """Find the shift of the scores of a history's items that has the greatest NDCG@10 on held-out steps.

    Args:
        item_vectors: float32 [n_items, d], of the fusion.
        queries: float32 [m, d], m above 0.
        deltas_of: Returns the deltas of some of the histories, int64 [n], by items of the catalogue.
        histories: Of items of the catalogue alone.
        targets: int32 [m], what came next.
        weights: float32 [m], how much each counts; not all 0.
        owners: int64 [m], the users: the steps of one are alike, and count as one observation of what is gained.

    Returns:
        The shift; 0.0 unless it gains more than two standard errors of the difference.
    """
    n_items, total = len(item_vectors), len(targets)
    count = max(1, min(total, _MAX_SCORES // n_items))
    chosen = np.arange(count) * total // count
    mass = weights[chosen].astype(np.float64)
    if not mass.any():
        return 0.0
    gains = np.empty((count, len(_SHIFTS)))
    for part in batches(count, n_items=n_items):
        scores = queries[chosen[part]] @ item_vectors.T
        deltas = deltas_of(chosen[part])
        for row, step in enumerate(chosen[part]):
            of_step = slice(*deltas.offsets[row : row + 2])
            scores[row, deltas.items[of_step]] += deltas.values[of_step]
            ranks = _ranks(scores[row], np.unique(histories.of(int(step)).items), int(targets[step]))
            gains[part.start + row] = np.where(ranks <= _LIMIT, 1.0 / np.log2(1.0 + ranks), 0.0)
    return _best(gains - gains[:, _SHIFTS == 0.0], mass / mass.sum(), owners[chosen])


def _ranks(scores: FloatArray, seen: ItemIndexes, target: int) -> NDArray[np.int64]:
    """Return the rank of the target under each shift, ties against it, int64 [shifts]; gives the scores up."""
    of_target, of_seen = float(scores[target]), scores[seen].astype(np.float64)
    scores[seen] = -np.inf
    if target in seen:
        before = [np.count_nonzero(scores >= of_target + shift) for shift in _SHIFTS]
        return np.array(before) + np.count_nonzero(of_seen >= of_target)
    before_of_seen = np.count_nonzero(of_seen[:, None] + _SHIFTS >= of_target, axis=0)
    ranks: NDArray[np.int64] = before_of_seen + np.count_nonzero(scores >= of_target)
    return ranks


def _best(gained: Floats, mass: Floats, owners: Places) -> float:
    """Choose by what each step gains over no shift, float64 [m, shifts], its share of the weight and its user, [m]."""
    means = (mass @ gained).round(9)  # equal ones stay equal in whatever order they are added up
    best = int(means.argmax())
    of_users = np.bincount(np.unique(owners, return_inverse=True)[1], weights=mass * (gained[:, best] - means[best]))
    error = float(np.linalg.norm(of_users))
    return float(_SHIFTS[best]) if means[best] > _ERRORS * error else 0.0
