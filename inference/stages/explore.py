"""Exploring at work: bonuses of new items, or a new item here and there, on top of what a model recommends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.result import ScoredItems
from recipes.components.exploration import ItemAges, bonuses, reach
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.ports import ScoreDelta

__all__ = [
    "MANAGED_SHARE",
    "ExplorationSettings",
    "Explorer",
    "RandomExploration",
    "UcbExploration",
    "make_explorer",
    "read_settings",
]

#: What Personalize's service explores by itself: a thousandth of what it recommends, items of the last 30 days.
MANAGED_SHARE = 0.001
_MANAGED_DAYS = 30.0
#: Size of the noise, as a share of the bonus: enough to vary the order of items that are equally new.
_NOISE = 0.1
#: Users by whom the bonus is measured.
_SAMPLE = 16


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
        known: int64 [k], times that each was used or shown until the snapshot.
        seen: The same, until a moment ago.
        random: Of noise and choices.
    """

    items: ItemIndexes
    known: NDArray[np.int64]
    random: np.random.Generator = field(repr=False)
    seen: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = self.known

    def note(self, shown: Sequence[int]) -> None:
        """Take how often each of the items was shown since the snapshot: [k]."""
        self.seen = self.known + np.asarray(shown, np.int64)

    def bonus(self) -> ScoreDelta | None:
        """Return what is added to scores for one request, None for nothing."""
        return None

    def mix(self, ranked: ScoredItems) -> ScoredItems:
        """Return a list with new items put in, here and there."""
        return ranked


@dataclass(slots=True)
class UcbExploration(Explorer):
    """Lifts the scores of new items.

    Attributes:
        weight: Of the campaign, above 0.
        reach: See `recipes.components.exploration.reach`.
    """

    weight: float = 0.3
    reach: float = 0.0
    _values: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        Explorer.__post_init__(self)
        self._values = bonuses(self.seen, weight=self.weight, reach=self.reach)

    def note(self, shown: Sequence[int]) -> None:
        """Take how often each of the items was shown since the snapshot: [k]."""
        Explorer.note(self, shown)
        self._values = bonuses(self.seen, weight=self.weight, reach=self.reach)

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

    def mix(self, ranked: ScoredItems) -> ScoredItems:
        """Replace items at random places; what a new item scores is not told, as the others are in its order."""
        count = int(self.random.binomial(len(ranked.items), self.share))
        if not count:
            return ranked
        absent = ~np.isin(self.items, ranked.items)
        chances = absent / np.sqrt(1.0 + self.seen)
        count = min(count, int(absent.sum()))
        if not count:
            return ranked
        chosen = self.random.choice(self.items, count, replace=False, p=chances / chances.sum())
        places = self.random.choice(len(ranked.items), count, replace=False)
        items, explored = ranked.items.copy(), np.zeros(len(ranked.items), bool)
        items[places], explored[places] = chosen, True
        return ScoredItems(items, ranked.scores, explored)


def read_settings(campaign_config: str) -> ExplorationSettings:
    """Read what a campaign's configuration says of exploration, as Personalize's JSON; empty for none."""
    values = json.loads(campaign_config or "{}").get("itemExplorationConfig", {})
    plain = ExplorationSettings()
    return ExplorationSettings(
        float(values.get("explorationWeight", plain.weight)), float(values.get("explorationItemAgeCutOff", plain.days))
    )


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
        kind: Of the recipe; see `recipes.catalog.Recipe.exploration`.
        ages: Of the artifact.
        settings: Of the campaign; without effect where the service itself decides.
        scores_of: Returns the catalogue's scores for a user of the snapshot, float32 [n_items]; asked for a few users.
        n_users: Of the snapshot.
        random: Makes the source of randomness.

    Returns:
        None where nothing is to be explored.
    """
    managed = kind == "managed"
    new = ages.new_items(_MANAGED_DAYS if managed else settings.days)
    if not len(new) or (not managed and settings.weight == 0.0):
        return None
    if managed:
        return RandomExploration(new, ages.seen[new], random())
    users = np.linspace(0, n_users - 1, min(_SAMPLE, n_users)).astype(np.int64).tolist()
    found = reach((scores_of(user) for user in users), new) if users else 0.0
    return UcbExploration(new, ages.seen[new], random(), weight=settings.weight, reach=found)
