"""Trend prediction accuracy: whether items that rise are above their earlier level in an interval that was hidden.

Personalize calls it the popularity increase of the recommended items in the test data, divided by that of the 25 items
that increase most. The increase is measured from the interval before the newest one that is shown: it is from
there that the trend rose, and a trend that was luck is back there in the hidden interval. (Measured from the newest
shown interval instead, what has just risen falls in expectation, and every list of trends scores 0.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import NO_TIME
from recipes.data.histories import FloatArray
from recipes.evaluation.metrics import LIST_LENGTH
from recipes.models.trending.rates import DEPTH, trend_scores
from recipes.retrieval.top_k import top_k

__all__ = ["Accuracy", "Ages", "Cut", "Ranker", "by_trend", "cuts", "evaluate"]


class Cut(NamedTuple):
    """A moment at which a list is made.

    Attributes:
        past: float32 [DEPTH, n_items], the counts of the intervals before, the newest first.
        exposure: float64 [DEPTH], 1 for each interval, 0 for those before the first interaction of all.
        hidden: float32 [n_items], the counts of the interval that follows, which a ranker must not look at.
    """

    past: FloatArray
    exposure: NDArray[np.float64]
    hidden: FloatArray


#: Scores all items at a cut: float32 [n_items].
Ranker = Callable[[Cut], FloatArray]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How much of the possible increase lists of trending items caught.

    Attributes:
        increase: Increase of the recommended items in interactions, all lists together.
        most: Increase of the items that increased most, as many at each cut.
        items: Number of different items in the lists.
    """

    increase: float
    most: float
    items: int

    @property
    def ratio(self) -> float:
        """The trend prediction accuracy, 0 to 1; 0 also where nothing increased."""
        return max(0.0, self.increase / self.most) if self.most > 0 else 0.0


class Ages:
    """Interactions by the age of their interval, counted back from the newest interaction: 0 is the newest.

    Args:
        item: int [n].
        timestamp: int64 [n], seconds since 1970.
        interval_seconds: Length of an interval.
        n_items: Items of the catalogue.
    """

    def __init__(
        self, item: NDArray[np.integer], timestamp: NDArray[np.int64], *, interval_seconds: int, n_items: int
    ) -> None:
        age = (timestamp.max(initial=NO_TIME) - timestamp) // interval_seconds
        order = np.argsort(age, kind="stable")
        self._age, self._item = age[order], item[order]
        self._n_items = n_items
        self.intervals: Final = int(self._age[-1]) + 1 if len(age) else 0

    def counts(self, age: int) -> FloatArray:
        """Count the interactions of each item in one interval: float32 [n_items]."""
        begin, end = np.searchsorted(self._age, [age, age + 1])
        return np.bincount(self._item[begin:end], minlength=self._n_items).astype(np.float32)

    def exposure(self, newest: int) -> NDArray[np.float64]:
        """Return which of the DEPTH intervals from an age on hold data, as `rates` wants it."""
        return (np.arange(newest, newest + DEPTH) < self.intervals).astype(np.float64)


def cuts(ages: Ages, hidden: Iterable[int]) -> Iterator[Cut]:
    """Cut before each of the hidden intervals; intervals without interactions, or after such a one, are passed over.

    Args:
        ages: The interactions.
        hidden: Ages of the intervals to hide, one after another, falling by one.
    """
    window: deque[FloatArray] = deque(maxlen=DEPTH + 1)
    for age in hidden:
        if not window:
            window.extend(ages.counts(older) for older in range(age + DEPTH, age, -1))
        window.append(ages.counts(age))
        *past, newest = window
        if newest.any() and past[-1].any():
            yield Cut(np.array(past[::-1]), ages.exposure(age + 1), newest)


def by_trend(half_life: float) -> Ranker:
    """Return the ranker of Trending-Now; `half_life` as in `rates.discounts`."""
    return lambda cut: trend_scores(cut.past, exposure=cut.exposure, half_life=half_life)


def evaluate(at_cuts: Iterable[Cut], rankers: dict[str, Ranker]) -> dict[str, Accuracy]:
    """Measure each ranker, by its name, at the same cuts."""
    increases, seen, most = dict.fromkeys(rankers, 0.0), {name: set[int]() for name in rankers}, 0.0
    for cut in at_cuts:
        increase = cut.hidden - cut.past[1]
        most += float(np.clip(increase[top_k(increase, LIST_LENGTH)], 0, None).sum())
        for name, ranker in rankers.items():
            listed = top_k(ranker(cut), LIST_LENGTH)
            increases[name] += float(increase[listed].sum())
            seen[name].update(listed.tolist())
    return {name: Accuracy(increases[name], most, len(seen[name])) for name in rankers}
