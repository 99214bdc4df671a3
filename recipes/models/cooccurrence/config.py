"""Hyperparameters of SIMS."""

from __future__ import annotations

from typing import ClassVar, Final

from recipes.config import RecipeConfig, hyperparameter
from recipes.data.size import DataSize
from recipes.hyper_parameters import COOCCURRENCE, COOCCURRENCE_FEATURES

__all__ = ["CooccurrenceConfig"]

#: Measured at the peak: blocks of pairs while they are counted, and what all pairs take.
_BLOCKS: Final = 40 * 1024**2
_PER_PAIR: Final = 10


class CooccurrenceConfig(RecipeConfig):
    """What is counted, and how much popularity is divided out; see `recipes.hyper_parameters.COOCCURRENCE`."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(COOCCURRENCE_FEATURES)

    popularity_discount_factor: float = hyperparameter(COOCCURRENCE["popularity_discount_factor"])
    min_cointeraction_count: int = hyperparameter(COOCCURRENCE["min_cointeraction_count"])
    min_user_history_length_percentile: float = hyperparameter(
        COOCCURRENCE_FEATURES["min_user_history_length_percentile"]
    )
    max_user_history_length_percentile: float = hyperparameter(
        COOCCURRENCE_FEATURES["max_user_history_length_percentile"]
    )
    min_item_interaction_count_percentile: float = hyperparameter(
        COOCCURRENCE_FEATURES["min_item_interaction_count_percentile"]
    )
    max_item_interaction_count_percentile: float = hyperparameter(
        COOCCURRENCE_FEATURES["max_item_interaction_count_percentile"]
    )

    def fit_bytes(self, size: DataSize) -> int:
        """Return about how much memory a fit takes at its peak, beside the data.

        bytes = 40 MiB + 10 pairs, those that the same users have used; items that the percentiles leave out, often the
        most used ones, have none.
        """
        return _BLOCKS + _PER_PAIR * size.pairs()
