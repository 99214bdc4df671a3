"""The losses that networks are fitted with: the port `Loss`, its implementations, and the choice between them.

A further loss (BPR, binary cross-entropy, ...) is one more class here that `choose_loss` may return; the loop knows the
port alone.

The softmax over the catalogue instead of one sampled negative makes most of the difference to later models (Klenitskiy
and Vasilev, "Turning Dross Into Gold Loss", RecSys 2023). Over a large catalogue it is estimated from a sample.

Shapes: B rows of sequences, T places, N places of all rows, d width, V items, S sampled items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from recipes.training.config import SequenceConfig

__all__ = ["FullSoftmax", "Loss", "NegativeSampler", "SampledSoftmax", "choose_loss"]

#: Draws what a loss samples for one step: arrays whose shapes are the same at every step, the first one of items,
#: int32 [S]; () where it samples nothing.
NegativeSampler = Callable[[np.random.Generator], tuple[NDArray[Any], ...]]

#: Tokens at most whose scores are held at once: small enough for the cache, large enough for the matrix product.
_CHUNK = 1024

#: Rows of a batch at most, when the batch size is left open. On validation steps of MovieLens 1M (full softmax),
#: batches of 48 reached in 4 epochs what those of 128 reached in 8, and ended about as high; those of 16 were faster at
#: first, and slower from the tenth epoch on. On Diginetica (sampled) batches of 48 ended lower than those of 128: 53.9
#: against 54.4 % in P@20.
_ROWS_FULL, _ROWS_SAMPLED = 48, 128

#: Items are sampled by this power of their popularity, which keeps rare ones in the sample (Mikolov et al.,
#: "Distributed Representations of Words and Phrases and their Compositionality", NIPS 2013).
_SAMPLING_POWER = 0.75


class Loss(Protocol):
    """What a fit minimises: an immutable, hashable value, as the steps of equal losses are compiled once."""

    @property
    def max_batch_rows(self) -> int:
        """Longest sequences in one batch at most, when the batch size is left open."""

    @property
    def n_sampled(self) -> int:
        """Items that one step samples; 0 where it reads the whole catalogue."""

    def negative_sampler(self, counts: NDArray[np.int64]) -> NegativeSampler:
        """Return what draws the random numbers of a step.

        Args:
            counts: int64 [V], interactions of each item in the training data.
        """

    def __call__(
        self, hidden: Array, vectors: Array, biases: Array, targets: Array, weights: Array, drawn: tuple[Array, ...]
    ) -> Array:
        """Sum the weighted losses of some targets.

        Args:
            hidden: float32 [B, T, d], states of the network.
            vectors: float32 [V, d], of all items.
            biases: float32 [V], of all items; far below all others for items that must not be learnt.
            targets: int32 [B, T], the item that came next.
            weights: float32 [B, T], how much each target counts; 0 for padding.
            drawn: From the `NegativeSampler`.

        Returns:
            float32 [], differentiable in the first three.
        """


@dataclass(frozen=True, slots=True)
class FullSoftmax:
    """The cross-entropy over the whole catalogue; see `full_softmax_loss` and `Loss`."""

    @property
    def max_batch_rows(self) -> int:
        """Longest sequences in one batch at most."""
        return _ROWS_FULL

    @property
    def n_sampled(self) -> int:
        """Nothing is sampled."""
        return 0

    def negative_sampler(self, counts: NDArray[np.int64]) -> NegativeSampler:  # noqa: ARG002 -- nothing is sampled
        """Return what draws nothing."""
        return lambda random: ()  # noqa: ARG005 -- nothing is sampled

    def __call__(
        self, hidden: Array, vectors: Array, biases: Array, targets: Array, weights: Array, drawn: tuple[Array, ...]
    ) -> Array:
        """Sum weight times -log softmax(hidden . vectors + biases)[target]: float32 []."""
        del drawn
        flat = hidden.reshape(-1, hidden.shape[-1])
        return full_softmax_loss(flat, vectors, biases, targets.reshape(-1), weights.reshape(-1))


@dataclass(frozen=True, slots=True)
class SampledSoftmax:
    """An estimate of the full softmax from one sample of items for all places; see `sampled_softmax_loss` and `Loss`.

    Attributes:
        sampled_items: S, drawn with replacement for each step.
    """

    sampled_items: int

    @property
    def max_batch_rows(self) -> int:
        """Longest sequences in one batch at most."""
        return _ROWS_SAMPLED

    @property
    def n_sampled(self) -> int:
        """Items that one step samples."""
        return self.sampled_items

    def negative_sampler(self, counts: NDArray[np.int64]) -> NegativeSampler:
        """Return what draws items, int32 [S], and the logarithms of the expected draws of each, float32 [S]."""
        chances = (counts + 1.0) ** _SAMPLING_POWER
        chances = chances / chances.sum()
        # As `random.choice` does it, which would add them up again at every step.
        cumulative = chances.cumsum()
        cumulative /= cumulative[-1]

        def draw(random: np.random.Generator) -> tuple[NDArray[Any], ...]:
            items = cumulative.searchsorted(random.random(self.sampled_items), side="right")
            return items.astype(np.int32), np.log(len(items) * chances[items]).astype(np.float32)

        return draw

    def __call__(
        self, hidden: Array, vectors: Array, biases: Array, targets: Array, weights: Array, drawn: tuple[Array, ...]
    ) -> Array:
        """Sum weight times the estimate of -log softmax(hidden . vectors + biases)[target]: float32 []."""
        items, log_draws = drawn
        sample_biases = biases[items] - log_draws
        return sampled_softmax_loss(
            hidden, vectors[items], sample_biases, vectors[targets], biases[targets], targets, weights, items
        )


def choose_loss(config: SequenceConfig, *, n_items: int) -> Loss:
    """Choose by the size of the catalogue: the exact softmax while the scores of all items are affordable."""
    return SampledSoftmax(config.sampled_items) if n_items > config.full_softmax_items else FullSoftmax()


@jax.custom_vjp
def full_softmax_loss(hidden: Array, vectors: Array, biases: Array, targets: Array, weights: Array) -> Array:
    """Sum the weighted cross-entropy over the whole catalogue.

    The gradient is worked out together with the loss, chunk by chunk, so that the scores [N, V] are never held at once.

    Args:
        hidden: float32 [N, d].
        vectors: float32 [V, d].
        biases: float32 [V].
        targets: int32 [N].
        weights: float32 [N].

    Returns:
        float32 [], the sum of weight times -log softmax(hidden . vectors + biases)[target].
    """
    return _full_softmax_forward(hidden, vectors, biases, targets, weights)[0]


def _full_softmax_forward(
    hidden: Array, vectors: Array, biases: Array, targets: Array, weights: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    count, width = hidden.shape
    parts = (_chunks(hidden), _chunks(targets), _chunks(weights))

    def step(
        carry: tuple[Array, Array, Array], part: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array, Array], Array]:
        loss, vectors_gradient, biases_gradient = carry
        states, target, weight = part
        logits = states @ vectors.T + biases  # [chunk, V]
        highest = logits.max(axis=1, keepdims=True)
        exponentials = jnp.exp(logits - highest)
        total = exponentials.sum(axis=1, keepdims=True)
        rows = jnp.arange(len(target))
        log_likelihood = logits[rows, target] - highest[:, 0] - jnp.log(total[:, 0])
        gradient = exponentials * (weight[:, None] / total)
        gradient = gradient.at[rows, target].add(-weight)
        carry = (
            loss - (weight * log_likelihood).sum(),
            vectors_gradient + gradient.T @ states,
            biases_gradient + gradient.sum(axis=0),
        )
        return carry, gradient @ vectors

    zero = (jnp.zeros(()), jnp.zeros_like(vectors), jnp.zeros_like(biases))
    (loss, vectors_gradient, biases_gradient), hidden_gradient = jax.lax.scan(step, zero, parts)
    hidden_gradient = hidden_gradient.reshape(-1, width)[:count]
    return loss, (hidden_gradient, vectors_gradient, biases_gradient)


def _full_softmax_backward(
    gradients: tuple[Array, Array, Array], upstream: Array
) -> tuple[Array, Array, Array, None, None]:
    hidden, vectors, biases = (upstream * gradient for gradient in gradients)
    return hidden, vectors, biases, None, None


full_softmax_loss.defvjp(_full_softmax_forward, _full_softmax_backward)


@jax.custom_vjp
def sampled_softmax_loss(
    hidden: Array,
    sample_vectors: Array,
    sample_biases: Array,
    own_vectors: Array,
    own_biases: Array,
    targets: Array,
    weights: Array,
    sampled: Array,
) -> Array:
    """Estimate the full softmax loss from the items of each row and a few sampled ones.

    The terms of a row's own items, its targets among them, are exact: they compete for the first places with what a
    user is likely to go on to, and of large catalogues a sample holds hardly any such item. Of the others each sampled
    item stands for 1 / (samples * chance) items in the sum over the catalogue (importance sampling: Bengio
    and Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model", 2008;
    known as the logQ correction), and samples that hit an item of the row are left out. So the sum over the
    catalogue is estimated without bias, stratum by stratum. Worked out chunk by chunk, as `full_softmax_loss`.

    Args:
        hidden: float32 [B, T, d].
        sample_vectors: float32 [S, d], of the sampled items.
        sample_biases: float32 [S], of the sampled items, less the logarithm of the expected number of draws of each.
        own_vectors: float32 [B, T, d], of the targets.
        own_biases: float32 [B, T], of the targets.
        targets: int32 [B, T].
        weights: float32 [B, T].
        sampled: int32 [S], drawn with replacement, one sample for all rows.
    """
    return _sampled_softmax_forward(
        hidden, sample_vectors, sample_biases, own_vectors, own_biases, targets, weights, sampled
    )[0]


def _sampled_softmax_forward(
    hidden: Array,
    sample_vectors: Array,
    sample_biases: Array,
    own_vectors: Array,
    own_biases: Array,
    targets: Array,
    weights: Array,
    sampled: Array,
) -> tuple[Array, tuple[Array, ...]]:
    count, places, width = hidden.shape
    rows = max(1, _CHUNK // places)
    parts = tuple(_chunks(values, rows) for values in (hidden, own_vectors, own_biases, targets, weights))
    earlier = jnp.tril(jnp.ones((places, places), bool), -1)

    def step(carry: tuple[Array, Array, Array], part: tuple[Array, ...]) -> tuple[tuple[Array, Array, Array], Any]:
        loss, vectors_gradient, biases_gradient = carry
        states, vectors, biases, target, weight = part
        flat, mass = states.reshape(-1, width), weight.reshape(-1)  # [N, d], [N]
        is_own = (target[:, :, None] == sampled).any(axis=1)  # [rows, S]
        of_others = jnp.repeat(jnp.where(is_own, -jnp.inf, sample_biases), places, axis=0)
        logits = flat @ sample_vectors.T + of_others  # [N, S]
        # An item that a row has twice is one item of the catalogue.
        again = ((target[:, :, None] == target[:, None, :]) & earlier).any(axis=2)  # [rows, T]
        own_logits = jnp.einsum("btd,bsd->bts", states, vectors) + biases[:, None, :]  # [rows, T, T]
        of_targets = jnp.diagonal(own_logits, axis1=1, axis2=2).reshape(-1)  # [N]
        own_logits = jnp.where(again[:, None, :], -jnp.inf, own_logits).reshape(-1, places)
        highest = jnp.maximum(logits.max(axis=1), own_logits.max(axis=1))
        exponentials = jnp.exp(logits - highest[:, None])
        own_exponentials = jnp.exp(own_logits - highest[:, None])
        total = exponentials.sum(axis=1) + own_exponentials.sum(axis=1)
        share = mass / total
        gradient = exponentials * share[:, None]
        own_gradient = (own_exponentials * share[:, None]).reshape(-1, places, places)
        own_gradient -= weight[:, :, None] * jnp.eye(places)
        carry = (
            loss + (mass * (highest + jnp.log(total) - of_targets)).sum(),
            vectors_gradient + gradient.T @ flat,
            biases_gradient + gradient.sum(axis=0),
        )
        states_gradient = (gradient @ sample_vectors).reshape(states.shape)
        states_gradient += jnp.einsum("bts,bsd->btd", own_gradient, vectors)
        return carry, (states_gradient, jnp.einsum("bts,btd->bsd", own_gradient, states), own_gradient.sum(axis=1))

    zero = (jnp.zeros(()), jnp.zeros_like(sample_vectors), jnp.zeros_like(sample_biases))
    (loss, vectors_gradient, biases_gradient), of_sequences = jax.lax.scan(step, zero, parts)
    of_hidden, of_vectors, of_biases = (part.reshape(-1, *part.shape[2:])[:count] for part in of_sequences)
    return loss, (of_hidden, vectors_gradient, biases_gradient, of_vectors, of_biases)


def _sampled_softmax_backward(gradients: tuple[Array, ...], upstream: Array) -> tuple[Array | None, ...]:
    return (*(upstream * gradient for gradient in gradients), None, None, None)


sampled_softmax_loss.defvjp(_sampled_softmax_forward, _sampled_softmax_backward)


def _chunks(values: Array, most: int = _CHUNK) -> Array:
    """Cut the first axis into equal chunks of at most so many, as few as there can be, the last padded with zeros."""
    count = max(1, -(-len(values) // most))
    size = -(-len(values) // count)
    padding = [(0, count * size - len(values))] + [(0, 0)] * (values.ndim - 1)
    return jnp.pad(values, padding).reshape(count, size, *values.shape[1:])
