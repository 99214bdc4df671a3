"""Scoring many users of a fitted model at once, for offline evaluation and for what is stored in artifacts.

The ranking that evaluation measures is that of serving: a pipeline's first stages on blocks of users.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories
from recipes.ports import ItemScorer
from recipes.retrieval import scoring
from recipes.retrieval.scoring import embed_users, user_codes_of

__all__ = ["catalogue_scores", "embed_users", "user_codes_of"]


def catalogue_scores(
    scorer: ItemScorer,
    histories: Histories,
    context_codes: NDArray[np.int32] | None = None,
    *,
    user_codes: NDArray[np.int32] | None = None,
) -> Callable[[slice], FloatArray]:
    """Return a function that scores every item for some of the users, as they would be served.

    Args:
        scorer: Of a fitted recipe.
        histories: Of m users.
        context_codes: int32 [m, columns], of each one's context; None without any.
        user_codes: int32 [m, k], of each one's columns; None without any.

    Returns:
        From a slice of rows to float32 [rows, n_items], a new array each time.
    """
    embeddings = embed_users(scorer, histories, context_codes, user_codes=user_codes)
    return scoring.catalogue_scores(scorer, histories, embeddings=embeddings)
