"""The network of the HRNN recipes in JAX: a gated recurrent unit whose memory fades with the time that passes.

The unit is Cho et al.'s ("Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014), as a recommender in
Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks" (ICLR 2016). Quadrana et al.,
"Personalizing Session-based Recommendations with Hierarchical Recurrent Neural Networks" (RecSys 2017), let a second
unit carry what is known of a user from session to session; Ma et al., "Temporal-Contextual Recommendations in
Real-Time" (KDD 2020), on whose model Personalize's HRNN recipes rest, put the time between events into the network.

Our deviations: there is one unit, and no rule says where a session ends. Before each step every coordinate of the state
goes back towards where it began, by a share learnt for each bucket of the time since the step before. So coordinates
that fade within hours know the session, and those that last know the user. Embeddings begin where counting leads and
are those that states are compared with; what was done with an item and the time since the step before are added to
them.

Shapes: B rows of sequences, T places, d width, V items.
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
from recipes.components.sequence_scorer import GAP_BUCKETS
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray
from recipes.models.gru.config import GRUConfig
from recipes.models.gru.score import GRUScorer
from recipes.training.network import Parameters, Steps, draw_normal, drop, initial_step_parameters, normalise

__all__ = ["GRU"]

#: Where the shares of the state that last begin: sigmoid(4) is 0.98.
_LASTING = 4.0


@dataclass(frozen=True, slots=True)
class GRU:
    """The network; implements `recipes.training.network.Network`.

    Attributes:
        width: d, of embeddings and states.
        bptt: Steps that gradients flow back.
        max_length: Newest items that are read.
        dropout: Share of activations dropped while learning.
    """

    width: int
    bptt: int
    max_length: int
    dropout: float

    @classmethod
    def from_config(cls, config: GRUConfig) -> Self:
        """Make the network of a configuration, without dropout."""
        return cls(config.hidden_dimension, config.bptt, config.max_length, dropout=0.0)

    def with_dropout(self, share: float) -> Self:
        """Return the same network with a share of activations, 0 to 1, dropped while learning."""
        return replace(self, dropout=share)

    def initial_parameters(
        self, *, item_directions: FloatArray, item_biases: FloatArray, n_event_types: int, seed: int
    ) -> dict[str, FloatArray]:
        """Draw the parameters that a fit begins from."""
        random = np.random.default_rng(seed)
        width = self.width

        step_parameters = initial_step_parameters(
            item_directions, item_biases, width=width, n_event_types=n_event_types, random=random
        )

        def orthogonal() -> FloatArray:
            return np.linalg.qr(random.standard_normal((width, width)))[0].astype(np.float32)

        return {
            **step_parameters,
            "lasting": np.full((GAP_BUCKETS, width), _LASTING, np.float32),
            "start": draw_normal(random, (width,), scale=0.1),
            "input_norm": np.ones(width, np.float32),
            "input_norm_bias": np.zeros(width, np.float32),
            "input": draw_normal(random, (width, 3 * width), scale=(1.0 / width) ** 0.5),
            "input_bias": np.zeros(3 * width, np.float32),
            "recurrent": np.concatenate([orthogonal() for _ in range(3)], axis=1),
            "recurrent_bias": np.zeros(width, np.float32),
            "output": draw_normal(random, (width, width), scale=(1.0 / width) ** 0.5),
            "output_bias": np.zeros(width, np.float32),
        }

    def states(self, parameters: Parameters, steps: Steps, *, key: Array | None = None) -> Array:
        """Read sequences: float32 [B, T, d]; position p has read the p items before it."""
        items, event_types, gaps, positions = steps
        first, second = (None, None) if key is None else jax.random.split(key)
        read = parameters["item_embeddings"][items] + parameters["actions"][event_types] + parameters["gaps"][gaps]
        read = drop(normalise(read) * parameters["input_norm"] + parameters["input_norm_bias"], self.dropout, first)
        # All that does not depend on the state is worked out for all steps at once.
        inputs = read @ parameters["input"] + parameters["input_bias"]  # [B, T - 1, 3d]
        lasting = jax.nn.sigmoid(parameters["lasting"])[gaps]  # [B, T - 1, d]
        start = parameters["start"]
        cut = positions[:, :-1] % self.bptt == 0  # [B, T - 1]
        begins = positions[:, 1:] == 0

        def step(state: Array, of_step: tuple[Array, ...]) -> tuple[Array, Array]:
            inputs_of_step, keep, cut_here, begins_next = of_step
            state = jnp.where(cut_here[:, None], jax.lax.stop_gradient(state), state)
            state = start + keep * (state - start)
            new = jnp.where(begins_next[:, None], start, _step(parameters, state, inputs_of_step))
            return new, new

        begin = jnp.broadcast_to(start, (len(items), self.width))
        of_steps = tuple(part.swapaxes(0, 1) for part in (inputs, lasting, cut, begins))
        _, after = jax.lax.scan(step, begin, of_steps)
        hidden = jnp.concatenate([begin[:, None], after.swapaxes(0, 1)], axis=1)  # [B, T, d]
        return drop(hidden, self.dropout, second) @ parameters["output"] + parameters["output_bias"]

    def scorer(
        self,
        item_vectors: FloatArray,
        parameters: Mapping[str, FloatArray],
        *,
        score_fusion: ScoreFusion,
        sequential_rules: SequentialRules,
    ) -> GRUScorer:
        """Make the scorer that serves these parameters; see `Network.scorer`."""
        return GRUScorer(
            item_vectors,
            parameters,
            max_length=self.max_length,
            score_fusion=score_fusion,
            sequential_rules=sequential_rules,
        )


def _step(parameters: Parameters, state: Array, given: Array) -> Array:
    """Take one step of the unit: z state + (1 - z) n, with r and z of state and input, and n of input and r state."""
    width = state.shape[1]
    recalled = state @ parameters["recurrent"]  # [B, 3d]
    gates = jax.nn.sigmoid(given[:, : 2 * width] + recalled[:, : 2 * width])
    reset, update = gates[:, :width], gates[:, width:]
    new = jnp.tanh(given[:, 2 * width :] + reset * (recalled[:, 2 * width :] + parameters["recurrent_bias"]))
    return new + update * (state - new)
