"""What a recipe may learn from: interactions, sorted by user and time, columns of items and users, and context."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.components.context import Context
from recipes.data.columns import Columns
from recipes.data.histories import EventTypes, FloatArray, Histories, ItemIndexes, Timestamps, offsets_of

__all__ = ["Interactions", "TrainingData"]


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who used what when, sorted by user and then time, rows of one time in the order they came in.

    Attributes:
        user: int32 [n], user indexes.
        item: int32 [n], item indexes.
        timestamp: int64 [n], seconds since 1970.
        event_type: uint8 [n], places in `TrainingData.event_types`, from 1; 0 for none.
        streamed: bool [n], which came through PutEvents and not by an import; None where that is not recorded.
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


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Interactions, items and users by index, and what else is known of them.

    Attributes:
        interactions: Who used what when.
        n_users: Users are 0 .. n_users - 1, some perhaps without interactions.
        n_items: Items are 0 .. n_items - 1, some perhaps without interactions.
        event_types: What `Interactions.event_type` stands for, from 1 on.
        items: Metadata of the items, n_items rows.
        users: Metadata of the users, n_users rows.
        event_weights: float32 [len(event_types) + 1], how much an interaction counts as something to be predicted, by
            its event type; None where all count alike. Only ratios matter to a fit.
        context: Context columns of the interactions, row by row; None where there are none.
    """

    interactions: Interactions
    n_users: int
    n_items: int
    event_types: tuple[str, ...] = ()
    items: Columns = field(default_factory=Columns)
    users: Columns = field(default_factory=Columns)
    event_weights: FloatArray | None = None
    context: Context | None = None

    def target_weights(self) -> FloatArray:
        """Return how much each interaction counts as something to be predicted: float32 [interactions]."""
        if self.event_weights is None:
            return np.ones(len(self.interactions), np.float32)
        return self.event_weights[self.interactions.event_type]

    def histories(self) -> Histories:
        """Return what every user did, oldest first."""
        return self.interactions.histories(self.n_users)

    def where(self, kept: NDArray[np.bool_]) -> TrainingData:
        """Return the same users and items with the interactions where `kept`, bool [n], is true."""
        context = None if self.context is None else self.context.where(kept)
        return replace(self, interactions=self.interactions.where(kept), context=context)
