"""Histories: what users did, oldest first, one user's or many users' after another; and the types of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EventTypes", "FloatArray", "Histories", "History", "ItemIndexes", "Offsets", "Timestamps", "offsets_of"]

FloatArray = NDArray[np.float32]
ItemIndexes = NDArray[np.int32]
Offsets = NDArray[np.int64]
EventTypes = NDArray[np.uint8]
Timestamps = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class History:
    """What one user did, oldest first.

    Attributes:
        items: int32 [m], item indexes.
        event_types: uint8 [m], what was done with each item: places in `TrainingData.event_types`, counted from 1; 0
            for types that the model does not know.
        times: int64 [m], seconds since 1970; all 0 where time is unknown.
    """

    items: ItemIndexes
    event_types: EventTypes
    times: Timestamps

    @classmethod
    def of_items(cls, items: Sequence[int] | NDArray[np.integer[Any]]) -> History:
        """Return a history of which the items alone are known."""
        indexes = np.asarray(items, np.int32)
        return cls(indexes, np.zeros(len(indexes), np.uint8), np.zeros(len(indexes), np.int64))

    def __len__(self) -> int:
        return len(self.items)

    def newest(self, limit: int) -> History:
        """Return the newest `limit` steps."""
        return self if len(self.items) <= limit else self._at(slice(len(self.items) - limit, None))

    def without(self, item: int) -> History:
        """Return the steps with other items."""
        return self._at(self.items != item)

    def in_catalogue(self, n_items: int) -> History:
        """Return the steps with items below `n_items`; others are unknown to the model."""
        inside = (self.items >= 0) & (self.items < n_items)
        return self if inside.all() else self._at(inside)

    def _at(self, places: Any) -> History:
        return History(self.items[places], self.event_types[places], self.times[places])


@dataclass(frozen=True, slots=True)
class Histories:
    """What many users did, one after another.

    Attributes:
        offsets: int64 [n_users + 1]; user u owns the steps `offsets[u]` to `offsets[u + 1] - 1`.
        items: int32 [total]; see `History`.
        event_types: uint8 [total].
        times: int64 [total].
    """

    offsets: Offsets
    items: ItemIndexes
    event_types: EventTypes
    times: Timestamps

    @classmethod
    def of_items(cls, offsets: Offsets, items: NDArray[np.integer[Any]]) -> Histories:
        """Return histories of which the items alone are known."""
        plain = History.of_items(items)
        return cls(offsets, plain.items, plain.event_types, plain.times)

    @classmethod
    def gather(cls, histories: Sequence[History]) -> Histories:
        """Put single histories one after another."""
        offsets = offsets_of(np.array([len(history) for history in histories], np.int64))
        if not histories:
            return cls.of_items(offsets, np.empty(0, np.int32))
        return cls(
            offsets,
            np.concatenate([history.items for history in histories]),
            np.concatenate([history.event_types for history in histories]),
            np.concatenate([history.times for history in histories]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, user: int) -> History:
        """Return one user's history."""
        span = slice(int(self.offsets[user]), int(self.offsets[user + 1]))
        return History(self.items[span], self.event_types[span], self.times[span])

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of steps of each user: int64 [n_users]."""
        return np.diff(self.offsets)

    def owners(self) -> NDArray[np.int64]:
        """Return the user of each step: int64 [total]."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def take(self, users: NDArray[np.integer[Any]]) -> Histories:
        """Return the histories of the given users, in the given order."""
        lengths = self.lengths()[users]
        return self._spans(self.offsets[users], lengths)

    def newest(self, limit: int) -> Histories:
        """Return the same histories with only the newest `limit` steps of each user."""
        kept = np.minimum(self.lengths(), limit)
        return self._spans(self.offsets[1:] - kept, kept)

    def before(self, users: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]) -> Histories:
        """Return the oldest `lengths[k]` steps of user `users[k]`, for each k."""
        return self._spans(self.offsets[users], lengths)

    def where(self, kept: NDArray[np.bool_]) -> Histories:
        """Return the same histories with only the steps where `kept`, bool [total], is true."""
        counts = np.concatenate([[0], np.cumsum(kept)])
        return Histories(counts[self.offsets], self.items[kept], self.event_types[kept], self.times[kept])

    def _spans(self, begins: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]) -> Histories:
        offsets = offsets_of(lengths)
        # Each wanted step is its place within its span plus where that span begins.
        places = np.repeat(begins - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Histories(offsets, self.items[places], self.event_types[places], self.times[places])


def offsets_of(lengths: NDArray[np.integer[Any]]) -> Offsets:
    """Return where each of some spans of the given lengths begins, and where the last ends: int64 [n + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
