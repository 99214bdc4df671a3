"""Which items a request may return: everything, a bitmap, a list, or one of these without some items.

A set answers three questions: how many items it has, which they are, and whether given items are among them. Stages
choose by the first what is cheapest, so that a filter is exact whether nearly all items pass it or hardly any.
Indexes of `n_items` and above are items that came after the model; no set but everything has them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from common.vocabulary import Vocabulary
from recipes.data.histories import ItemIndexes
from recipes.retrieval.scan import ScanIndex

__all__ = ["EVERYTHING", "Bitmap", "CandidateSet", "Everything", "ItemList", "Without"]


class CandidateSet(ABC):
    """Items of one catalogue; immutable."""

    #: Whether there are items that are not in the set.
    restricts: ClassVar[bool] = True
    #: Whether the order of the items means something: equal scores stay in it.
    ordered: ClassVar[bool] = False
    #: Ids that were named and that the model does not know, in the order in which they were named.
    unknown_ids: Sequence[str] = ()

    @abstractmethod
    def count(self, n_items: int) -> int:
        """Return how many items of a catalogue of `n_items` there are."""

    @abstractmethod
    def items(self, n_items: int) -> ItemIndexes:
        """Return the items of a catalogue of `n_items`, int32, all different: as given, or ascending."""

    @abstractmethod
    def contains(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Return which of some items, int32 [k], are in the set: bool [k]."""

    def among(self, items: ItemIndexes) -> ItemIndexes:
        """Return those of some items, int32 ascending, that are in the set: int32, ascending; not to be changed.

        Cheap where one array, of the items that came after the model, is asked about again and again.
        """
        return items[self.contains(items)]

    def mask(self, size: int) -> NDArray[np.bool_]:
        """Return which of the items 0 to `size` - 1 are in the set: bool [size], a new array."""
        return self.contains(np.arange(size, dtype=np.int32))

    def search(self) -> ScanIndex | None:
        """Return a search of these items, and of few others at most; None where there is none for so few."""
        return None

    def without(self, items: ItemIndexes | int) -> CandidateSet:
        """Return the same set without an item or some: int32 [k], ascending, all different."""
        removed = np.array([items], np.int32) if isinstance(items, int) else items
        return Without(self, removed) if len(removed) else self


