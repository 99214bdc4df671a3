"""Interactions: who used what when, as one table sorted by user and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import EventTypes, Histories, ItemIndexes, Timestamps, offsets_of

__all__ = ["Interactions"]


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who used what when, sorted by user and then time, rows of one time in the order they came in.

    Attributes:
        user: int32 [n], user indexes.
        item: int32 [n], item indexes.
        timestamp: int64 [n], seconds since 1970.
        event_type: uint8 [n], event types; see `History.event_types`.
        streamed: bool [n], which were sent one by one and not imported; None where nobody knows.
    """

    user: NDArray[np.int32]
    item: ItemIndexes
    timestamp: Timestamps
    event_type: EventTypes
    streamed: NDArray[np.bool_] | None = None

    @classmethod
    def sort(
        cls,
        user: NDArray[np.integer[Any]],
        *,
        item: NDArray[np.integer[Any]],
        timestamp: NDArray[np.integer[Any]],
        event_type: NDArray[np.integer[Any]] | None = None,
        streamed: NDArray[np.bool_] | None = None,
    ) -> Interactions:
        """Make interactions of columns in any order; the sort is stable."""
        order = np.lexsort((timestamp, user))
        event_types = np.zeros(len(user), np.uint8) if event_type is None else event_type[order].astype(np.uint8)
        return cls(
            user[order].astype(np.int32),
            item[order].astype(np.int32),
            timestamp[order].astype(np.int64),
            event_types,
            None if streamed is None else streamed[order],
        )

    def __len__(self) -> int:
        return len(self.user)

    def where(self, kept: NDArray[np.bool_]) -> Interactions:
        """Return the rows where `kept`, bool [n], is true."""
        streamed = None if self.streamed is None else self.streamed[kept]
        return Interactions(self.user[kept], self.item[kept], self.timestamp[kept], self.event_type[kept], streamed)

    def histories(self, n_users: int) -> Histories:
        """Return what every user did, users without interactions included."""
        offsets = offsets_of(np.bincount(self.user, minlength=n_users))
        return Histories(offsets, self.item, self.event_type, self.timestamp)
