"""What is known of steps beside the items before them: the context of each, and the columns of its user."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray
from recipes.evaluation.ranking import situated_queries
from recipes.models.sequential.score import SequenceScorer
from recipes.training.early_stopping import Validation

__all__ = ["Known"]


class Known(NamedTuple):
    """Codes of steps and users.

    Attributes:
        context: int32 [interactions, columns], codes of each one's context; None without columns.
        people: int32 [users, k], codes of each one's columns; None without columns.
    """

    context: NDArray[np.int32] | None
    people: NDArray[np.int32] | None

    def where(self, kept: NDArray[np.bool_]) -> Known:
        """Return what is known of the steps where `kept`, bool [interactions], is true."""
        return self if self.context is None else self._replace(context=self.context[kept])

    def queries(self, scorer: SequenceScorer, asked: Validation) -> FloatArray:
        """Make the vectors of held-out steps in their situations: float32 [m, d]."""
        context = None if self.context is None else self.context[asked.places]
        people = None if self.people is None else self.people[asked.owners]
        return situated_queries(scorer, asked.histories, context, people=people)
