"""Ranking users: for an item, or for all items that match an attribute expression.

A batch segment job opens an artifact's folder with a loader of the catalog and ranks users for the lines of its input;
training and evaluation use the scores themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

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
    "AttributeSegments", "ItemSegments", "SegmentScorer", "UserSegments", "Weights", "best_users",
    "load_attribute_segments", "load_segments", "open_segments",
]  # fmt: skip

_USERS_OF_ITEMS: Final = ("known_offsets", "known_users", "known_weights")
_ARRAYS: Final = (
    "user_factors", "item_factors", "activity", "user_times", "item_times", *_USERS_OF_ITEMS, "segment_weights",
)  # fmt: skip
_DAY: Final = 86_400.0
#: Scores that are computed at a time where there are many segments: 64 MiB.
_SCORES_AT_ONCE: Final = 1 << 24
#: Users that `top_k` is for; more are sorted.
_FEW: Final = 1000


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

    def affinities(self, queries: Sequence[ItemIndexes]) -> FloatArray:
        """Return `affinity` for many lists of items in one pass over the users: float32 [number of lists, n_users]."""
        directions = np.array([self.item_factors[items].sum(axis=0) for items in queries], np.float32)
        products: FloatArray = directions.reshape(len(queries), -1) @ self.user_factors.T
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


class UserSegments(ABC):
    """Segments of users, by ids; safe to use from several threads.

    Args:
        scorer: Scores users by index.
        users: Their ids.
    """

    #: Of a line of a segment job: what says whom to look for.
    member: ClassVar[str]

    def __init__(self, scorer: SegmentScorer, *, users: Vocabulary) -> None:
        self.scorer = scorer
        self.users = users

    @abstractmethod
    def items_of(self, query: str) -> ItemIndexes:
        """Return the items that a query is about: int32 [k], at least one.

        Raises:
            InvalidInput: There are none.
        """

    @abstractmethod
    def scores(self, items: ItemIndexes, affinity: FloatArray) -> FloatArray:
        """Score the users for the items of a query: float32 [n_users], a new array; -inf for those left out.

        Args:
            items: See `items_of`.
            affinity: float32 [n_users], the scorer's for these items.
        """

    def segment(self, query: str, size: int) -> list[str]:
        """Return the users who are most likely to interact with what a query is about, the likeliest first.

        Args:
            query: The member of a line.
            size: Users wanted, at least 1.

        Raises:
            InvalidInput: As of `items_of`.
        """
        (users,) = self.rank([self.items_of(query)], size)
        return self.users.ids(users)

    def rank(
        self, queries: Sequence[ItemIndexes], size: int, *, allowed: Sequence[NDArray[np.bool_] | None] | None = None
    ) -> Iterator[NDArray[np.int32]]:
        """Yield the best users for each query, the likeliest first: int32 [k], k up to `size`.

        Memory is bounded by the number of users, not by that of the queries.

        Args:
            queries: See `items_of`.
            size: Users at most, at least 1.
            allowed: bool [n_users] for each query, who may be listed; None for everybody.
        """
        at_once = max(1, _SCORES_AT_ONCE // max(1, self.scorer.n_users))
        for begin in range(0, len(queries), at_once):
            block = queries[begin : begin + at_once]
            for place, (items, affinity) in enumerate(
                zip(block, self.scorer.affinities(block), strict=True), start=begin
            ):
                scores = self.scores(items, affinity)
                if allowed is not None and (mask := allowed[place]) is not None:
                    scores[~mask] = -np.inf
                yield best_users(scores, size)


class ItemSegments(UserSegments):
    """Segments of users for items; see `UserSegments`.

    Args:
        scorer: Scores users by index.
        items: The ids of its items.
        users: The ids of its users.
    """

    member = "itemId"

    def __init__(self, scorer: SegmentScorer, *, items: Vocabulary, users: Vocabulary) -> None:
        super().__init__(scorer, users=users)
        self._items = items

    def items_of(self, query: str) -> ItemIndexes:
        """Return the item of an id.

        Raises:
            InvalidInput: No such item was there at the training.
        """
        item = self._items.index(query)
        if item is None:
            raise invalid("itemId", got=query, want="an item that was known at the training")
        return np.array([item], np.int32)

    def scores(self, items: ItemIndexes, affinity: FloatArray) -> FloatArray:
        """Score the users for an item; see `UserSegments.scores`."""
        return self.scorer.of_item(int(items[0]), affinity=affinity)


class AttributeSegments(UserSegments):
    """Segments of users for attributes of items; see `UserSegments`.

    Args:
        scorer: Scores users by index.
        attributes: The attributes of its items.
        users: The ids of its users.
    """

    member = "itemAttributes"

    def __init__(self, scorer: SegmentScorer, *, attributes: Attributes, users: Vocabulary) -> None:
        super().__init__(scorer, users=users)
        self.attributes = attributes

    def items_of(self, query: str) -> ItemIndexes:
        """Return the items that match an expression; see `common.filters.attributes`.

        Raises:
            InvalidInput: The expression is malformed, or no item had such attributes at the training.
        """
        return self.attributes.find(query)

    def scores(self, items: ItemIndexes, affinity: FloatArray) -> FloatArray:
        """Score the users for what items have in common; see `UserSegments.scores`."""
        return self.scorer.of_items(items, affinity=affinity)


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


def best_users(scores: FloatArray, size: int) -> NDArray[np.int32]:
    """Return the users of the highest scores, those that are left out never among them.

    Many are partitioned and sorted, which takes n log n steps for n of them.

    Args:
        scores: float32 [n_users], -inf for those that are left out.
        size: Users at most.

    Returns:
        int32 [k], highest first, equal scores by place.
    """
    if size <= _FEW:
        chosen = top_k(scores, size)
        return chosen[np.isfinite(scores[chosen])]
    places = np.flatnonzero(np.isfinite(scores)).astype(np.int32)
    if size < len(places):
        of_places = scores[places]
        places = places[of_places >= np.partition(of_places, len(places) - size)[len(places) - size]]
    return places[np.argsort(-scores[places], kind="stable")[:size]]
