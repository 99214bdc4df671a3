"""Hyperparameters of SIMS."""

from __future__ import annotations

from typing import ClassVar

from recipes.config import RecipeConfig, hyperparameter
from recipes.hyper_parameters import COOCCURRENCE, COOCCURRENCE_FEATURES

__all__ = ["CooccurrenceConfig"]


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
