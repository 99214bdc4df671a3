"""Hyperparameters of Next-Best-Action."""

from __future__ import annotations

from typing import ClassVar

from recipes.catalog import ACTION_PROPENSITY
from recipes.config import RecipeConfig, hyperparameter

__all__ = ["ActionPropensityConfig"]


class ActionPropensityConfig(RecipeConfig):
    """When an action counts as taken; see `recipes.catalog.ACTION_PROPENSITY`."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(ACTION_PROPENSITY)

    action_optimization_period: int = hyperparameter(ACTION_PROPENSITY["action_optimization_period"])
