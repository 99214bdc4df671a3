"""Items that came after a model was trained: their indexes behind those of the model, and what is known of them now.

An id that was given an index keeps it for as long as the model is loaded, so that whoever works with indexes, such as a
filter or a list of trends that was made a moment ago, never means another item by one. What is known of the items is
made aside and put in place whole.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from common.logs import get_logger
from recipes.components.cluster_lists import ClusterLists
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.ports import EncodesNewItems, ItemScorer, Neighbours

__all__ = ["MAX_HELD", "MAX_NEW_ITEMS", "NewIds", "NewItemList", "NewItems"]

#: New items of a model at most; those that come later wait for the next training.
MAX_NEW_ITEMS: Final = 100_000
#: Beside them, ids at most that only events name.
MAX_HELD: Final = 20_000
#: Items of each list of those that suit users of a kind.
_LISTED: Final = 1_024
#: Indexes of items that were put or imported, those of items that are gone included, as a multiple of the items that
#: there may be at a time.
_INDEXES: Final = 4
_Value = TypeVar("_Value", bound=np.generic)
_log = get_logger(__name__)


class NewIds:
    """Gives ids indexes, in the order of their coming; used by any thread.

    Those of items that were put or imported are for good, though an item that is gone makes room for another one. Ids
    that only events name can be made up by anybody, so that theirs are for as long as somebody holds them, and are
    given to other ids a while later.

    Args:
        first: The first index, which is the number of the model's items.
        most: Items at most that were put or imported and are not gone.
        most_held: The same of those that only events named.
    """

    def __init__(self, first: int, *, most: int = MAX_NEW_ITEMS, most_held: int = MAX_HELD) -> None:
        self.first = first
        self.most = most
        self._left, self._left_held, self._left_indexes = most, most_held, _INDEXES * most
        self._ids: list[str] = []
        self._indexes: dict[str, int] = {}
        self._holders: dict[str, int] = {}
        self._gone: set[str] = set()
        self._dropped: list[int] = []
        self._free: list[int] = []
        self._is_logged = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Iterable[str], *, n_unnamed: int = 0) -> None:
        """Give ids of items that were put or imported their indexes, until there are as many as there may be.

        Args:
            ids: None of them an item of the model.
            n_unnamed: Further ones, which are not even named as there is no room for them.
        """
        refused = n_unnamed
        with self._lock:
            for item_id in ids:
                if self._holders.pop(item_id, 0):
                    self._left_held += 1
                elif item_id in self._gone:
                    self._gone.remove(item_id)
                elif item_id in self._indexes:
                    continue
                elif self._left <= 0 or self._left_indexes <= 0:
                    refused += 1
                    continue
                else:
                    self._append(item_id)
                    self._left_indexes -= 1
                self._left -= 1
            tells, self._is_logged = bool(refused) and not self._is_logged, self._is_logged or bool(refused)
        if tells:
            _log.warning("new_items_wait_for_training", most=self.most, waiting=refused)

    def leave(self, indexes: Iterable[int]) -> None:
        """Make room for others, as the items of some indexes are gone: they keep these in case they come again.

        Args:
            indexes: Of any ids; those that events name stay with whoever holds them.
        """
        with self._lock:
            for index in indexes:
                item_id = self._ids[index - self.first]
                is_put = self._indexes.get(item_id) == index and item_id not in self._holders
                if is_put and item_id not in self._gone:
                    self._gone.add(item_id)
                    self._left += 1

    def hold(self, ids: Iterable[str]) -> None:
        """Give ids that events name indexes, as long as there is room, until `drop` is called as often.

        Args:
            ids: All different, none of them an item of the model.
        """
        with self._lock:
            for item_id in ids:
                if item_id in self._holders:
                    self._holders[item_id] += 1
                elif item_id not in self._indexes and self._left_held > 0:
                    self._left_held -= 1
                    self._holders[item_id] = 1
                    if not self._free:
                        self._append(item_id)
                        continue
                    index = self._free.pop()
                    self._ids[index - self.first] = item_id
                    self._indexes[item_id] = index

    def drop(self, ids: Iterable[str]) -> None:
        """Hold ids no longer. Indexes of what nobody holds are used again after the next call, when nobody has them."""
        with self._lock:
            self._free += self._dropped
            self._dropped = []
            for item_id in ids:
                holders = self._holders.get(item_id, 0)
                if holders == 1:
                    del self._holders[item_id]
                    self._dropped.append(self._indexes.pop(item_id))
                    self._left_held += 1
                elif holders:
                    self._holders[item_id] = holders - 1

    def index(self, item_id: str) -> int | None:
        """Return the index of an id; None for one that has none."""
        return self._indexes.get(item_id)

    def id(self, index: int) -> str:
        """Return the id of an index from `first` on."""
        return self._ids[index - self.first]

    def ids(self, begin: int = 0) -> Sequence[str]:
        """Return the ids that there are now, by their indexes, from the one at a place on."""
        return self._ids[begin:]

    def _append(self, item_id: str) -> None:
        # The id first: who finds an index can ask for its id.
        self._ids.append(item_id)
        self._indexes[item_id] = self.first + len(self._ids) - 1


@dataclass(frozen=True, slots=True, eq=False)
class NewItems:
    """What is known of the new items of a model at a moment.

    Attributes:
        items: int32 [m], their indexes: ascending, each id's that has columns.
        vectors: float32 [m, d], in the space of the model's own.
        described: bool [m], whether its columns say anything of it.
        created: int64 [m], seconds since 1970; `NO_TIME` where that is not known.
        lists: By kinds of users the items that suit them, where there are too many to score each; else None.
        by_index: float32 [n, d], the vectors of the indexes from the first behind the model's on, for histories. Ids
            without columns lie between, with zeros: what is not known says nothing.
        neighbours: Of the items, where the model relates such by them; else None.
        neighbours_by_index: The same of the indexes.
    """

    #: Where there are more items, a request looks at lists of them.
    SCANNED: ClassVar[int] = 4_096

    items: ItemIndexes
    vectors: FloatArray
    described: NDArray[np.bool_]
    created: NDArray[np.int64]
    lists: ClusterLists | None
    by_index: FloatArray
    neighbours: Neighbours | None = None
    neighbours_by_index: Neighbours | None = None

    @classmethod
    def none(cls) -> Self:
        """Return no items."""
        nothing = np.empty(0, np.int64)
        vectors = np.empty((0, 0), np.float32)
        return cls(nothing.astype(np.int32), vectors, nothing.astype(bool), nothing, None, vectors)

    @classmethod
    def of(
        cls,
        items: ItemIndexes,
        *,
        vectors: FloatArray,
        described: NDArray[np.bool_],
        created: NDArray[np.int64],
        clusters: ClusterLists | None,
        first: int,
        neighbours: Neighbours | None = None,
    ) -> Self:
        """Put together what is known, with lists where there are many; no request is to wait for it.

        Args:
            items: int32 [m], ascending.
            vectors: float32 [m, d].
            described: bool [m].
            created: int64 [m].
            clusters: Kinds of users; None for no more than `SCANNED` items.
            first: The first index behind those of the model.
            neighbours: Of the items; None for none.
        """
        lists = None if clusters is None else clusters.ranked(vectors, limit=_LISTED)
        by_index = _by_index(vectors, items - first, 0.0)
        neighbours_by_index = None
        if neighbours is not None:
            neighbours_by_index = Neighbours(
                _by_index(neighbours.items, items - first, -1), _by_index(neighbours.weights, items - first, 0.0)
            )
        return cls(items, vectors, described, created, lists, by_index, neighbours, neighbours_by_index)

    def __len__(self) -> int:
        return len(self.items)

    def places(self, items: ItemIndexes) -> NDArray[np.int64]:
        """Return the places of some items here, int64 [k]; -1 for those that are not here."""
        if not len(self.items):
            return np.full(len(items), -1, np.int64)
        places = np.minimum(self.items.searchsorted(items), len(self.items) - 1)
        return np.where(self.items[places] == items, places, -1)


@dataclass(slots=True, eq=False)
class NewItemList:
    """The new items of one model; shared by all that is served from it.

    Attributes:
        ids: Their indexes.
        current: What is known of them now; replaced whole.
    """

    ids: NewIds
    current: NewItems = field(default_factory=NewItems.none)

    @classmethod
    def behind(cls, n_items: int, *, most: int = MAX_NEW_ITEMS) -> Self:
        """Begin without any, behind so many items of a model, until there are so many."""
        return cls(NewIds(n_items, most=most))

    def index(self, item_id: str) -> int | None:
        """Return the index of an item that has a vector; None for any other."""
        index = self.ids.index(item_id)
        return index if index is not None and self.current.places(np.array([index], np.int32))[0] >= 0 else None

    def described_index(self, item_id: str) -> int | None:
        """Return the index of an item whose columns say something of it; None for any other."""
        index = self.ids.index(item_id)
        if index is None:
            return None
        place = int(self.current.places(np.array([index], np.int32))[0])
        return index if place >= 0 and self.current.described[place] else None

    def read_by(self, scorer: ItemScorer) -> ItemScorer:
        """Return a model that reads histories with the items that there are now."""
        current = self.current
        if not len(current) or not isinstance(scorer, EncodesNewItems):
            return scorer
        return scorer.with_new_items(current.by_index, current.neighbours_by_index)


def _by_index(rows: NDArray[_Value], places: ItemIndexes, missing: float) -> NDArray[_Value]:
    """Return rows at their places, [n, d], with what is said of those that are missing; the same where none is."""
    size = int(places[-1]) + 1 if len(places) else 0
    if size == len(rows):
        return rows
    placed = np.full((size, rows.shape[1]), missing, rows.dtype)
    placed[places] = rows
    return placed
