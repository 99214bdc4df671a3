"""Ranking users: for an item, or for all items that match an attribute expression.

A batch segment job opens an artifact's folder with `load` and calls `segment` for each line of its input; training and
evaluation use the scores themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact, invalid
from common.vocabulary import Vocabulary
from recipes.data.histories import FloatArray, ItemIndexes, Timestamps
from recipes.data.sparse import SparseRows
from recipes.models.user_segments.attributes import Attributes
from recipes.retrieval.top_k import top_k

__all__ = [
    "AttributeSegments", "ItemSegments", "SegmentScorer", "Weights", "load_attribute_segments", "load_segments",
    "open_segments",
]  # fmt: skip

_USERS_OF_ITEMS: Final = ("known_offsets", "known_users", "known_weights")
_ARRAYS: Final = (
    "user_factors", "item_factors", "activity", "user_times", "item_times", *_USERS_OF_ITEMS, "segment_weights",
)  # fmt: skip
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts besides the vectors; learnt from held-out interactions.

    Attributes:
        activity: Weight of the logarithm of 1 + the number of items that a user used.
        earlier_use: For an item: added for users who used it before, -inf to leave them out. For attributes: weight of
            the logarithm of 1 + the number of matching items that a user used, newer ones counting more.
        period: For an item: weight of the logarithm of 1 + the days between the user's last interaction and the middle
            one with the item, which is subtracted: users of the same time as an item are likelier to find it.
    """

    activity: float
    earlier_use: float
    period: float


@dataclass(frozen=True, slots=True)
class SegmentScorer:
    """Scores all users; immutable.

    Attributes:
        user_factors: float32 [n_users, d].
        item_factors: float32 [n_items, d].
        activity: float32 [n_users], see `Weights.activity`.
        user_times: int64 [n_users], seconds since 1970 of each user's last interaction.
        item_times: int64 [n_items], seconds since 1970 of the middle interaction with each item.
        users_of_items: [n_items, n_users], who used each item, and how much that counts: less the more the user used
            since.
        weights: What counts besides the vectors.
    """

    user_factors: FloatArray
    item_factors: FloatArray
    activity: FloatArray
    user_times: Timestamps
    item_times: Timestamps
    users_of_items: SparseRows
    weights: Weights

    @property
    def n_users(self) -> int:
        """Users known at the training."""
        return len(self.user_factors)

    @property
    def n_items(self) -> int:
        """Items known at the training."""
        return len(self.item_factors)

    def affinity(self, items: ItemIndexes) -> FloatArray:
        """Return the summed inner products with some items: float32 [n_users]."""
        products: FloatArray = self.user_factors @ self.item_factors[items].sum(axis=0)
        return products

    def of_item(self, item: int, *, affinity: FloatArray | None = None) -> FloatArray:
        """Score the users for an item: float32 [n_users].

        Args:
            item: Its index.
            affinity: float32 [n_users], `affinity` of the item, where it is at hand.
        """
        products = self.affinity(np.array([item])) if affinity is None else affinity
        scores: FloatArray = products + np.float32(self.weights.activity) * self.activity
        if self.weights.period:
            days = np.abs(self.user_times - self.item_times[item]) / _DAY
            scores -= (self.weights.period * np.log1p(days)).astype(np.float32)
        earlier_users = self.users_of_items.columns[self.users_of_items.span(item)]
        scores[earlier_users] += np.float32(self.weights.earlier_use)
        return scores

    def of_items(
        self, items: ItemIndexes, *, affinity: FloatArray | None = None, earlier_uses: FloatArray | None = None
    ) -> FloatArray:
        """Score the users for what many items have in common: float32 [n_users].

        Args:
            items: Their indexes.
            affinity: float32 [n_users], `affinity` of the items, where it is at hand.
            earlier_uses: float32 [n_users], `count_uses` of the items, where it is at hand.
        """
        expected = np.log1p(np.clip(self.affinity(items) if affinity is None else affinity, 0.0, None))
        used = np.log1p(self.count_uses(items) if earlier_uses is None else earlier_uses)
        scores: FloatArray = (
            expected + np.float32(self.weights.earlier_use) * used + np.float32(self.weights.activity) * self.activity
        )
        return scores

    def count_uses(self, items: ItemIndexes) -> FloatArray:
        """Return how many of some items each user used, newer ones counting more: float32 [n_users]."""
        entries, matrix = self.users_of_items.entries_of(items), self.users_of_items
        return np.bincount(matrix.columns[entries], matrix.values[entries], minlength=self.n_users).astype(np.float32)

    def with_weights(self, weights: Weights) -> SegmentScorer:
        """Return the same scorer with other weights."""
        return replace(self, weights=weights)

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        numbers = np.array([self.weights.activity, self.weights.earlier_use, self.weights.period], np.float64)
        arrays = (
            self.user_factors, self.item_factors, self.activity, self.user_times, self.item_times,
            self.users_of_items.offsets, self.users_of_items.columns, self.users_of_items.values, numbers,
        )  # fmt: skip
        save_arrays(folder, dict(zip(_ARRAYS, arrays, strict=True)))

    @classmethod
    def load(cls, folder: Path) -> SegmentScorer:
        """Open a saved scorer.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit the others.
        """
        arrays = map_arrays(folder, _ARRAYS)
        numbers = arrays.pop("segment_weights")
        if numbers.shape != (3,):
            raise CorruptArtifact(f"`segment_weights.npy`: got shape {numbers.shape}, want three numbers")
        users_of_items = SparseRows(*(arrays.pop(name) for name in _USERS_OF_ITEMS))
        made = cls(**arrays, users_of_items=users_of_items, weights=Weights(*numbers.tolist()))
        offsets, entries = users_of_items.offsets, len(users_of_items.columns)
        shapes = {
            "item_factors.npy": (made.item_factors.shape[1:], made.user_factors.shape[1:]),
            "activity.npy": (made.activity.shape, (made.n_users,)),
            "user_times.npy": (made.user_times.shape, (made.n_users,)),
            "item_times.npy": (made.item_times.shape, (made.n_items,)),
            "known_offsets.npy": (offsets.shape, (made.n_items + 1,)),
            "known_users.npy": (entries, int(offsets[-1]) if len(offsets) else 0),
            "known_weights.npy": (len(users_of_items.values), entries),
        }
        for name, (got, want) in shapes.items():
            if got != want:
                raise CorruptArtifact(f"`{name}`: got {got}, want {want}, as the other files tell")
        return made


