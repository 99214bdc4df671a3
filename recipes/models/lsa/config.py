"""Hyperparameters of Semantic-Similarity: none, as in Personalize."""

from __future__ import annotations

from recipes.config import RecipeConfig

__all__ = ["LSAConfig"]


class LSAConfig(RecipeConfig):
    """No hyperparameters."""
