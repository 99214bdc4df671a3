"""Hyperparameters of Similar-Items."""

from __future__ import annotations

from recipes.config import RecipeConfig, hyperparameter
from recipes.hyper_parameters import EASE

__all__ = ["EASEConfig"]


class EASEConfig(RecipeConfig):
    """How much popularity is divided out, and how wide the model is; see `recipes.hyper_parameters.EASE`."""

    popularity_discount_factor: float = hyperparameter(EASE["popularity_discount_factor"])
    item_id_hidden_dim: int = hyperparameter(EASE["item_id_hidden_dim"])
    item_metadata_hidden_dim: int = hyperparameter(EASE["item_metadata_hidden_dim"])
