"""Logistic regression with a Gaussian prior, by Newton's method.

King and Zeng's rare events need no correction here: what is learnt from are shown actions, taken or not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_logistic", "sigmoid"]

_STEPS: Final = 50
_ENOUGH: Final = 1e-8

Matrix = NDArray[np.float64]


def sigmoid(scores: Matrix) -> Matrix:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * scores))


def fit_logistic(rows: Matrix, labels: NDArray[np.bool_], *, prior: Matrix, strength: Matrix) -> Matrix:
    """Maximise the posterior of the weights.

    Args:
        rows: float64 [n, f].
        labels: bool [n].
        prior: float64 [f], the weights to expect.
        strength: float64 [f], how strongly: the inverse variances of the prior, above 0.

    Returns:
        float64 [f].
    """
    weights = prior.copy()

    def loss(candidate: Matrix) -> float:
        scores = rows @ candidate
        away = candidate - prior
        return float(np.logaddexp(0.0, np.where(labels, -scores, scores)).sum() + 0.5 * strength @ (away * away))

    current = loss(weights)
    for _ in range(_STEPS):
        shares = sigmoid(rows @ weights)
        gradient = rows.T @ (shares - labels) + strength * (weights - prior)
        curvature = (rows * (shares * (1.0 - shares))[:, None]).T @ rows
        curvature[np.diag_indices(len(weights))] += strength
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        # The loss is convex, so a step that is halved often enough gets down.
        while (loss_after := loss(weights - size * step)) > current and size > _ENOUGH:
            size *= 0.5
        if current - loss_after <= _ENOUGH * max(1.0, abs(current)):
            break
        weights, current = weights - size * step, loss_after
    return weights
