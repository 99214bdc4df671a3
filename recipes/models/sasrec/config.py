"""Hyperparameters of User-Personalization v2: Personalize's one, and those of the network."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from recipes.config import hyperparameter
from recipes.hyper_parameters import SASREC
from recipes.training.config import SequenceConfig

__all__ = ["SASRecConfig"]


class SASRecConfig(SequenceConfig):
    """What can be set on a solution; every default is meant to be left alone.

    Personalize itself knows `apply_recency_bias` only.
    """

    apply_recency_bias: bool = hyperparameter(SASREC["apply_recency_bias"])
    embedding_size: int = hyperparameter(SASREC["embedding_size"])
    layers: int = hyperparameter(SASREC["layers"])
    heads: int = hyperparameter(SASREC["heads"])

    @property
    def width(self) -> int:
        """Width d of embeddings and states."""
        return self.embedding_size

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.embedding_size % self.heads:
            raise ValueError(f"`heads`: got {self.heads}, want a divisor of `embedding_size` {self.embedding_size}")
        return self
