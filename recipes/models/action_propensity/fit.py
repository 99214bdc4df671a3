"""Fitting Next-Best-Action: one logistic regression for each action, shrunk towards one that all actions share.

A multilevel logistic regression (Gelman and Hill, "Data Analysis Using Regression and Multilevel/Hierarchical Models",
2007, chapter 14), fitted by its mode in two steps. With x the features of a user at an event and y whether the action
was taken, the shared weights w maximise the likelihood of all actions' samples under the prior N(0, 1), and action a's

    w_a = argmax sum_{samples of a} log p(y | x, w_a) - k/2 |w_a - w|^2,    p(1 | x, w) = 1 / (1 + exp(-w.x))

Deviations: w is not fitted again once the w_a are known, the intercepts are hardly held, and k, the inverse variance
between actions, is chosen by the likelihood of the newest fifth of the samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import InvalidInput
from recipes.data.counts import cooccurrence_directions
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.action_propensity.config import ActionPropensityConfig
from recipes.models.action_propensity.data import ActionData, trainable_actions
from recipes.models.action_propensity.features import ACTION_FEATURES, past_of_all
from recipes.models.action_propensity.logistic_regression import fit_logistic, sigmoid
from recipes.models.action_propensity.samples import Samples, make_samples
from recipes.models.action_propensity.score import ActionPropensityScorer
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import FitProgress, ignore_progress

__all__ = ["ActionPropensityFitter"]

#: Width of the items' vectors, and of the content of users' columns at most.
_WIDTH: Final = 16
#: Places apart that two items of a history still count as co-occurring.
_WINDOW: Final = 5
#: Items whose vectors are shorter co-occur with nothing.
_NOWHERE: Final = 1e-6
#: Inverse variance of the shared weights, and of intercepts, which are hardly held.
_SHARED, _INTERCEPT = 1.0, 1e-3
#: Inverse variances of an action's departure to choose from.
_STRENGTHS: Final = (1.0, 10.0, 100.0)
_DECIDING: Final = 0.2

Weights = NDArray[np.float64]


class ActionPropensityFitter:
    """Learns from `ActionData`.

    Args:
        config: The optimization period.
        seed: Decides where the search for the items' vectors starts.
        progress: Called after each part.
    """

    def __init__(self, config: ActionPropensityConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress
        self._vectors: FloatArray | None = None
        self._user_features: ContentVectors | None = None
        self._strength: float | None = None

    def fit(self, data: ActionData) -> ActionPropensityScorer:
        """Learn the items' vectors, choose the strength, and learn the weights.

        Raises:
            InvalidInput: There are no action interactions.
        """
        if not len(data.events):
            raise InvalidInput("`Action_Interactions`: got none, want events of users with actions")
        self._vectors = _item_vectors(data.items, seed=self._seed)
        users = data.items
        self._user_features, _ = learn_vectors(users.users, n_rows=users.n_users, size=_WIDTH, seed=self._seed)
        self._progress(fraction=0.3, stage="items placed", metrics={})
        samples, trained = self._samples(data)
        self._strength = _choose_strength(samples, trained)
        self.report = {"strength": self._strength, "trained_actions": float(trained.sum())}
        self._progress(fraction=0.7, stage="strength chosen", metrics=self.report)
        return self._finish(data, samples, trained)

    def extend(self, data: ActionData) -> ActionPropensityScorer:
        """Learn the weights from all of the data; the items' vectors and the strength stay."""
        samples, trained = self._samples(data)
        return self._finish(data, samples, trained)

    @property
    def period_days(self) -> int:
        """The optimization period."""
        return self._config.action_optimization_period

    def samples(self, data: ActionData) -> Samples:
        """Return the samples of data, as the fitted model sees them."""
        assert self._vectors is not None, "`fit` comes first"
        return make_samples(data, self._vectors, self._content(data), period_days=self.period_days)

    def _content(self, data: ActionData) -> FloatArray:
        """Return the content of the users' columns: float32 [n_users, c]."""
        assert self._user_features is not None, "`fit` comes first"
        return self._user_features.of(data.items.users, n_rows=data.items.n_users)

    def _samples(self, data: ActionData) -> tuple[Samples, NDArray[np.bool_]]:
        trained = trainable_actions(data.events, n_actions=len(data.actions))
        samples = self.samples(data)
        return samples.where(trained[samples.action]), trained

    def _finish(self, data: ActionData, samples: Samples, trained: NDArray[np.bool_]) -> ActionPropensityScorer:
        assert self._vectors is not None, "`fit` comes first"
        assert self._strength is not None, "`fit` comes first"
        weights = _learn(samples, trained, strength=self._strength)
        totals, last, counts = past_of_all(data.events, n_users=data.items.n_users, n_actions=len(data.actions))
        offsets = np.concatenate([[0], np.cumsum(np.bincount(last.user, minlength=data.items.n_users))])
        self._progress(fraction=1.0, stage="weights learnt", metrics=self.report)
        return ActionPropensityScorer(
            item_vectors=np.pad(self._vectors, ((0, 0), (0, 2))),
            coefficients=weights.astype(np.float32),
            bounds=_bounds(samples),
            trained=trained,
            actions=data.actions,
            totals=totals,
            own_offsets=offsets.astype(np.int64),
            own_actions=last.action,
            own_counts=counts,
            own_last=last.timestamp,
            user_content=self._content(data),
        )


