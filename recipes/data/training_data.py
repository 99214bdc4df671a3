"""Everything that a recipe may learn from: interactions, columns of items and users, and context."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from recipes.components.context import Context
from recipes.data.columns import Columns
from recipes.data.histories import FloatArray, Histories
from recipes.data.interactions import Interactions

__all__ = ["TrainingData"]


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything that a recipe may learn from.

    Attributes:
        interactions: Sorted interactions.
        n_users: Users are 0 .. n_users - 1, some perhaps without interactions.
        n_items: Items are 0 .. n_items - 1, some perhaps without interactions.
        event_types: What `Interactions.event_type` stands for, from 1 on.
        items: Metadata of the items, n_items rows.
        users: Metadata of the users, n_users rows.
        event_weights: float32 [len(event_types) + 1], how much an interaction counts as something to be predicted, by
            its action; None where all count alike. Only ratios matter to a fit.
        context: Of the interactions; None where they have none.
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
