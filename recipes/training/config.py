"""Hyperparameters that every sequence recipe has, for experiments: how to learn, not what."""

from __future__ import annotations

import math

from pydantic import Field, PositiveInt

from recipes.config import RecipeConfig

__all__ = ["SequenceConfig"]

#: Interactions per item from which and up to which dropout falls, and its values there. Chosen on validation steps of
#: Amazon Beauty (16 interactions per item) and MovieLens 1M (290).
_DENSITIES = (25.0, 250.0)
_DROPOUTS = (0.4, 0.2)


class SequenceConfig(RecipeConfig):
    """None of these is Personalize's; every default is meant to be left alone."""

    max_length: int = Field(100, ge=2, le=1000, description="Newest items that the network reads.")
    dropout: float | None = Field(
        None,
        ge=0.0,
        le=0.9,
        description="Share of activations dropped while learning; by default 0.2 to 0.4, the more the fewer "
        "interactions items have.",
    )
    learning_rate: float = Field(0.002, gt=0.0, le=0.1, description="Step size of Adam.")
    batch_size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Longest sequences in one step; by default 8 to 48, or 128 with sampled items, as the data "
        "are large.",
    )
    epochs: PositiveInt = Field(100, le=10_000, description="Passes over the data at most.")
    # Fewer stop at a figure that was high by chance: with 4, one of three seeds on Amazon Beauty ended 5 % lower.
    patience: PositiveInt = Field(6, description="Validations without a gain before stopping.")
    full_softmax_items: int = Field(
        5_000, ge=0, description="Catalogues up to this size are learnt with the full softmax, larger ones sampled."
    )
    sampled_items: PositiveInt = Field(2048, description="Items sampled for one step of the sampled softmax.")
    validation_targets: PositiveInt = Field(
        2048, description="Newest steps of users that are held out, to decide when to stop and how to blend."
    )
    time_limit_seconds: float | None = Field(
        None,
        gt=0.0,
        description="Seconds after which no further epoch begins. A limit that is reached makes the "
        "result depend on the speed of the machine.",
    )

    def samples(self, *, items: int) -> bool:
        """Return whether the softmax over a catalogue of so many items is estimated from a sample."""
        return items > self.full_softmax_items

    def dropout_for(self, *, interactions: int, items: int) -> float:
        """Return the share of activations to drop.

        By default it falls with the logarithm of the interactions per item: otherwise few of them are learnt by heart.
        """
        if self.dropout is not None:
            return self.dropout
        sparse, dense = _DENSITIES
        place = math.log(max(1, interactions) / max(1, items) / sparse) / math.log(dense / sparse)
        return _DROPOUTS[0] + (_DROPOUTS[1] - _DROPOUTS[0]) * min(1.0, max(0.0, place))
