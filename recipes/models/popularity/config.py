"""Hyperparameters of Popularity-Count: there are none."""

from __future__ import annotations

from recipes.config import RecipeConfig

__all__ = ["PopularityConfig"]


class PopularityConfig(RecipeConfig):
    """No hyperparameters, as in Personalize."""
