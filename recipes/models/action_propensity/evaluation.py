"""Personalize's metrics of propensities: precision, recall and the area under the ROC curve, averaged over actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.evaluation.paired_tests import Pair
from recipes.models.action_propensity.samples import Samples

__all__ = ["PRIMARY_METRIC", "ActionMetrics", "TakenValues", "compare", "evaluate"]

#: Decides which of two versions is better: unlike the others it does not depend on where the propensities lie.
PRIMARY_METRIC: Final = "auc"
#: An action counts as recommended from this propensity on.
_RECOMMENDED: Final = 0.5
#: Events of resampled users worked on at once: they fit into the cache.
_BATCH_EVENTS: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class ActionMetrics:
    """Metrics of propensities.

    Attributes:
        coverage: Share of all actions that may be recommended.
        users: Every other metric, which depends on users.
    """

    coverage: float
    users: TakenValues

    def named(self) -> dict[str, float]:
        """Return all metrics by name."""
        values = zip(self.users.names, self.users.values().tolist(), strict=True)
        return {"coverage": self.coverage, **dict(values)}


def evaluate(scores: NDArray[np.float64], events: Samples, *, trained: NDArray[np.bool_]) -> ActionMetrics:
    """Measure propensities of events that were not learnt from.

    Args:
        scores: float64 [n], 0 to 1.
        events: The n events.
        trained: bool [n_actions], the actions that count.
    """
    n_actions = len(trained)
    takers, all_events = (np.bincount(of, minlength=n_actions) for of in (events.action[events.taken], events.action))
    defined = trained & (takers > 0) & (takers < all_events)
    kept = defined[events.action]
    coverage = float(trained.mean()) if n_actions else 0.0
    values = TakenValues(scores[kept], events.taken[kept], events.action[kept], events.user[kept])
    return ActionMetrics(coverage, values)


def compare(
    challenger: NDArray[np.float64], champion: NDArray[np.float64], events: Samples, *, trained: NDArray[np.bool_]
) -> Pair:
    """Pair the metrics of two models' propensities of the same events.

    Args:
        challenger: float64 [n], propensities of the new model.
        champion: float64 [n], propensities of the model before.
        events: The n events.
        trained: bool [n_actions], the actions that either has learnt.
    """
    new, old = (evaluate(scores, events, trained=trained).users for scores in (challenger, champion))
    differing = np.unique(events.user[challenger != champion])
    return Pair(new, old, PRIMARY_METRIC, len(differing))


class TakenValues:
    """Metrics of propensities whose users can be resampled; see `recipes.evaluation.bootstrap.Resampled`.

    Means over the actions that some took and some did not, in each draw: `precision`, the share of takers among those
    that the action is recommended to, 0 where it is to nobody; `recall`, the share of the takers that it is recommended
    to; `auc`, the share of pairs of a taker and another in which the taker's score is higher, ties counting half. All
    are 0 without events.

    Args:
        scores: float64 [n], 0 to 1.
        taken: bool [n].
        action: int32 [n]; of each some are taken and some are not.
        user: int32 [n], any numbers.
    """

    names = ("precision", "recall", "auc")

    def __init__(
        self,
        scores: NDArray[np.float64],
        taken: NDArray[np.bool_],
        action: NDArray[np.int32],
        user: NDArray[np.int32],
    ) -> None:
        order = np.lexsort((scores, action))
        scores, action = scores[order], action[order]
        users, self._user = np.unique(user[order], return_inverse=True)
        self._m = len(users)
        self._taken = taken[order].astype(np.float64)
        self._recommended = (scores >= _RECOMMENDED).astype(np.float64)
        # Events of one action are together, and among them those of one score.
        self._action_begins = _begins(action)
        self._tie_begins = np.union1d(self._action_begins, _begins(scores))
        self._first_ties = np.searchsorted(self._tie_begins, self._action_begins)

    def __len__(self) -> int:
        return self._m

    def counted(self) -> NDArray[np.int64]:
        """Return how many users count in each metric: int64 [3]."""
        return np.full(len(self.names), self._m)

    def values(self, counts: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Return the metrics of all users together, or of resampled users.

        Args:
            counts: float64 [b, m], how often each user counts; None counts each once.

        Returns:
            float64 [3], or [b, 3] with counts; NaN for draws in which no action has takers and others.
        """
        if not self._m:
            return np.zeros(len(self.names) if counts is None else (len(counts), len(self.names)))
        if counts is None:
            return self.values(np.ones((1, self._m))).ravel()
        size = max(1, _BATCH_EVENTS // len(self._user))
        return np.concatenate([self._values(counts[begin : begin + size]) for begin in range(0, len(counts), size)])

    def _values(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        events = counts[:, self._user]  # [b, n]
        takers, others = events * self._taken, events * (1.0 - self._taken)
        right, recommended, taken, left = (
            np.add.reduceat(each, self._action_begins, axis=1)
            for each in (takers * self._recommended, events * self._recommended, takers, others)
        )  # [b, actions]
        area = self._area(takers, others)
        defined = (taken > 0) & (left > 0)
        by_action = [right / np.maximum(recommended, 1.0), right / np.maximum(taken, 1.0), area]
        actions = defined.sum(axis=1)
        means = np.full((len(counts), len(by_action)), np.nan)
        some = actions > 0
        for place, values in enumerate(by_action):
            means[some, place] = np.where(defined, values, 0.0).sum(axis=1)[some] / actions[some]
        return means

    def _area(self, takers: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the area of each action, float64 [b, actions], of weighted events [b, n]."""
        positive, negative = (np.add.reduceat(each, self._tie_begins, axis=1) for each in (takers, others))
        below = np.cumsum(negative, axis=1) - negative
        lengths = np.diff(np.append(self._first_ties, len(self._tie_begins)))
        below -= np.repeat(below[:, self._first_ties], lengths, axis=1)
        pairs, taken, left = (
            np.add.reduceat(each, self._first_ties, axis=1)
            for each in (positive * (below + 0.5 * negative), positive, negative)
        )
        area: NDArray[np.float64] = pairs / np.maximum(taken * left, 1.0)
        return area


def _begins(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return where runs of equal values begin."""
    return np.flatnonzero(np.append(True, values[1:] != values[:-1])) if len(values) else np.empty(0, np.int64)
