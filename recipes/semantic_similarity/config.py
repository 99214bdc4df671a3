"""Hyperparameters of Semantic-Similarity: none, as in Personalize."""

from __future__ import annotations

from recipes.interface import RecipeConfig

__all__ = ["SemanticSimilarityConfig"]


class SemanticSimilarityConfig(RecipeConfig):
    """No hyperparameters."""
