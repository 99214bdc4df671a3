"""Hyperparameters of SIMS: Personalize's names, ranges and defaults."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from recipes.config import RecipeConfig

__all__ = ["CooccurrenceConfig"]


class CooccurrenceConfig(RecipeConfig):
    """What is counted, and how much popularity is divided out.

    Attributes:
        popularity_discount_factor: Power of both items' popularity that common users are divided by. With 0 an item's
            most popular companions come first, with 0.5 those of highest cosine, with 1 those that are used together
            more often than chance has it, however rare.
        min_cointeraction_count: Users that two items must have in common.
        min_user_history_length_percentile: Users with shorter histories are left out; 0 leaves out nobody.
        max_user_history_length_percentile: Users with longer histories are left out; 1 leaves out nobody.
        min_item_interaction_count_percentile: Items with fewer interactions get no neighbours and are none.
        max_item_interaction_count_percentile: Items with more interactions get no neighbours and are none.
    """

    feature_transformation: ClassVar[frozenset[str]] = frozenset(
        {
            "min_user_history_length_percentile",
            "max_user_history_length_percentile",
            "min_item_interaction_count_percentile",
            "max_item_interaction_count_percentile",
        }
    )

    popularity_discount_factor: float = Field(default=0.5, ge=0.0, le=1.0)
    min_cointeraction_count: int = Field(default=3, ge=0, le=10)
    min_user_history_length_percentile: float = Field(default=0.005, ge=0.0, le=1.0)
    max_user_history_length_percentile: float = Field(default=0.995, ge=0.0, le=1.0)
    min_item_interaction_count_percentile: float = Field(default=0.01, ge=0.0, le=1.0)
    max_item_interaction_count_percentile: float = Field(default=0.9, ge=0.0, le=1.0)
