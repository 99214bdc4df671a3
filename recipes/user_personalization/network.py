"""The network of User-Personalization in JAX: a causal transformer and the losses that it is fitted with.

The architecture is SASRec's (Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018): items are
embedded, self-attention blocks that cannot look ahead read them, and the state at each place scores every item by
inner product with the same embeddings. It is fitted with the softmax over the catalogue instead of one sampled
negative, which makes most of the difference to later models (Klenitskiy and Vasilev, "Turning Dross Into Gold Loss",
RecSys 2023).

Our deviations: layers normalise their input, not their output; a learnt start token stands before the first item, so
that an empty history has a state too and predicts what users begin with; every item has a bias; what was done with an
item and how much time passed since the step before are added to its embedding, as in HSTU (Zhai et al., "Actions Speak
Louder than Words", ICML 2024), but as inputs instead of attention biases.

Shapes: B sequences, T places, d width, h heads, V items.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from recipes.interface import FloatArray
from recipes.user_personalization.config import UserPersonalizationConfig
from recipes.user_personalization.gaps import GAP_BUCKETS

__all__ = ["Parameters", "Steps", "full_softmax_loss", "initial_parameters", "sampled_softmax_loss", "states"]

#: Arrays by name; `score` reads the same names. Those of the blocks are stacked along a first axis [layers].
Parameters = dict[str, Array]
#: Items, actions and gap buckets of some sequences.
Steps = tuple[Array, Array, Array]

#: Tokens whose scores are held at once: small enough for the cache, large enough for the matrix product.
_CHUNK = 1024


def initial_parameters(
    config: UserPersonalizationConfig,
    *,
    item_directions: FloatArray,
    item_biases: FloatArray,
    n_event_types: int,
    seed: int,
) -> dict[str, FloatArray]:
    """Draw the parameters that a fit begins from.

    Args:
        config: Sizes of the network.
        item_directions: float32 [V, up to d], in which like items point alike; the embeddings begin there.
        item_biases: float32 [V], the scores before anything is known of a user.
        n_event_types: Event types that the data name.
        seed: Of the random numbers.
    """
    random = np.random.default_rng(seed)
    width, layers, n_items = config.embedding_size, config.layers, len(item_biases)

    def normal(*shape: int, scale: float) -> FloatArray:
        return (scale * random.standard_normal(shape)).astype(np.float32)

    def dense(fan_in: int, fan_out: int) -> FloatArray:
        return normal(layers, fan_in, fan_out, scale=(2.0 / (fan_in + fan_out)) ** 0.5)

    # Turned at random, so that no coordinate begins with most of the variance; as large as the rest.
    rotation = np.linalg.qr(random.standard_normal((width, width)))[0][: item_directions.shape[1]]
    embeddings = item_directions @ rotation.astype(np.float32)
    size = float(np.sqrt(np.square(embeddings).mean())) or 1.0
    noise = normal(n_items, width, scale=width**-0.5 / 20)  # keeps items apart that nothing is known of
    return {
        "item_embeddings": embeddings * np.float32(width**-0.5 / 2 / size) + noise,
        "item_biases": np.asarray(item_biases, np.float32),
        # Zero: where there is one event type, or no time, these stay without effect on what is learnt.
        "actions": np.zeros((n_event_types + 1, width), np.float32),
        "gaps": np.zeros((GAP_BUCKETS, width), np.float32),
        "start": normal(width, scale=width**-0.5 / 2),
        "positions": normal(config.max_length + 1, width, scale=width**-0.5 / 2),
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


def states(
    parameters: Parameters, steps: Steps, *, heads: int, dropout: float = 0.0, key: Array | None = None
) -> Array:
    """Read sequences and return what is known before and after each item.

    Args:
        parameters: Of the network.
        steps: Items, actions and gap buckets, each int32 [B, T - 1], oldest first, padded on the right with anything
            known.
        heads: Attention heads.
        dropout: Share of activations to drop; needs `key`.
        key: Of the random numbers.

    Returns:
        float32 [B, T, d]; place t has read the start token and the first t items.
    """
    items, actions, gaps = steps
    places = items.shape[1] + 1
    layers = parameters["attention_in"].shape[0]

    def drop(values: Array, key: Array | None) -> Array:
        if key is None or dropout == 0.0:
            return values
        # Eight random bits decide well enough, and cost a quarter of the 32 behind `jax.random.bernoulli`.
        level = round(256 * dropout)
        kept = jax.random.bits(key, values.shape, jnp.uint8) >= level
        return jnp.where(kept, values * (256 / (256 - level)), 0.0)

    start = jnp.broadcast_to(parameters["start"], (items.shape[0], 1, parameters["start"].shape[0]))
    inputs = parameters["item_embeddings"][items] + parameters["actions"][actions] + parameters["gaps"][gaps]
    hidden = jnp.concatenate([start, inputs], axis=1)  # [B, T, d]
    hidden = drop(hidden + parameters["positions"][:places], None if key is None else jax.random.fold_in(key, layers))
    allowed = jnp.tril(jnp.ones((places, places), bool))
    blocks = {name: value for name, value in parameters.items() if name.startswith(("attention", "forward"))}

    def apply(hidden: Array, layer: tuple[Parameters, Array]) -> tuple[Array, None]:
        block, number = layer
        first, second = (None, None) if key is None else jax.random.split(jax.random.fold_in(key, number))
        hidden = hidden + drop(_attention(block, hidden, heads=heads, allowed=allowed), first)
        normed = _norm(hidden, block["forward_norm"], block["forward_norm_bias"])
        inner = jax.nn.relu(normed @ block["forward_in"] + block["forward_in_bias"])
        return hidden + drop(inner @ block["forward_out"] + block["forward_out_bias"], second), None

    # A loop that is compiled once for all layers.
    hidden, _ = jax.lax.scan(apply, hidden, (blocks, jnp.arange(layers)))
    return _norm(hidden, parameters["final_norm"], parameters["final_norm_bias"])


def _attention(block: Parameters, hidden: Array, *, heads: int, allowed: Array) -> Array:
    batch, places, width = hidden.shape
    normed = _norm(hidden, block["attention_norm"], block["attention_norm_bias"])
    projected = normed @ block["attention_in"] + block["attention_in_bias"]  # [B, T, 3d]
    query, key, value = jnp.split(projected.reshape(batch, places, 3 * heads, width // heads), 3, axis=2)
    scores = jnp.einsum("bthe,bshe->bhts", query, key) * (width // heads) ** -0.5
    shares = jax.nn.softmax(jnp.where(allowed, scores, -jnp.inf), axis=-1)  # [B, h, T, T]
    mixed = jnp.einsum("bhts,bshe->bthe", shares, value).reshape(batch, places, width)
    return mixed @ block["attention_out"] + block["attention_out_bias"]


def _norm(values: Array, scale: Array, bias: Array) -> Array:
    centred = values - values.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + 1e-5) * scale + bias


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
    chunks = -(-count // _CHUNK)
    padding = chunks * _CHUNK - count
    parts = (
        jnp.pad(hidden, ((0, padding), (0, 0))).reshape(chunks, _CHUNK, width),
        jnp.pad(targets, (0, padding)).reshape(chunks, _CHUNK),
        jnp.pad(weights, (0, padding)).reshape(chunks, _CHUNK),
    )

    def step(
        carry: tuple[Array, Array, Array], part: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array, Array], Array]:
        loss, vectors_gradient, biases_gradient = carry
        states_, wanted, weight = part
        logits = states_ @ vectors.T + biases  # [chunk, V]
        highest = logits.max(axis=1, keepdims=True)
        exponentials = jnp.exp(logits - highest)
        total = exponentials.sum(axis=1, keepdims=True)
        rows = jnp.arange(_CHUNK)
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


def sampled_softmax_loss(
    hidden: Array, vectors: Array, biases: Array, *, targets: Array, weights: Array, sampled: Array, log_chance: Array
) -> Array:
    """Estimate the full softmax loss from the target and a few sampled items.

    Each sampled item stands for 1 / (samples * chance) items in the sum over the catalogue (importance sampling: Bengio
    and Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model", 2008;
    known as the logQ correction). The target's own term is exact, and samples that hit it are left out.

    Args:
        hidden: float32 [N, d].
        vectors: float32 [V, d].
        biases: float32 [V].
        targets: int32 [N].
        weights: float32 [N].
        sampled: int32 [S], drawn with replacement, one sample for all N.
        log_chance: float32 [S], the log of each sampled item's chance in one draw.
    """
    wanted = jnp.einsum("nd,nd->n", hidden, vectors[targets]) + biases[targets]
    others = hidden @ vectors[sampled].T + biases[sampled] - log_chance - jnp.log(len(sampled))
    others = jnp.where(sampled[None, :] == targets[:, None], -jnp.inf, others)
    total = jax.nn.logsumexp(jnp.concatenate([wanted[:, None], others], axis=1), axis=1)
    return (weights * (total - wanted)).sum()
