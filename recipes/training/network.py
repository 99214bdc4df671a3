"""The port `Network` of sequence models, as the training loop sees them, and what their networks share.

A network reads items, what was done with them and when, and makes a state for each place, which scores every item by
inner product with the embeddings that it reads. Implementations: `recipes.models.sasrec.network`,
`recipes.models.gru.network`.

Shapes: B rows of sequences, T places, d width, V items.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import GAP_BUCKETS, SequenceScorer
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray

__all__ = ["Network", "Parameters", "Steps", "draw_normal", "drop", "initial_step_parameters", "normalise"]

#: Arrays by name; the model's scorer reads the same names. All have `item_embeddings` [V, d], `item_biases` [V],
#: `actions` [event types + 1, d] and `gaps` [GAP_BUCKETS, d].
Parameters = dict[str, Array]

#: Added to variances before the root is taken.
_EPSILON = 1e-5


class Steps(NamedTuple):
    """Rows of sequences, one after another.

    Attributes:
        items: int32 [B, T - 1], what is read between one place and the next.
        event_types: int32 [B, T - 1].
        gaps: int32 [B, T - 1], buckets.
        positions: int32 [B, T], of each place within its sequence: 0 where one begins, of which nothing is read yet.
    """

    items: Array
    event_types: Array
    gaps: Array
    positions: Array


class Network(Protocol):
    """What a model supplies: an immutable, hashable value, as the steps of equal networks are compiled once."""

    @property
    def width(self) -> int:
        """Width d of embeddings and states."""

    def with_dropout(self, share: float) -> Self:
        """Return the same network with a share of activations, 0 to 1, dropped while learning."""

    def initial_parameters(
        self, *, item_directions: FloatArray, item_biases: FloatArray, n_event_types: int, seed: int
    ) -> dict[str, FloatArray]:
        """Draw the parameters that a fit begins from.

        Args:
            item_directions: float32 [V, up to d], in which like items point alike; the embeddings begin there.
            item_biases: float32 [V], the scores before anything is known of a user.
            n_event_types: Event types that the data name; the parameter `actions` has one row more, for unknown ones.
            seed: Of the random numbers.
        """

    def states(self, parameters: Parameters, steps: Steps, *, key: Array | None = None) -> Array:
        """Read sequences and return what is known before and after each item.

        Args:
            parameters: Of the network.
            steps: Oldest first; what is read before a place of position 0 is passed over.
            key: Of the random numbers of dropout; None drops nothing.

        Returns:
            float32 [B, T, d]; a place of position p has read the p items before it.
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
            sequential_rules: The rules that are fused with it.
        """


def initial_step_parameters(
    item_directions: FloatArray,
    item_biases: FloatArray,
    *,
    width: int,
    n_event_types: int,
    random: np.random.Generator,
) -> dict[str, FloatArray]:
    """Return the initial parameters by which every network reads steps; arguments as of `Network.initial_parameters`.

    Args:
        item_directions: float32 [V, up to width], where the embeddings begin.
        item_biases: float32 [V].
        width: d.
        n_event_types: Event types that the data name.
        random: Turns the directions, so that no coordinate begins with most of the variance, and keeps items apart
            that nothing is known of.
    """
    # Each item's direction counts, not how long it is: of items that are used little it is short, and they would hardly
    # be told from each other for epochs (rows of unit length: Ng, Jordan and Weiss, "On Spectral Clustering", NIPS
    # 2001; measured in docs/adr/0052).
    lengths = np.linalg.norm(item_directions, axis=1, keepdims=True)
    item_directions = np.divide(item_directions, lengths, out=np.zeros_like(item_directions), where=lengths > 0)
    rotation = np.linalg.qr(random.standard_normal((width, width)))[0][: item_directions.shape[1]]
    rotated = item_directions @ rotation.astype(np.float32)
    noise = draw_normal(random, (len(item_directions), width), scale=width**-0.5 / 20)
    return {
        "item_embeddings": np.float32(0.5) * rotated + noise,
        "item_biases": np.asarray(item_biases, np.float32),
        # Zero: where there is one event type, or no time, these stay without effect on what is learnt.
        "actions": np.zeros((n_event_types + 1, width), np.float32),
        "gaps": np.zeros((GAP_BUCKETS, width), np.float32),
    }


def draw_normal(random: np.random.Generator, shape: tuple[int, ...], *, scale: float) -> FloatArray:
    """Draw float32 numbers of a normal distribution with mean 0 and the standard deviation `scale`."""
    return (scale * random.standard_normal(shape)).astype(np.float32)


def normalise(values: Array) -> Array:
    """Bring the last axis to mean 0 and variance 1 (Ba, Kiros and Hinton, "Layer Normalization", 2016)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + _EPSILON)


def drop(values: Array, share: float, key: Array | None) -> Array:
    """Drop a share of the values and scale the others up (Srivastava et al., "Dropout", JMLR 2014).

    Args:
        values: Of any shape.
        share: 0 to 1.
        key: Of the random numbers; None drops nothing.
    """
    if key is None or share == 0.0:
        return values
    # Eight random bits decide well enough, and cost a quarter of the 32 behind `jax.random.bernoulli`.
    level = round(256 * share)
    kept = jax.random.bits(key, values.shape, jnp.uint8) >= level
    return jnp.where(kept, values * (256 / (256 - level)), 0.0)