def _item_vectors(data: TrainingData, *, seed: int) -> FloatArray:
    """Place items by what is used near them: float32 [n_items, 16], of length 1 or 0."""
    if not len(data.interactions):
        return np.zeros((data.n_items, _WIDTH), np.float32)
    uses = np.bincount(data.interactions.item, minlength=data.n_items)
    scale = (1.0 / np.sqrt(np.maximum(uses, 1))).astype(np.float32)
    directions = cooccurrence_directions(
        data.histories(), n_items=data.n_items, window=_WINDOW, scale=scale, count=_WIDTH, seed=seed
    )
    vectors = np.zeros((data.n_items, _WIDTH), np.float32)
    vectors[:, : directions.shape[1]] = directions
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths < _NOWHERE] = np.inf
    placed: FloatArray = vectors / lengths
    return placed


def _learn(samples: Samples, trained: NDArray[np.bool_], *, strength: float) -> Weights:
    """Return the weights of each action: float64 [n_actions, f]; 0 for those that are not trained."""
    width = samples.rows.shape[1]
    weights = np.zeros((len(trained), width))
    if not len(samples.taken):
        return weights
    # Columns of one size, so that one strength holds them alike; the intercept is the first of the last eight.
    scale = samples.rows.std(axis=0)
    scale[scale < 1e-9] = 1.0
    intercept = width - ACTION_FEATURES
    rows = samples.rows / scale
    shared = fit_logistic(rows, samples.taken, prior=np.zeros(width), strength=_strengths(width, intercept, _SHARED))
    strengths = _strengths(width, intercept, strength)
    for action in np.flatnonzero(trained):
        of_action = samples.action == action
        weights[action] = (
            fit_logistic(rows[of_action], samples.taken[of_action], prior=shared, strength=strengths) / scale
        )
    return weights


def _bounds(samples: Samples) -> FloatArray:
    """Return the least and the largest value of each feature: float32 [2, f]."""
    if not len(samples.rows):
        return np.zeros((2, samples.rows.shape[1]), np.float32)
    return np.stack([samples.rows.min(axis=0), samples.rows.max(axis=0)]).astype(np.float32)


def _strengths(width: int, intercept: int, strength: float) -> Weights:
    strengths = np.full(width, strength)
    strengths[intercept] = _INTERCEPT
    return strengths


def _choose_strength(samples: Samples, trained: NDArray[np.bool_]) -> float:
    """Return the strength under which older samples predict the newest fifth best."""
    older = np.arange(len(samples.taken)) < round((1.0 - _DECIDING) * len(samples.taken))
    if older.all() or not older.any():
        return _STRENGTHS[-1]
    learnt, newest = samples.where(older), samples.where(~older)
    losses = []
    for strength in _STRENGTHS:
        weights = _learn(learnt, trained, strength=strength)
        shares = sigmoid((newest.rows * weights[newest.action]).sum(axis=1))
        losses.append(float(-np.log(np.clip(np.where(newest.taken, shares, 1.0 - shares), 1e-12, None)).sum()))
    return _STRENGTHS[int(np.argmin(losses))]
