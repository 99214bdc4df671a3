"""What the network of a sequence model is to the parts that all of them share.

A network reads items, what was done with them and when, and makes a state for each place, which scores every item by
inner product with the embeddings that it reads.

Shapes: B sequences, T places, d width, V items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray
from recipes.models.sequential.score import SequenceScorer

__all__ = ["Network", "Parameters", "Steps", "begin_embeddings", "drop"]

#: Arrays by name; the family's scorer reads the same names. All have `item_embeddings` [V, d] and `item_biases` [V].
Parameters = dict[str, Array]
#: Items, actions and gap buckets of some sequences.
Steps = tuple[Array, Array, Array]


class Network(Protocol):
    """What a family supplies: an immutable value, as steps of equal networks are compiled once."""

    @property
    def width(self) -> int:
        """Width d of embeddings and states."""

    def dropping(self, share: float) -> Self:
        """Return the same network with a share of activations dropped while learning."""

    def initial_parameters(
        self, *, item_directions: FloatArray, item_biases: FloatArray, n_event_types: int, seed: int
    ) -> dict[str, FloatArray]:
        """Draw the parameters that a fit begins from.

        Args:
            item_directions: float32 [V, up to d], in which like items point alike; the embeddings begin there.
            item_biases: float32 [V], the scores before anything is known of a user.
            n_event_types: Event types that the data name; the parameter `event_types` has one row more.
            seed: Of the random numbers.
        """

    def states(self, parameters: Parameters, steps: Steps, *, key: Array | None = None) -> Array:
        """Read sequences and return what is known before and after each item.

        Args:
            parameters: Of the network.
            steps: Items, actions and gap buckets, each int32 [B, T - 1], oldest first, padded on the right with
                anything known.
            key: Of the random numbers of dropout; None drops nothing.

        Returns:
            float32 [B, T, d]; place t has read the first t items.
        """

    def scorer(
        self,
        item_vectors: FloatArray,
        parameters: Mapping[str, FloatArray],
        *,
        score_fusion: ScoreFusion,
        sequential_rules: SequentialRules,
    ) -> SequenceScorer:
        """Make what serves.

        Args:
            item_vectors: float32 [V, d + 1], as `ScoreFusion.item_vectors` makes them of embeddings and biases.
            parameters: The others.
            score_fusion: Learnt on top of the network.
            sequential_rules: The rules that are blended in.
        """


def begin_embeddings(item_directions: FloatArray, *, width: int, random: np.random.Generator) -> FloatArray:
    """Begin embeddings where counting leads: float32 [V, width].

    Args:
        item_directions: float32 [V, up to width].
        width: Of the embeddings.
        random: Turns the directions, so that no coordinate begins with most of the variance, and keeps items apart
            that nothing is known of.
    """
    rotation = np.linalg.qr(random.standard_normal((width, width)))[0][: item_directions.shape[1]]
    embeddings = item_directions @ rotation.astype(np.float32)
    size = float(np.sqrt(np.square(embeddings).mean())) or 1.0
    noise = (width**-0.5 / 20 * random.standard_normal((len(item_directions), width))).astype(np.float32)
    begun: FloatArray = embeddings * np.float32(width**-0.5 / 2 / size) + noise
    return begun


def drop(values: Array, share: float, key: Array | None) -> Array:
    """Drop a share of the values and scale the others up; nothing without a key."""
    if key is None or share == 0.0:
        return values
    # Eight random bits decide well enough, and cost a quarter of the 32 behind `jax.random.bernoulli`.
    level = round(256 * share)
    kept = jax.random.bits(key, values.shape, jnp.uint8) >= level
    return jnp.where(kept, values * (256 / (256 - level)), 0.0)
