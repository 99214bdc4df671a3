"""Hyperparameters of User-Personalization v2: Personalize's one, and those of the network."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from recipes.training.config import SequenceConfig

__all__ = ["SASRecConfig"]


class SASRecConfig(SequenceConfig):
    """What can be set on a solution; every default is meant to be left alone.

    Personalize itself knows `apply_recency_bias` only.
    """

    apply_recency_bias: bool = Field(
        True, description="Weigh the newest interactions up to twice as much as the oldest when learning."
    )
    embedding_size: int = Field(64, ge=8, le=512, multiple_of=8, description="Width of the network.")
    layers: int = Field(2, ge=1, le=8, description="Transformer blocks.")
    heads: int = Field(1, ge=1, le=16, description="Attention heads; must divide `embedding_size`.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.embedding_size % self.heads:
            raise ValueError(f"`heads`: got {self.heads}, want a divisor of `embedding_size` {self.embedding_size}")
        return self
