"""Personalize's metrics of propensities: precision, recall and the area under the ROC curve, averaged over actions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["area_under_curve", "judge"]

#: An action counts as recommended from this propensity on.
_RECOMMENDED: Final = 0.5


def judge(
    scores: NDArray[np.float64], taken: NDArray[np.bool_], action: NDArray[np.int32], *, trained: NDArray[np.bool_]
) -> dict[str, float]:
    """Measure propensities of events that were not learnt from.

    Args:
        scores: float64 [n], 0 to 1.
        taken: bool [n].
        action: int32 [n].
        trained: bool [n_actions], the actions that count.

    Returns:
        `coverage`, the share of all actions that may be recommended; and over the actions that some took and some did
        not: `precision`, the share of takers among those that the action is recommended to, 0 where it is to nobody;
        `recall`, the share of the takers that it is recommended to; `auc`. All are 0 without such actions.
    """
    found = []
    for number in np.flatnonzero(trained):
        own = action == number
        labels, values = taken[own], scores[own]
        if labels.any() and not labels.all():
            recommended = values >= _RECOMMENDED
            right = float((labels & recommended).sum())
            found.append((right / max(1, recommended.sum()), right / labels.sum(), area_under_curve(values, labels)))
    precision, recall, area = np.mean(found, axis=0).tolist() if found else (0.0, 0.0, 0.0)
    coverage = float(trained.mean()) if len(trained) else 0.0
    return {"coverage": coverage, "precision": precision, "recall": recall, "auc": area}


def area_under_curve(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Return the share of pairs of a taker and another in which the taker's score is higher, ties counting half.

    Args:
        scores: float64 [n].
        labels: bool [n], of both kinds.
    """
    values, places = np.unique(scores, return_inverse=True)
    positive, negative = (np.bincount(places[labels == kind], minlength=len(values)) for kind in (True, False))
    below = np.cumsum(negative) - negative
    return float((positive * (below + 0.5 * negative)).sum() / (positive.sum() * negative.sum()))
