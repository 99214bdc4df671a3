"""Exploration: how new items get a chance before anybody has used them.

An item is new when it was created within so many days before the latest interaction of the data. As Personalize
describes it, a new item gets a bonus that falls with the number of times that it was used or shown, plus a little
noise. How much a bonus is worth is not told; here a weight of 1 lifts a new item that nobody has seen from where new
items lie to where the best item of a typical user lies, and others by that divided by the root of 1 + the times seen,
as upper confidence bounds do (Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed Bandit Problem",
Machine Learning 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from common.compiled import INTS, compiled_for
from recipes.components.allowed_items import AllowedItems
from recipes.components.cluster_lists import ClusterLists
from recipes.components.item_age import SECONDS_OF_A_DAY, ItemAges
from recipes.data.columns import NO_TIME
from recipes.data.histories import FloatArray, ItemIndexes

__all__ = [
    "MANAGED_SHARE",
    "Bonus",
    "ExplorationSettings",
    "Explorer",
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
#: New items that each request draws noise for at most; of more it takes so many, from what requests share.
_FRESH, _LISTED = 1_024, 512
#: Where fewer of those may be returned, all that may be are looked for, and so many of them are taken at most.
_ENOUGH, _SCANNED = 64, 4_096
#: New items that are drawn at a time, and how often before those that may be put in are looked for.
_DRAWN, _TRIES = 16, 8


@compiled_for(INTS, INTS)
def _among(items: ItemIndexes, ascending: ItemIndexes) -> ItemIndexes:
    """Return those of some items that are among others."""
    present, count = np.empty(len(items), np.int32), 0
    for place in range(len(items)):
        low, high = 0, len(ascending)
        while low < high:
            middle = (low + high) // 2
            if ascending[middle] < items[place]:
                low = middle + 1
            else:
                high = middle
        if low < len(ascending) and ascending[low] == items[place]:
            present[count] = items[place]
            count += 1
    return present[:count]


@compiled_for(INTS, INTS)
def _differ(items: ItemIndexes, few: ItemIndexes) -> NDArray[np.bool_]:
    """Return which of some items are none of a few others: bool [k]."""
    differ = np.ones(len(items), np.bool_)
    for place in range(len(items)):
        for listed in few:
            differ[place] &= items[place] != listed
    return differ


@dataclass(frozen=True, slots=True)
class ExplorationSettings:
    """What a campaign says of exploration.

    Attributes:
        weight: 0 to 1; 0 explores nothing.
        days: Age up to which items are new.
    """

    weight: float = 0.3
    days: float = 30.0

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Self:
        """Read an `itemExplorationConfig`, which the control plane has checked."""
        default = cls()
        return cls(
            float(values.get("explorationWeight", default.weight)),
            float(values.get("explorationItemAgeCutOff", default.days)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Bonus:
    """What is added to the scores of new items in one request.

    Attributes:
        items: int32 [k], ascending, all new items.
        values: float32 [k], what is added to the score of each.
        worthwhile: int32 [l], ascending: those that are worth scoring where not all items are scored.
    """

    items: ItemIndexes
    values: FloatArray
    worthwhile: ItemIndexes

    def of(self, items: ItemIndexes) -> FloatArray:
        """Return what is added to some items, in any order: float32 [m]."""
        if not len(self.items):
            return np.zeros(len(items), np.float32)
        places = np.minimum(self.items.searchsorted(items), len(self.items) - 1)
        added: FloatArray = np.where(self.items[places] == items, self.values[places], np.float32(0.0))
        return added

    def add_to(self, scores: FloatArray) -> None:
        """Add it to the scores of items 0 to n - 1, float32 [n], in place."""
        inside = int(self.items.searchsorted(len(scores)))
        scores[self.items[:inside]] += self.values[:inside]


@dataclass(slots=True)
class Explorer:
    """New items, and how often each was seen.

    Requests are of one thread. What changes the items or draws may be of others, one at a time: what requests read of
    it is replaced whole.

    Attributes:
        items: int32 [k], ascending: those of the model, and behind them items that came after it.
        snapshot_counts: int64 [k], times that each was used or shown until the snapshot.
        days: Age up to which items are new.
        latest: Time of the latest interaction that the model knows; ages are counted from there.
        n_items: Of the model.
        random: Of noise and choices.
        counts: The same as `snapshot_counts`, until a moment ago.
    """

    #: Whether all new items of an answer owe something of their places to exploration.
    lifts: ClassVar[bool] = False

    items: ItemIndexes
    snapshot_counts: NDArray[np.int64]
    days: float
    latest: int
    n_items: int
    random: np.random.Generator = field(repr=False)
    counts: NDArray[np.int64] = field(init=False)
    _admitted: ItemIndexes | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self.counts = self.snapshot_counts

    @property
    def shares_noise(self) -> bool:
        """Whether requests share noise, so that it is to be drawn again now and then."""
        return False

    def admit(self, items: ItemIndexes, *, created: NDArray[np.int64], vectors: FloatArray) -> None:
        """Take the items that came after the model, all that there are now; nothing where they are those of before.

        Args:
            items: int32 [m], ascending, `n_items` and above; another array than before where anything is different.
            created: int64 [m], seconds since 1970; `NO_TIME` for items that are as new as can be.
            vectors: float32 [m, d].
        """
        if self._admitted is items or not (len(items) or self._admitted is not None):
            return
        self._admitted = items
        young = (created == NO_TIME) | (self.latest - created <= self.days * SECONDS_OF_A_DAY)
        of_model = int(self.items.searchsorted(self.n_items))
        later = np.zeros(int(young.sum()), np.int64)
        _, kept, counted = np.intersect1d(items[young], self.items[of_model:], assume_unique=True, return_indices=True)
        later[kept] = self.counts[of_model:][counted]
        self.items = np.concatenate([self.items[:of_model], items[young]]).astype(np.int32)
        self.snapshot_counts = np.concatenate([self.snapshot_counts[:of_model], np.zeros(len(later), np.int64)])
        self.counts = np.concatenate([self.counts[:of_model], later])
        self._changed(vectors[young])

    def note(self, shown: Sequence[int]) -> None:
        """Take how often each of the items was shown since the snapshot: [k]."""
        self.counts = self.snapshot_counts + np.asarray(shown, np.int64)
        self._changed(None)

    def new_among(self, items: ItemIndexes) -> ItemIndexes:
        """Return those of some items that are new."""
        return _among(items, self.items)

    def redraw(self) -> None:
        """Draw again what many requests share."""

    def bonus(
        self,
        embedding: FloatArray,  # noqa: ARG002 -- others use it
        *,
        allowed: AllowedItems | None = None,  # noqa: ARG002 -- others use it
    ) -> Bonus | None:
        """Return what is added to scores for one request, None for nothing.

        Args:
            embedding: float32 [d], of the user: of many new items those are worth scoring that may suit.
            allowed: Items that may be returned; None for all.
        """
        return None

    def chance(self, length: int) -> float:  # noqa: ARG002 -- others use it
        """Return how likely it is that `mix` tries to put anything into a list of so many items."""
        return 0.0

    def mix(
        self,
        items: ItemIndexes,  # noqa: ARG002 -- others use it
        *,
        allowed: AllowedItems | None = None,  # noqa: ARG002 -- others use it
        surely: bool = False,  # noqa: ARG002 -- others use it
    ) -> tuple[ItemIndexes, NDArray[np.bool_]] | None:
        """Put new items into a list, here and there.

        Args:
            items: int32 [m], the list.
            allowed: Items that may be put in; None for all.
            surely: Whether it was drawn, by `chance`, that something is to be put in.

        Returns:
            The new list, int32 [m], and which of its items were put in, bool [m]; None for the same list.
        """
        return None

    def _changed(self, vectors: FloatArray | None) -> None:
        """Hear that the items or their counts are others now.

        Args:
            vectors: float32 [m, d], of the items that came after the model; None for those of before.
        """


class _Lifts(NamedTuple):
    """What requests read of `UcbExploration`.

    Attributes:
        items: int32 [k], ascending.
        values: float32 [k], the bonuses; with noise already where requests share it.
        is_drawn: Whether they do.
        lists: By kinds of users the places of the items that suit them; None where every request takes all.
    """

    items: ItemIndexes
    values: FloatArray
    is_drawn: bool = False
    lists: ClusterLists | None = None


@dataclass(slots=True)
class UcbExploration(Explorer):
    """Lifts the scores of new items, by upper confidence bounds.

    Up to 1,024 new items get fresh noise with each request. More of them get it aside, with each change and by
    `redraw`, and never in a request: the noise of an item is distributed in the same way, requests of one moment only
    share it, and each takes the 512 items that suit users like its own best with it, however many there are.

    Attributes:
        weight: Of the campaign, above 0.
        score_gap: From `score_gap`.
        clusters: Kinds of users; None where all items are scored anyhow, so that nothing need be chosen.
        vectors: float32 [k, d], of the items; read where there are clusters.
    """

    lifts = True

    weight: float = 0.3
    score_gap: float = 0.0
    clusters: ClusterLists | None = field(default=None, repr=False)
    vectors: FloatArray | None = field(default=None, repr=False)
    _lifts: _Lifts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        Explorer.__post_init__(self)
        self._changed(None)

    def bonus(self, embedding: FloatArray, *, allowed: AllowedItems | None = None) -> Bonus:
        """Return the bonuses with noise."""
        lifts = self._lifts
        if not lifts.is_drawn:
            return Bonus(lifts.items, self._with_noise(lifts.values), lifts.items)
        worthwhile = lifts.items if lifts.lists is None else lifts.items[lifts.lists.of(embedding)]
        if allowed is not None and lifts.lists is not None:
            worthwhile = worthwhile[allowed.contains(worthwhile)]
            if len(worthwhile) < _ENOUGH:
                worthwhile = np.union1d(worthwhile, self._some(allowed.among(lifts.items)))
        return Bonus(lifts.items, lifts.values, worthwhile)

    @property
    def shares_noise(self) -> bool:
        """Whether there are so many new items that requests share their noise."""
        return len(self.items) > _FRESH

    def redraw(self) -> None:
        """Draw noise for all items, and choose those that suit each kind of users; where there are many."""
        values = bonuses(self.counts, weight=self.weight, score_gap=self.score_gap)
        if not self.shares_noise:
            self._lifts = _Lifts(self.items, values)
            return
        lifted, lists = self._with_noise(values), None
        if self.clusters is not None and self.vectors is not None:
            lists = self.clusters.ranked(self.vectors, limit=_LISTED, added=lifted)
        self._lifts = _Lifts(self.items, lifted, True, lists)

    def _some(self, items: ItemIndexes) -> ItemIndexes:
        """Return neighbours among many items, others in each request, so that all get their chance."""
        if len(items) <= _SCANNED:
            return items
        # Around the end, so that the first and the last have as good a chance as those in the middle.
        places = np.arange(_SCANNED) + int(self.random.integers(len(items)))
        return np.sort(items.take(places, mode="wrap"))

    def _with_noise(self, values: FloatArray) -> FloatArray:
        noise = self.random.standard_normal(len(values), np.float32)
        noise *= np.float32(_NOISE)
        noise += np.float32(1.0)
        noise *= values
        return noise

    def _changed(self, vectors: FloatArray | None) -> None:
        if vectors is not None and self.vectors is not None:
            of_model = int(self.items.searchsorted(self.n_items))
            self.vectors = np.concatenate([self.vectors[:of_model], vectors.reshape(-1, self.vectors.shape[1])])
        self.redraw()


class _Chances(NamedTuple):
    """What requests read of `RandomExploration`.

    Attributes:
        items: int32 [k], ascending.
        counts: int64 [k], times that each was used or shown.
        sums: float64 [k], of the chances of the items up to each.
    """

    items: ItemIndexes
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]


@dataclass(slots=True)
class RandomExploration(Explorer):
    """Puts a new item into the place of another, once in a thousand places; rarely seen items more often.

    Attributes:
        share: Of the places.
    """

    share: float = MANAGED_SHARE
    _chances: _Chances = field(init=False, repr=False)

    def __post_init__(self) -> None:
        Explorer.__post_init__(self)
        self._changed(None)

    def chance(self, length: int) -> float:
        """Return how likely it is that at least one of so many places is drawn."""
        return float(1.0 - (1.0 - self.share) ** length) if len(self._chances.items) else 0.0

    def mix(
        self, items: ItemIndexes, *, allowed: AllowedItems | None = None, surely: bool = False
    ) -> tuple[ItemIndexes, NDArray[np.bool_]] | None:
        """Replace items at random places."""
        count = int(self.random.binomial(len(items), self.share)) if len(self._chances.items) else 0
        while surely and not count:
            # None is ruled out already; all other counts keep the chances that they have among each other.
            count = int(self.random.binomial(len(items), self.share))
        chosen = self._choose(count, absent_from=items, allowed=allowed) if count else items[:0]
        if not len(chosen):
            return None
        places = self.random.choice(len(items), len(chosen), replace=False)
        mixed, explored = items.copy(), np.zeros(len(items), bool)
        mixed[places], explored[places] = chosen, True
        return mixed, explored

    def _choose(self, count: int, *, absent_from: ItemIndexes, allowed: AllowedItems | None) -> ItemIndexes:
        """Draw different new items by their chances.

        Items are drawn from all, and what may not be put in is left out: that is the same as to draw from what may, and
        takes as long however many there are. Where that finds too few, there are few, and they are looked for.
        """
        every, counts, sums = self._chances
        chosen = every[:0]
        for _ in range(_TRIES if len(every) else 0):
            drawn = every[sums.searchsorted(self.random.random(_DRAWN) * sums[-1], side="right")]
            fits = _differ(drawn, absent_from)
            if allowed is not None:
                fits &= allowed.contains(drawn)
            chosen = _first_different(np.concatenate([chosen, drawn[fits]]))[:count]
            if len(chosen) == count:
                return chosen
        rest = every if allowed is None else allowed.among(every)
        rest = rest[~np.isin(rest, np.concatenate([absent_from, chosen]))]
        lacking = min(count - len(chosen), len(rest))
        if not lacking:
            return chosen
        chances = 1.0 / np.sqrt(1.0 + counts[every.searchsorted(rest)])
        rest = self.random.choice(rest, lacking, replace=False, p=chances / chances.sum())
        return np.concatenate([chosen, rest])

    def _changed(self, vectors: FloatArray | None) -> None:  # noqa: ARG002 -- the base's
        self._chances = _Chances(self.items, self.counts, np.cumsum(1.0 / np.sqrt(1.0 + self.counts)))


def make_explorer(
    kind: str,
    ages: ItemAges,
    settings: ExplorationSettings,
    *,
    scores_of: Callable[[int], FloatArray],
    user_vectors: FloatArray,
    item_vectors: FloatArray,
    chooses: bool = False,
    random: Callable[[], np.random.Generator] = np.random.default_rng,
) -> Explorer | None:
    """Make what a campaign explores with.

    Args:
        kind: Of the recipe; see `recipes.spec.RecipeSpec.exploration`.
        ages: Of the artifact.
        settings: Of the campaign; without effect where the service itself decides.
        scores_of: Returns the catalogue's scores for a user of the snapshot, float32 [n_items]; called for a few users.
        user_vectors: float32 [n_users, d], of the users of the snapshot.
        item_vectors: float32 [n_items, d].
        chooses: Whether a request scores some items only, so that of many new ones it needs those that suit.
        random: Makes the source of randomness.

    Returns:
        None where nothing is to be explored.
    """
    managed, n_items = kind == "managed", len(ages.created)
    if not managed and settings.weight == 0.0:
        return None
    days = _MANAGED_DAYS if managed else settings.days
    new = ages.new_items(days)
    if managed:
        return RandomExploration(new, ages.seen[new], days, ages.latest, n_items, random())
    n_users = len(user_vectors)
    users = np.linspace(0, n_users - 1, min(_SAMPLE, n_users)).astype(np.int64).tolist()
    gap = score_gap((scores_of(user) for user in users), new) if users else 0.0
    clusters, vectors = None, None
    if chooses:
        clusters, vectors = ClusterLists.of_users(user_vectors), np.array(item_vectors[new], np.float32)
    return UcbExploration(
        new, ages.seen[new], days, ages.latest, n_items, random(),
        weight=settings.weight, score_gap=gap, clusters=clusters, vectors=vectors,
    )  # fmt: skip


def _first_different(items: ItemIndexes) -> ItemIndexes:
    """Return different items in the order in which they first occur."""
    return items[np.sort(np.unique(items, return_index=True)[1])]


def score_gap(scores: Iterable[FloatArray], new: ItemIndexes) -> float:
    """Return how far new items lie behind the best, in scores: the median over some users.

    Args:
        scores: float32 [n_items] of each user, at least one.
        new: int32 [k]; without any, new items are taken to lie where typical items do.
    """
    return float(
        np.median([float(of_user.max() - np.median(of_user[new] if len(new) else of_user)) for of_user in scores])
    )


def bonuses(seen: NDArray[np.int64], *, weight: float, score_gap: float) -> FloatArray:
    """Return what is added to the scores of new items: float32 [k].

    Args:
        seen: int64 [k], times that each was used or shown.
        weight: 0 to 1.
        score_gap: From `score_gap`.
    """
    values: FloatArray = (weight * score_gap / np.sqrt(1.0 + seen)).astype(np.float32)
    return values
