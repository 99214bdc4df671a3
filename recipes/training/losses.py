"""The losses that networks are fitted with.

The softmax over the catalogue instead of one sampled negative makes most of the difference to later models (Klenitskiy
and Vasilev, "Turning Dross Into Gold Loss", RecSys 2023).

Shapes: N places of sequences, d width, V items.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["full_softmax_loss", "sampled_softmax_loss"]

#: Tokens at most whose scores are held at once: small enough for the cache, large enough for the matrix product.
_CHUNK = 1024


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
        states_, wanted, weight = part
        logits = states_ @ vectors.T + biases  # [chunk, V]
        highest = logits.max(axis=1, keepdims=True)
        exponentials = jnp.exp(logits - highest)
        total = exponentials.sum(axis=1, keepdims=True)
        rows = jnp.arange(len(wanted))
        log_likelihood = logits[rows, wanted] - highest[:, 0] - jnp.log(total[:, 0])
        gradient = exponentials * (weight[:, None] / total)
        gradient = gradient.at[rows, wanted].add(-weight)
        carry = (
            loss - (weight * log_likelihood).sum(),
            vectors_gradient + gradient.T @ states_,
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
    vectors: Array,
    biases: Array,
    wanted_vectors: Array,
    wanted_biases: Array,
    targets: Array,
    weights: Array,
    sampled: Array,
) -> Array:
    """Estimate the full softmax loss from the target and a few sampled items.

    Each sampled item stands for 1 / (samples * chance) items in the sum over the catalogue (importance sampling: Bengio
    and Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model", 2008;
    known as the logQ correction). The target's own term is exact, and samples that hit it are left out. Worked out
    chunk by chunk, as `full_softmax_loss`.

    Args:
        hidden: float32 [N, d].
        vectors: float32 [S, d], of the sampled items.
        biases: float32 [S], of the sampled items, less the logarithm of the expected number of draws of each.
        wanted_vectors: float32 [N, d], of the targets.
        wanted_biases: float32 [N], of the targets.
        targets: int32 [N].
        weights: float32 [N].
        sampled: int32 [S], drawn with replacement, one sample for all N.
    """
    return _sampled_softmax_forward(hidden, vectors, biases, wanted_vectors, wanted_biases, targets, weights, sampled)[
        0
    ]


def _sampled_softmax_forward(
    hidden: Array,
    vectors: Array,
    biases: Array,
    wanted_vectors: Array,
    wanted_biases: Array,
    targets: Array,
    weights: Array,
    sampled: Array,
) -> tuple[Array, tuple[Array, Array, Array, Array, Array]]:
    count = len(hidden)
    wanted_logits = (hidden * wanted_vectors).sum(axis=1) + wanted_biases
    parts = tuple(_chunks(values) for values in (hidden, wanted_vectors, wanted_logits, targets, weights))

    def step(carry: tuple[Array, Array, Array], part: tuple[Array, ...]) -> tuple[tuple[Array, Array, Array], Any]:
        loss, vectors_gradient, biases_gradient = carry
        states_, own, wanted, target, weight = part
        logits = states_ @ vectors.T + biases  # [chunk, S]
        logits = jnp.where(sampled[None, :] == target[:, None], -jnp.inf, logits)
        highest = jnp.maximum(logits.max(axis=1), wanted)
        exponentials = jnp.exp(logits - highest[:, None])
        of_wanted = jnp.exp(wanted - highest)
        total = exponentials.sum(axis=1) + of_wanted
        gradient = exponentials * (weight / total)[:, None]
        wanted_gradient = weight * (of_wanted / total - 1.0)
        carry = (
            loss + (weight * (highest + jnp.log(total) - wanted)).sum(),
            vectors_gradient + gradient.T @ states_,
            biases_gradient + gradient.sum(axis=0),
        )
        return carry, (gradient @ vectors + wanted_gradient[:, None] * own, wanted_gradient)

    zero = (jnp.zeros(()), jnp.zeros_like(vectors), jnp.zeros_like(biases))
    (loss, vectors_gradient, biases_gradient), (hidden_gradient, wanted_gradient) = jax.lax.scan(step, zero, parts)
    hidden_gradient = hidden_gradient.reshape(-1, hidden.shape[1])[:count]
    wanted_gradient = wanted_gradient.reshape(-1)[:count]
    gradients = (hidden_gradient, vectors_gradient, biases_gradient, wanted_gradient[:, None] * hidden, wanted_gradient)
    return loss, gradients


def _sampled_softmax_backward(
    gradients: tuple[Array, Array, Array, Array, Array], upstream: Array
) -> tuple[Array, Array, Array, Array, Array, None, None, None]:
    hidden, vectors, biases, wanted_vectors, wanted_biases = (upstream * gradient for gradient in gradients)
    return hidden, vectors, biases, wanted_vectors, wanted_biases, None, None, None


sampled_softmax_loss.defvjp(_sampled_softmax_forward, _sampled_softmax_backward)


def _chunks(values: Array) -> Array:
    """Cut the first axis into equal chunks, as few as there can be, the last one padded with zeros."""
    count = max(1, -(-len(values) // _CHUNK))
    size = -(-len(values) // count)
    padding = [(0, count * size - len(values))] + [(0, 0)] * (values.ndim - 1)
    return jnp.pad(values, padding).reshape(count, size, *values.shape[1:])
