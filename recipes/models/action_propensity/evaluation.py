"""Personalize's metrics of propensities: precision, recall and the area under the ROC curve, averaged over actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipes.evaluation.paired_tests import Pair
from recipes.models.action_propensity.samples import Samples

__all__ = ["Judged", "TakenValues", "compare", "judge"]

#: Decides which of two versions is better: unlike the others it does not depend on where the propensities lie.
_JUDGED_BY: Final = "auc"
#: An action counts as recommended from this propensity on.
_RECOMMENDED: Final = 0.5
#: Events of drawn users worked on at once: they fit into the cache.
_BATCH_EVENTS: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Judged:
    """What propensities earned.

    Attributes:
        coverage: Share of all actions that may be recommended.
        users: Every other metric.
    """

    coverage: float
    users: TakenValues

    def named(self) -> dict[str, float]:
        """Return all metrics by name."""
        values = zip(self.users.names, self.users.values().tolist(), strict=True)
        return {"coverage": self.coverage, **dict(values)}


def judge(scores: NDArray[np.float64], asked: Samples, *, trained: NDArray[np.bool_]) -> Judged:
    """Measure propensities of events that were not learnt from.

    Args:
        scores: float64 [n], 0 to 1.
        asked: The n events.
        trained: bool [n_actions], the actions that count.
    """
    n_actions = len(trained)
    takers, all_events = (np.bincount(of, minlength=n_actions) for of in (asked.action[asked.taken], asked.action))
    told = trained & (takers > 0) & (takers < all_events)
    kept = told[asked.action]
    coverage = float(trained.mean()) if n_actions else 0.0
    return Judged(coverage, TakenValues(scores[kept], asked.taken[kept], asked.action[kept], asked.user[kept]))


def compare(
    scores: NDArray[np.float64], predecessor: NDArray[np.float64], asked: Samples, *, trained: NDArray[np.bool_]
) -> Pair:
    """Pair what two models' propensities of the same events earn.

    Args:
        scores: float64 [n], of the new model.
        predecessor: float64 [n], of the one before.
        asked: The n events.
        trained: bool [n_actions], the actions that either has learnt.
    """
    new, old = (judge(each, asked, trained=trained).users for each in (scores, predecessor))
    differing = np.unique(asked.user[scores != predecessor])
    return Pair(new, old, _JUDGED_BY, len(differing))


class TakenValues:
    """Metrics of propensities whose users can be drawn anew; see `recipes.evaluation.bootstrap.Resampled`.

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
        """Work out the metrics.

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
        told = (taken > 0) & (left > 0)
        found = [right / np.maximum(recommended, 1.0), right / np.maximum(taken, 1.0), area]
        actions = told.sum(axis=1)
        means = np.full((len(counts), len(found)), np.nan)
        some = actions > 0
        for place, each in enumerate(found):
            means[some, place] = np.where(told, each, 0.0).sum(axis=1)[some] / actions[some]
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
