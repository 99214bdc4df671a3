"""SASRec, the network of User-Personalization v2, in JAX: a causal transformer over a user's sequence of items.

The architecture is SASRec's (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018): items are
embedded, self-attention blocks that cannot look ahead read them, and the state at each place scores every item by
inner product with the same embeddings. `recipes.training.losses` has the losses.

Our deviations: the loss is a softmax over the catalogue; layers normalise their input, not their output; a learnt start
token stands before the first item, so that an empty history has a state too and predicts what users begin with; every
item has a bias; what was done with an item and how much time passed since the step before are added to its embedding,
as in HSTU (Zhai et al., "Actions Speak Louder than Words", ICML 2024), but as inputs instead of attention biases.
Beside what the attention finds, each block adds a moving average of the steps so far, weighed by how far back they are,
in the spirit of Mega (Ma et al., "Mega: Moving Average Equipped Gated Attention", ICLR 2023) and BSARec (Shin et al.,
"An Attentive Inductive Bias for Sequential Recommendation beyond the Self-Attention", AAAI 2024). It knows the
order of steps, and so does the attention, to whose scores a number is added for each distance (Raffel et al.,
"Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020), so there are no vectors
of places (docs/adr/0061).

Shapes: B rows of sequences, T places, d width, h heads, V items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.score import BLOCK_PREFIXES, SASRecScorer
from recipes.training.network import Parameters, Steps, draw_normal, drop, initial_step_parameters, normalise

__all__ = ["SASRec"]

#: What the parameters of distances count for in the scores of the attention, and in the logarithms of the weights of
#: averages: steps of Adam are as large for all parameters, and these have further to go.
_DISTANCE_SCALE = 4.0
_SCALED = ("attention_distances", "average_distances")


@dataclass(frozen=True, slots=True)
class SASRec:
    """The network; implements `recipes.training.network.Network`.

    Arrays of the blocks are stacked along a first axis [layers].

    Attributes:
        width: d, of embeddings and states.
        layers: Blocks.
        heads: Attention heads; divide the width.
        max_length: Newest items that are read.
        dropout: Share of activations dropped while learning.
    """

    width: int
    layers: int
    heads: int
    max_length: int
    dropout: float

    @classmethod
    def from_config(cls, config: SASRecConfig) -> Self:
        """Make the network of a configuration, without dropout."""
        return cls(config.embedding_size, config.layers, config.heads, config.max_length, dropout=0.0)

    def with_dropout(self, share: float) -> Self:
        """Return the same network with a share of activations, 0 to 1, dropped while learning."""
        return replace(self, dropout=share)

    def initial_parameters(
        self, *, item_directions: FloatArray, item_biases: FloatArray, n_event_types: int, seed: int
    ) -> dict[str, FloatArray]:
        """Draw the parameters that a fit begins from."""
        random = np.random.default_rng(seed)
        width, layers = self.width, self.layers

        step_parameters = initial_step_parameters(
            item_directions, item_biases, width=width, n_event_types=n_event_types, random=random
        )

        def dense(fan_in: int, fan_out: int) -> FloatArray:
            # Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
            return draw_normal(random, (layers, fan_in, fan_out), scale=(2.0 / (fan_in + fan_out)) ** 0.5)

        return {
            **step_parameters,
            "start": draw_normal(random, (width,), scale=width**-0.5 / 2),
            # What was read k steps ago begins with a weight of 1 / (k + 1), and half of the average is added.
            "average_distances": np.tile(
                -np.log1p(np.arange(self.max_length + 1)).astype(np.float32) / _DISTANCE_SCALE, (layers, 1)
            ),
            "average_gain": np.full((layers, width), 0.5, np.float32),
            "attention_distances": np.zeros((layers, self.heads, self.max_length + 1), np.float32),
            "attention_norm": np.ones((layers, width), np.float32),
            "attention_norm_bias": np.zeros((layers, width), np.float32),
            "attention_in": dense(width, 3 * width),
            "attention_in_bias": np.zeros((layers, 3 * width), np.float32),
            "attention_out": dense(width, width),
            "attention_out_bias": np.zeros((layers, width), np.float32),
            "forward_norm": np.ones((layers, width), np.float32),
            "forward_norm_bias": np.zeros((layers, width), np.float32),
            "forward_in": dense(width, width),
            "forward_in_bias": np.zeros((layers, width), np.float32),
            "forward_out": dense(width, width),
            "forward_out_bias": np.zeros((layers, width), np.float32),
            "final_norm": np.ones(width, np.float32),
            "final_norm_bias": np.zeros(width, np.float32),
        }

    def states(self, parameters: Parameters, steps: Steps, *, key: Array | None = None) -> Array:
        """Read sequences: float32 [B, T, d]; position p has read the start token and the p items before it."""
        items, event_types, gaps, positions = steps
        inputs = parameters["item_embeddings"][items] + parameters["actions"][event_types] + parameters["gaps"][gaps]
        before = jnp.pad(inputs, ((0, 0), (1, 0), (0, 0)))
        hidden = jnp.where((positions == 0)[..., None], parameters["start"], before)
        hidden = drop(hidden, self.dropout, None if key is None else jax.random.fold_in(key, self.layers))
        sequences = jnp.cumsum(positions == 0, axis=1)  # a number for each
        allowed = (sequences[:, :, None] == sequences[:, None, :]) & jnp.tril(jnp.ones((positions.shape[1],) * 2, bool))
        # A sequence has its places of a row side by side, so that distances within the row are those within it.
        places = jnp.arange(positions.shape[1])
        distances = jnp.maximum(places[:, None] - places, 0)
        blocks = {name: value for name, value in parameters.items() if name.startswith(BLOCK_PREFIXES)}

        def apply(hidden: Array, layer: tuple[Parameters, Array]) -> tuple[Array, None]:
            block, number = layer
            first, second = (None, None) if key is None else jax.random.split(jax.random.fold_in(key, number))
            normed = normalise(hidden) * block["attention_norm"] + block["attention_norm_bias"]
            mixed = _attention(block, normed, heads=self.heads, allowed=allowed, distances=distances)
            mixed += _moving_average(block, normed, allowed=allowed, distances=distances)
            hidden = hidden + drop(mixed, self.dropout, first)
            normed = normalise(hidden) * block["forward_norm"] + block["forward_norm_bias"]
            inner = jax.nn.relu(normed @ block["forward_in"] + block["forward_in_bias"])
            return hidden + drop(inner @ block["forward_out"] + block["forward_out_bias"], self.dropout, second), None

        # A loop that is compiled once for all layers.
        hidden, _ = jax.lax.scan(apply, hidden, (blocks, jnp.arange(self.layers)))
        return normalise(hidden) * parameters["final_norm"] + parameters["final_norm_bias"]

    def scorer(
        self,
        item_vectors: FloatArray,
        parameters: Mapping[str, FloatArray],
        *,
        score_fusion: ScoreFusion,
        sequential_rules: SequentialRules,
    ) -> SASRecScorer:
        """Make the scorer that serves these parameters; see `Network.scorer`."""
        scaled = {name: np.float32(_DISTANCE_SCALE) * parameters[name] for name in _SCALED}
        return SASRecScorer(
            item_vectors,
            {**parameters, **scaled},
            heads=self.heads,
            score_fusion=score_fusion,
            sequential_rules=sequential_rules,
        )


def _attention(block: Parameters, normed: Array, *, heads: int, allowed: Array, distances: Array) -> Array:
    """Mix the states of the allowed places, bool [B, T, T], by scaled dot-product attention: float32 [B, T, d].

    To each score a number is added for the distance, int32 [T, T].
    """
    batch, places, width = normed.shape
    projected = normed @ block["attention_in"] + block["attention_in_bias"]  # [B, T, 3d]
    query, key, value = jnp.split(projected.reshape(batch, places, 3 * heads, width // heads), 3, axis=2)
    scores = jnp.einsum("bthe,bshe->bhts", query, key) * (width // heads) ** -0.5
    scores += _DISTANCE_SCALE * block["attention_distances"][:, distances]
    shares = jax.nn.softmax(jnp.where(allowed[:, None], scores, -jnp.inf), axis=-1)  # [B, h, T, T]
    mixed = jnp.einsum("bhts,bshe->bthe", shares, value).reshape(batch, places, width)
    return mixed @ block["attention_out"] + block["attention_out_bias"]


def _moving_average(block: Parameters, normed: Array, *, allowed: Array, distances: Array) -> Array:
    """Average the states of the allowed places, bool [B, T, T], by their distances, int32 [T, T]: float32 [B, T, d]."""
    logarithms = _DISTANCE_SCALE * block["average_distances"][distances]  # [T, T]
    shares = jax.nn.softmax(jnp.where(allowed, logarithms, -jnp.inf), axis=-1)  # [B, T, T]
    return jnp.einsum("bts,bsd->btd", shares, normed) * block["average_gain"]
