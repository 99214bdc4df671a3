"""Hyperparameters of the iALS recipe."""

from __future__ import annotations

from recipes.config import RecipeConfig, hyperparameter
from recipes.hyper_parameters import IALS

__all__ = ["IALSConfig"]


class IALSConfig(RecipeConfig):
    """What can be set on a solution; ranges, defaults and meanings are `recipes.hyper_parameters.IALS`."""

    embedding_size: int = hyperparameter(IALS["embedding_size"])
    regularization: float = hyperparameter(IALS["regularization"])
    unobserved_weight: float = hyperparameter(IALS["unobserved_weight"])
    epochs: int = hyperparameter(IALS["epochs"])
    validation_targets: int = hyperparameter(IALS["validation_targets"])