class ItemSegments:
    """Segments of users for items, by their ids.

    Args:
        scorer: Scores users by index.
        items: The ids of its items.
        users: The ids of its users.
    """

    def __init__(self, scorer: SegmentScorer, *, items: Vocabulary, users: Vocabulary) -> None:
        self.scorer = scorer
        self._items = items
        self._users = users

    def segment(self, query: str, size: int) -> list[str]:
        """Return the users who are most likely to interact with an item, the likeliest first.

        Args:
            query: `itemId` of a line of a segment job.
            size: Users wanted, at least 1.

        Raises:
            InvalidInput: No such item was there at the training.
        """
        item = self._items.index(query)
        if item is None:
            raise invalid("itemId", got=query, want="an item that was known at the training")
        return _named(self.scorer.of_item(item), size, self._users)


class AttributeSegments:
    """Segments of users for attributes of items.

    Args:
        scorer: Scores users by index.
        attributes: The attributes of its items.
        users: The ids of its users.
    """

    def __init__(self, scorer: SegmentScorer, *, attributes: Attributes, users: Vocabulary) -> None:
        self.scorer = scorer
        self.attributes = attributes
        self._users = users

    def segment(self, query: str, size: int) -> list[str]:
        """Return the users who are most likely to interact with items of some attributes, the likeliest first.

        Args:
            query: `itemAttributes` of a line of a segment job; see `common.filters.attributes`.
            size: Users wanted, at least 1.

        Raises:
            InvalidInput: The expression is malformed, or no item had such attributes at the training.
        """
        return _named(self.scorer.of_items(self.attributes.find(query)), size, self._users)


def load_segments(folder: Path) -> ItemSegments:
    """Open the artifact of Item-Affinity.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit the others.
    """
    scorer, items, users = open_segments(folder)
    return ItemSegments(scorer, items=items, users=users)


def load_attribute_segments(folder: Path) -> AttributeSegments:
    """Open the artifact of Item-Attribute-Affinity.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit the others.
    """
    scorer, _, users = open_segments(folder)
    return AttributeSegments(scorer, attributes=Attributes.load(folder, n_items=scorer.n_items), users=users)


def open_segments(folder: Path) -> tuple[SegmentScorer, Vocabulary, Vocabulary]:
    """Open a saved scorer with the ids of its items and users; the error of `load_segments`."""
    scorer = SegmentScorer.load(folder)
    items, users = Vocabulary.load(folder, "items"), Vocabulary.load(folder, "users")
    if (len(items), len(users)) != (scorer.n_items, scorer.n_users):
        raise CorruptArtifact(
            f"`items.*.npy`, `users.*.npy`: got {len(items)} and {len(users)}, want {scorer.n_items} and "
            f"{scorer.n_users}, as the other files tell"
        )
    return scorer, items, users


def _named(scores: FloatArray, size: int, users: Vocabulary) -> list[str]:
    """Return the ids of the users with the highest scores; those that are left out are never among them."""
    chosen: NDArray[np.int32] = top_k(scores, size)
    return users.ids(chosen[np.isfinite(scores[chosen])])
