"""Hyperparameters of Next-Best-Action."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from recipes.config import RecipeConfig

__all__ = ["ActionPropensityConfig"]


class ActionPropensityConfig(RecipeConfig):
    """What can be set on a solution."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset({"action_optimization_period"})

    action_optimization_period: int = Field(
        14, ge=7, le=28, description="Days within which an action that was shown must be taken to count as taken."
    )
