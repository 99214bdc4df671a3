"""Exploration: how new items get a chance before anybody has used them.

An item is new when it was created within so many days before the latest interaction of the data. As Personalize
describes it, a new item gets a bonus that falls with the number of times that it was used or shown, plus a little
noise. How much a bonus is worth is not told; here a weight of 1 lifts a new item that nobody has seen from where new
items lie to where the best item of a typical user lies, and others by that divided by the root of 1 + the times seen,
as upper confidence bounds do (Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem",
Machine Learning 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.components.item_age import creation_times
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.ports import ScoreDelta

__all__ = [
    "MANAGED_SHARE",
    "ExplorationSettings",
    "Explorer",
    "ItemAges",
    "RandomExploration",
    "UcbExploration",
    "bonuses",
    "make_explorer",
    "score_gap",
]

#: What Personalize's service explores by itself: a thousandth of what it recommends, items of the last 30 days.
MANAGED_SHARE: Final = 0.001
_MANAGED_DAYS: Final = 30.0
#: Size of the noise, as a share of the bonus: enough to vary the order of items that are equally new.
_NOISE: Final = 0.1
#: Users by whom the bonus is measured.
_SAMPLE: Final = 16
_SECONDS_OF_A_DAY = 86_400
_ARRAYS = ("exploration_created", "exploration_seen", "exploration_latest")


@dataclass(frozen=True, slots=True)
class ItemAges:
    """What exploration must know of the items of an artifact.

    Attributes:
        created: int64 [n_items], seconds since 1970.
        seen: int64 [n_items], times that each was used or shown until the snapshot.
        latest: Time of the latest interaction.
    """

    created: NDArray[np.int64]
    seen: NDArray[np.int64]
    latest: int

    @classmethod
    def of(cls, data: TrainingData, shown: NDArray[np.int64]) -> Self:
        """Work out ages by Personalize's rule.

        An item without CREATION_TIMESTAMP is as old as its oldest interaction, and without one as the latest of all.

        Args:
            data: With interactions.
            shown: int64 [n_items], impressions of each item.
        """
        items, times = data.interactions.item, data.interactions.timestamp
        latest = int(times.max())
        created = creation_times(data, unused=latest)
        return cls(created, np.bincount(items, minlength=data.n_items) + shown, latest)

    def new_items(self, days: float) -> ItemIndexes:
        """Return the items that are at most so many days old, ascending; none where all are.

        Where every item is new, none is newer than the others.
        """
        young = np.flatnonzero(self.latest - self.created <= days * _SECONDS_OF_A_DAY)
        return (young if len(young) < len(self.created) else young[:0]).astype(np.int32)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        save_arrays(folder, dict(zip(_ARRAYS, (self.created, self.seen, np.array(self.latest)), strict=True)))

    @classmethod
    def load(cls, folder: Path, *, n_items: int) -> Self:
        """Open what was saved.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit.
        """
        arrays = map_arrays(folder, _ARRAYS)
        created, seen, latest = (arrays[name] for name in _ARRAYS)
        if created.shape != (n_items,) or seen.shape != (n_items,) or latest.shape != ():
            raise CorruptArtifact(f"`exploration_created.npy`: got shape {created.shape}, want {n_items} items")
        return cls(created, seen, int(latest))


@dataclass(frozen=True, slots=True)
class ExplorationSettings:
    """What a campaign says of exploration.

    Attributes:
        weight: 0 to 1; 0 explores nothing.
        days: Age up to which items are new.
    """

    weight: float = 0.3
    days: float = 30.0


@dataclass(slots=True)
class Explorer:
    """New items, and how often each was seen; used by one thread.

    Attributes:
        items: int32 [k], ascending, at least one.
        is_new: bool [n_items], the same items.
        snapshot_counts: int64 [k], times that each was used or shown until the snapshot.
        counts: The same, until a moment ago.
        random: Of noise and choices.
    """

    items: ItemIndexes
    is_new: NDArray[np.bool_] = field(repr=False)
    snapshot_counts: NDArray[np.int64]
    random: np.random.Generator = field(repr=False)
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = self.snapshot_counts

    def note(self, shown: Sequence[int]) -> None:
        """Take how often each of the items was shown since the snapshot: [k]."""
        self.counts = self.snapshot_counts + np.asarray(shown, np.int64)

    def new_among(self, items: ItemIndexes) -> ItemIndexes:
        """Return those of some items that are new."""
        return items[self.is_new[items]]

    def bonus(self) -> ScoreDelta | None:
        """Return what is added to scores for one request, None for nothing."""
        return None

    def mix(
        self,
        items: ItemIndexes,  # noqa: ARG002 -- others use it
        *,
        allowed: Callable[[ItemIndexes], NDArray[np.bool_]] | None = None,  # noqa: ARG002 -- others use it
    ) -> tuple[ItemIndexes, NDArray[np.bool_]] | None:
        """Put new items into a list, here and there.

        Args:
            items: int32 [m], the list.
            allowed: Tells which items may be put in; None for all.

        Returns:
            The new list, int32 [m], and which of its items were put in, bool [m]; None for the same list.
        """
        return None


@dataclass(slots=True)
class UcbExploration(Explorer):
    """Lifts the scores of new items, by upper confidence bounds.

    Attributes:
        weight: Of the campaign, above 0.
        score_gap: From `score_gap`.
    """

    weight: float = 0.3
    score_gap: float = 0.0
    _values: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        Explorer.__post_init__(self)
        self._values = bonuses(self.counts, weight=self.weight, score_gap=self.score_gap)

    def note(self, shown: Sequence[int]) -> None:
        """Take how often each of the items was shown since the snapshot: [k]."""
        Explorer.note(self, shown)
        self._values = bonuses(self.counts, weight=self.weight, score_gap=self.score_gap)

    def bonus(self) -> ScoreDelta | None:
        """Return the bonuses with fresh noise."""
        noise = self.random.standard_normal(len(self.items), np.float32)
        noise *= np.float32(_NOISE)
        noise += np.float32(1.0)
        noise *= self._values
        return ScoreDelta(self.items, noise)


@dataclass(slots=True)
class RandomExploration(Explorer):
    """Puts a new item into the place of another, once in a thousand places; rarely seen items more often.

    Attributes:
        share: Of the places.
    """

    share: float = MANAGED_SHARE

    def mix(
        self, items: ItemIndexes, *, allowed: Callable[[ItemIndexes], NDArray[np.bool_]] | None = None
    ) -> tuple[ItemIndexes, NDArray[np.bool_]] | None:
        """Replace items at random places."""
        count = int(self.random.binomial(len(items), self.share))
        if not count:
            return None
        absent = ~np.isin(self.items, items)
        if allowed is not None:
            absent &= allowed(self.items)
        chances = absent / np.sqrt(1.0 + self.counts)
        count = min(count, int(absent.sum()))
        if not count:
            return None
        chosen = self.random.choice(self.items, count, replace=False, p=chances / chances.sum())
        places = self.random.choice(len(items), count, replace=False)
        mixed, explored = items.copy(), np.zeros(len(items), bool)
        mixed[places], explored[places] = chosen, True
        return mixed, explored


def make_explorer(
    kind: str,
    ages: ItemAges,
    settings: ExplorationSettings,
    *,
    scores_of: Callable[[int], FloatArray],
    n_users: int,
    random: Callable[[], np.random.Generator] = np.random.default_rng,
) -> Explorer | None:
    """Make what a campaign explores with.

    Args:
        kind: Of the recipe; see `recipes.spec.RecipeSpec.exploration`.
        ages: Of the artifact.
        settings: Of the campaign; without effect where the service itself decides.
        scores_of: Returns the catalogue's scores for a user of the snapshot, float32 [n_items]; called for a few users.
        n_users: Of the snapshot.
        random: Makes the source of randomness.

    Returns:
        None where nothing is to be explored.
    """
    managed = kind == "managed"
    new = ages.new_items(_MANAGED_DAYS if managed else settings.days)
    if not len(new) or (not managed and settings.weight == 0.0):
        return None
    is_new = np.zeros(len(ages.created), bool)
    is_new[new] = True
    if managed:
        return RandomExploration(new, is_new, ages.seen[new], random())
    users = np.linspace(0, n_users - 1, min(_SAMPLE, n_users)).astype(np.int64).tolist()
    gap = score_gap((scores_of(user) for user in users), new) if users else 0.0
    return UcbExploration(new, is_new, ages.seen[new], random(), weight=settings.weight, score_gap=gap)


def score_gap(scores: Iterable[FloatArray], new: ItemIndexes) -> float:
    """Return how far new items lie behind the best, in scores: the median over some users.

    Args:
        scores: float32 [n_items] of each user, at least one.
        new: int32 [k], at least one.
    """
    return float(np.median([float(of_user.max() - np.median(of_user[new])) for of_user in scores]))


def bonuses(seen: NDArray[np.int64], *, weight: float, score_gap: float) -> FloatArray:
    """Return what is added to the scores of new items: float32 [k].

    Args:
        seen: int64 [k], times that each was used or shown.
        weight: 0 to 1.
        score_gap: From `score_gap`.
    """
    values: FloatArray = (weight * score_gap / np.sqrt(1.0 + seen)).astype(np.float32)
    return values