@dataclass(frozen=True, slots=True)
class Everything(CandidateSet):
    """All items, also those that came after the model."""

    restricts = False

    def count(self, n_items: int) -> int:
        """Return the number of all items, as nothing is left out."""
        return n_items

    def items(self, n_items: int) -> ItemIndexes:
        """Return all items, ascending."""
        return np.arange(n_items, dtype=np.int32)

    def contains(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Return true for each."""
        return np.ones(len(items), bool)

    def among(self, items: ItemIndexes) -> ItemIndexes:
        """Return all."""
        return items

    def mask(self, size: int) -> NDArray[np.bool_]:
        """Return true for each."""
        return np.ones(size, bool)


#: A list of items that are fewer than this part of all takes less room than their bits, or hardly more.
_FEW: Final = 8
#: What a set keeps of what was asked: of so many arrays, lists of so many items at most.
_KEPT_LISTS, _KEPT_ITEMS = 8, 16_384
#: The set of a request that restricts nothing.
EVERYTHING: Final = Everything()


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap(CandidateSet):
    """The items for which a filter is true.

    Attributes:
        allowed: bool [n_items]. Items without a bit do not pass, and bits without an item mean nothing.
        scan: A search of these items alone; None where none was made, as they are few, or nearly all.
    """

    allowed: NDArray[np.bool_]
    scan: ScanIndex | None = None
    _counts: dict[int, int] = field(default_factory=dict)
    _items: dict[int, ItemIndexes] = field(default_factory=dict)
    _among: list[tuple[ItemIndexes, ItemIndexes]] = field(default_factory=list)

    @classmethod
    def unpack(cls, bits: NDArray[np.uint8], *, n_items: int) -> Bitmap:
        """Make the set of packed bits, eight items a byte, the first item in the highest bit: as `np.packbits` does."""
        return cls(np.unpackbits(bits, count=n_items).view(bool))

    def search(self) -> ScanIndex | None:
        """Return the search that was made of them."""
        return self.scan

    def count(self, n_items: int) -> int:
        """Return the number of items whose bits are set; counted once, as a set may serve many requests."""
        count = self._counts.get(n_items)
        if count is None:
            count = self._counts[n_items] = int(np.count_nonzero(self.allowed[:n_items]))
        return count

    def items(self, n_items: int) -> ItemIndexes:
        """Return the items whose bits are set, ascending; few of them are listed once."""
        items = self._items.get(n_items)
        if items is None:
            items = self.allowed[:n_items].nonzero()[0].astype(np.int32)
            if len(items) <= n_items // _FEW:
                self._items[n_items] = items
        return items

    def mask(self, size: int) -> NDArray[np.bool_]:
        """Return the bits of the items 0 to `size` - 1."""
        bits = self.allowed[:size]
        return np.concatenate([bits, np.zeros(size - len(bits), bool)])

    def among(self, items: ItemIndexes) -> ItemIndexes:
        """Look the bits of items up once for many requests, unless very many are set."""
        for asked_about, listed in self._among:
            if asked_about is items:
                return listed
        listed = items[self.contains(items)]
        if len(listed) <= _KEPT_ITEMS:
            self._among[:] = [(items, listed), *self._among][:_KEPT_LISTS]
        return listed

    def contains(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Look the bits of items up."""
        inside = items < len(self.allowed)
        if inside.all():
            return self.allowed[items]
        inside[inside] = self.allowed[items[inside]]
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class ItemList(CandidateSet):
    """Items that the caller names; equal scores stay in this order.

    Attributes:
        listed: int32 [k], all different.
        unknown_ids: Ids that were named beside them and that the model does not know.
    """

    ordered = True

    listed: ItemIndexes
    unknown_ids: Sequence[str] = ()

    @classmethod
    def of_ids(
        cls, item_ids: Sequence[str], vocabulary: Vocabulary, *, new: Callable[[str], int | None] | None = None
    ) -> ItemList:
        """Make the set of ids, all different, of which the model may not know some.

        Args:
            item_ids: What is named.
            vocabulary: The model's items.
            new: Returns the index of an item that came after the model; None for one that nothing is known of.
        """
        indexes = vocabulary.indexes(item_ids)
        if new is not None:
            for place in np.flatnonzero(indexes < 0).tolist():
                index = new(item_ids[place])
                indexes[place] = -1 if index is None else index
        is_known = indexes >= 0
        unknown_ids = [item_ids[place] for place in np.flatnonzero(~is_known).tolist()]
        return cls(indexes[is_known], unknown_ids)

    def count(self, n_items: int) -> int:
        """Return the number of items of the catalogue that were named."""
        return int(np.count_nonzero(self.listed < n_items))

    def items(self, n_items: int) -> ItemIndexes:
        """Return the items of the catalogue that were named, as they were."""
        return self.listed[self.listed < n_items]

    def contains(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Return which items were named."""
        return np.isin(items, self.listed)


@dataclass(frozen=True, slots=True, eq=False)
class Without(CandidateSet):
    """Another set without some items, few beside those of a catalogue: no array of the catalogue's size is made.

    Attributes:
        base: The other set.
        removed: int32 [k], ascending, all different; they need not be in the other set.
    """

    base: CandidateSet
    removed: ItemIndexes

    def search(self) -> ScanIndex | None:
        """Return that of the other set."""
        return self.base.search()

    def without(self, items: ItemIndexes | int) -> CandidateSet:
        """Return the same set without an item or some more."""
        return Without(self.base, np.union1d(self.removed, np.array(items, np.int32)))

    def count(self, n_items: int) -> int:
        """Return how many items are left."""
        inside = self.removed[: int(self.removed.searchsorted(n_items))]
        return self.base.count(n_items) - int(np.count_nonzero(self.base.contains(inside)))

    def items(self, n_items: int) -> ItemIndexes:
        """Return the items that are left."""
        items = self.base.items(n_items)
        if self.base.ordered or not len(items):
            return items[~self._is_removed(items)]
        places = np.minimum(items.searchsorted(self.removed), len(items) - 1)
        return np.delete(items, places[items[places] == self.removed])

    def contains(self, items: ItemIndexes) -> NDArray[np.bool_]:
        """Return which items are left."""
        inside: NDArray[np.bool_] = self.base.contains(items) & ~self._is_removed(items)
        return inside

    def among(self, items: ItemIndexes) -> ItemIndexes:
        """Return which items are left."""
        left = self.base.among(items)
        return left[~self._is_removed(left)]

    def mask(self, size: int) -> NDArray[np.bool_]:
        """Return which of the items 0 to `size` - 1 are left."""
        left = self.base.mask(size)
        left[self.removed[: int(self.removed.searchsorted(size))]] = False
        return left

    def _is_removed(self, items: ItemIndexes) -> NDArray[np.bool_]:
        if not len(self.removed):
            return np.zeros(len(items), bool)
        places = np.minimum(self.removed.searchsorted(items), len(self.removed) - 1)
        is_removed: NDArray[np.bool_] = self.removed[places] == items
        return is_removed
