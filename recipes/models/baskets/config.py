"""Hyperparameters of what is bought, or viewed, together: there are none."""

from __future__ import annotations

from recipes.config import RecipeConfig

__all__ = ["BasketsConfig"]


class BasketsConfig(RecipeConfig):
    """No hyperparameters, as of recommenders in Personalize."""
