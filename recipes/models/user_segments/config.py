"""Hyperparameters of Item-Affinity and Item-Attribute-Affinity."""

from __future__ import annotations

from pydantic import Field

from recipes.config import RecipeConfig

__all__ = ["SegmentsConfig"]


class SegmentsConfig(RecipeConfig):
    """What can be set on a solution."""

    hidden_dimension: int = Field(149, ge=32, le=256, description="Width of the vectors of users and items.")
