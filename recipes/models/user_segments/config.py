"""Hyperparameters of Item-Affinity and Item-Attribute-Affinity."""

from __future__ import annotations

from recipes.catalog import USER_SEGMENTS
from recipes.config import RecipeConfig, hyperparameter

__all__ = ["SegmentsConfig"]


class SegmentsConfig(RecipeConfig):
    """How wide the vectors are; see `recipes.catalog.USER_SEGMENTS`."""

    hidden_dimension: int = hyperparameter(USER_SEGMENTS["hidden_dimension"])
