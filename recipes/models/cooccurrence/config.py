"""Hyperparameters of SIMS."""

from __future__ import annotations

from typing import ClassVar, Final

from recipes.config import RecipeConfig, hyperparameter
from recipes.data.gram_matrix import neighbour_limit
from recipes.data.size import DataSize
from recipes.hyper_parameters import COOCCURRENCE, COOCCURRENCE_FEATURES

__all__ = ["CooccurrenceConfig"]

#: Measured at the peak: blocks of pairs while they are counted, histories, and weights of neighbours with a copy.
_BLOCKS: Final = 50 * 1024**2
_PER_INTERACTION: Final = 40
_PER_NEIGHBOUR: Final = 16


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

        bytes = 50 MiB + 40 interactions + 16 neighbours: pairs that enough users have used, up to a limit to each item.
        Items that the percentiles leave out, often the most used ones, have none, so it is rather too many.
        """
        pairs = size.pairs() // max(1, self.min_cointeraction_count)
        kept = min(pairs, neighbour_limit(size.items) * size.items)
        return _BLOCKS + _PER_INTERACTION * size.interactions + _PER_NEIGHBOUR * kept
