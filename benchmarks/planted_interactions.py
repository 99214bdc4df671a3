"""Generated interactions, as arrays, of any number and with a structure that a model can find.

`benchmarks.generated_data` makes whole data sets, with names and films; a hundred million interactions are too many for
that. Users choose mostly from a few clusters of items, within which some items are more popular than others (Zipf's
law), so that the best possible recall is far above that of popularity, at every size.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import Histories, ItemIndexes, offsets_of
from recipes.data.training_data import Interactions, TrainingData

__all__ = ["HeldOut", "hold_out", "planted_interactions"]

_START: Final = 1_700_000_000
_HOUR: Final = 3600
_ITEMS_OF_CLUSTER: Final = 50
_CLUSTERS_OF_USER: Final = 3
#: Of a user's choices; the rest is drawn from everything.
_FAVOURITE_SHARE: Final = 0.9
#: Interactions that are drawn at once.
_AT_ONCE: Final = 1 << 22
#: The shortest history, and the longest one as a multiple of the mean.
_SHORTEST: Final = 3
_LONGEST: Final = 8


class HeldOut(NamedTuple):
    """The last interactions of some users, which are hidden from a training.

    Attributes:
        learnt: Everything else.
        histories: What these users did before.
        targets: int32 [m], the hidden items.
    """

    learnt: TrainingData
    histories: Histories
    targets: ItemIndexes


def planted_interactions(*, users: int, items: int, interactions: int, seed: int = 1) -> TrainingData:
    """Return interactions of clusters of fifty items; the same arguments give the same.

    Args:
        users: Number of users, each with at least 3 interactions; exponentially distributed beyond.
        items: Number of items.
        interactions: Number of interactions, up to rounding.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    lengths = _lengths(users, interactions, random)
    offsets = offsets_of(lengths)
    total = int(offsets[-1])
    item = np.empty(total, np.int32)
    timestamp = np.empty(total, np.int64)
    user = np.repeat(np.arange(users, dtype=np.int32), lengths)
    n_clusters = -(-items // _ITEMS_OF_CLUSTER)
    of_clusters = _cumulative(1.0 / (np.arange(n_clusters) + 10.0))
    of_items = _cumulative(1.0 / np.arange(1.0, _ITEMS_OF_CLUSTER + 1))
    # Clusters that are popular lie everywhere, so that no place in the catalogue says anything.
    renamed = random.permutation(items).astype(np.int32)
    favourites = _draw(of_clusters, (users, _CLUSTERS_OF_USER), random)
    begins = random.integers(0, 365 * 24, users)
    for begin in range(0, total, _AT_ONCE):
        part = slice(begin, min(total, begin + _AT_ONCE))
        owners, count = user[part], part.stop - part.start
        clusters = favourites[owners, random.integers(0, _CLUSTERS_OF_USER, count)]
        strays = random.random(count) >= _FAVOURITE_SHARE
        clusters[strays] = _draw(of_clusters, int(strays.sum()), random)
        places = clusters.astype(np.int64) * _ITEMS_OF_CLUSTER + _draw(of_items, count, random)
        item[part] = renamed[places % items]
        steps = np.arange(part.start, part.stop) - offsets[owners]
        timestamp[part] = _START + _HOUR * (begins[owners] + steps)
    return TrainingData(Interactions(user, item, timestamp, np.zeros(total, np.uint8)), n_users=users, n_items=items)


def hold_out(data: TrainingData, *, users: int, seed: int = 1) -> HeldOut:
    """Hide the last interaction of so many users, drawn among all."""
    histories = data.histories()
    chosen = np.sort(np.random.default_rng(seed).permutation(len(histories))[:users])
    last = histories.offsets[chosen + 1] - 1
    kept = np.ones(len(data.interactions), bool)
    kept[last] = False
    return HeldOut(data.where(kept), histories.before(chosen, histories.lengths()[chosen] - 1), histories.items[last])


def _lengths(users: int, interactions: int, random: np.random.Generator) -> NDArray[np.int64]:
    mean = interactions / users
    beyond = np.minimum(random.exponential(size=users), _LONGEST)
    beyond *= max(0.0, mean - _SHORTEST) / beyond.mean()
    return _SHORTEST + np.round(beyond).astype(np.int64)


def _cumulative(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = weights.cumsum(dtype=np.float64)
    sums /= sums[-1]
    return sums


def _draw(
    cumulative: NDArray[np.float64], shape: int | tuple[int, ...], random: np.random.Generator
) -> NDArray[np.int32]:
    return cumulative.searchsorted(random.random(shape), side="right").astype(np.int32)
