"""Hyperparameters of Next-Best-Action."""

from __future__ import annotations

from typing import ClassVar

from recipes.config import RecipeConfig, hyperparameter
from recipes.hyper_parameters import ACTION_PROPENSITY

__all__ = ["ActionPropensityConfig"]


class ActionPropensityConfig(RecipeConfig):
    """When an action counts as taken; see `recipes.hyper_parameters.ACTION_PROPENSITY`."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(ACTION_PROPENSITY)

    action_optimization_period: int = hyperparameter(ACTION_PROPENSITY["action_optimization_period"])
