"""Hyperparameters of Item-Affinity and Item-Attribute-Affinity."""

from __future__ import annotations

from recipes.config import RecipeConfig, hyperparameter
from recipes.hyper_parameters import USER_SEGMENTS

__all__ = ["SegmentsConfig"]


class SegmentsConfig(RecipeConfig):
    """How wide the vectors are; see `recipes.hyper_parameters.USER_SEGMENTS`."""

    hidden_dimension: int = hyperparameter(USER_SEGMENTS["hidden_dimension"])
