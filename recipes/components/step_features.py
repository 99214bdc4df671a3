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
        user_features: int32 [users, k], codes of each one's columns; None without columns.
    """

    context: NDArray[np.int32] | None
    user_features: NDArray[np.int32] | None

    def where(self, kept: NDArray[np.bool_]) -> Known:
        """Return what is known of the steps where `kept`, bool [interactions], is true."""
        return self if self.context is None else self._replace(context=self.context[kept])

    def embed_histories(self, scorer: SequenceScorer, asked: Validation) -> FloatArray:
        """Make the vectors of held-out steps in their situations: float32 [m, d]."""
        context = None if self.context is None else self.context[asked.places]
        user_features = None if self.user_features is None else self.user_features[asked.owners]
        return situated_queries(scorer, asked.histories, context, user_features=user_features)
