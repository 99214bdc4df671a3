"""Hyperparameters of Similar-Items: Personalize's names, ranges and defaults."""

from __future__ import annotations

from pydantic import Field

from recipes.config import RecipeConfig

__all__ = ["EASEConfig"]


class EASEConfig(RecipeConfig):
    """How much popularity is divided out, and how wide the model is.

    Attributes:
        popularity_discount_factor: Power of a neighbour's popularity that its weight is divided by. The regression's
            weights with 0 predict best; towards 1 rare neighbours come first.
        item_id_hidden_dim: Width of what is learnt from interactions. The model is no embedding: in catalogues that are
            too large to solve exactly, an item is regressed on its 2 * `item_id_hidden_dim` closest companions. No
            effect in smaller ones, which are solved on all items.
        item_metadata_hidden_dim: Coordinates of the vectors that items' columns are turned into. No effect without such
            columns.
    """

    popularity_discount_factor: float = Field(default=0.0, ge=0.0, le=1.0)
    item_id_hidden_dim: int = Field(default=100, ge=30, le=200)
    item_metadata_hidden_dim: int = Field(default=100, ge=30, le=200)
