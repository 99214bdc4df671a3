"""Learning a blend: the weights under which what held-out users did next is most likely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from recipes.blend.score import COUNT_BUCKETS, RECENCY_BUCKETS, Blend, repeats
from recipes.interface import FloatArray, Histories, ItemIndexes
from recipes.rules import PLACES, Followers

__all__ = ["Observed", "learn_blend"]

#: Scores of the network held at once; users beyond it are left out.
_MAX_SCORES = 24_000_000
_STEPS = 40
#: Variance of the normal priors: logarithms of factors keep near where they begin, repeats may go further.
_FACTOR_VARIANCE = 1.0
_REPEAT_VARIANCE = 9.0


@dataclass(frozen=True, slots=True)
class Observed:
    """What some held-out users did next.

    Attributes:
        histories: Before.
        targets: int32 [m], next.
        queries: float32 [m, d], the network's vectors of the histories.
        item_vectors: float32 [n_items, d], of the network.
        log_shares: float32 [n_items], logarithms of the items' shares of all interactions.
        repeat_bias: The best single bias of items that were used before.
    """

    histories: Histories
    targets: ItemIndexes
    queries: FloatArray
    item_vectors: FloatArray
    log_shares: FloatArray
    repeat_bias: float


class _Weights(NamedTuple):
    """What is learnt; all but `popularity` and the repeats are logarithms."""

    network: Array
    popularity: Array
    rules: Array
    scale: Array
    places: Array
    recency: Array
    uses: Array


class _Sparse(NamedTuple):
    """Rules and repeats of all rows, by their places in the flattened scores.

    Attributes:
        pairs: int32 [p], places that some rule leads to.
        pair: int32 [e], for each rule its place among `pairs`.
        place: int32 [e], of the rule's leader.
        strength: float32 [e].
        used: int32 [r], places of items that were used before.
        recency: int32 [r].
        action: int32 [r].
        uses: int32 [r], buckets of the number of uses.
    """

    pairs: Array
    pair: Array
    place: Array
    strength: Array
    used: Array
    recency: Array
    action: Array
    uses: Array


def learn_blend(observed: Observed, followers: Followers, *, n_event_types: int) -> Blend:
    """Find the blend of greatest posterior probability, by L-BFGS.

    The likelihood is the softmax over the catalogue. Factors have log-normal priors around 1, and around rules that
    decay with 1 / place; repeats have normal ones around the single bias.

    Args:
        observed: At least one row.
        followers: Rules that do not know the targets.
        n_event_types: Event types that the data name.
    """
    n_items = len(observed.item_vectors)
    count = max(1, min(len(observed.targets), _MAX_SCORES // n_items))
    sparse = _collect(observed.histories.take(np.arange(count)), followers, n_items=n_items)
    raw = np.bincount(np.asarray(sparse.pair), weights=np.asarray(sparse.strength) / (1.0 + np.asarray(sparse.place)))
    start = _Weights(
        network=jnp.zeros(()),
        popularity=jnp.zeros(()),
        rules=jnp.log(0.3),
        scale=jnp.log(float(np.median(raw)) if len(raw) else 1.0),
        places=-jnp.log(jnp.arange(1.0, PLACES + 1)),
        recency=jnp.full((RECENCY_BUCKETS, n_event_types + 1), observed.repeat_bias),
        uses=jnp.zeros(COUNT_BUCKETS),
    )
    logits = jnp.asarray(observed.queries[:count] @ observed.item_vectors.T)
    data = (logits, jnp.asarray(observed.log_shares), jnp.asarray(observed.targets[:count]))
    found = _maximise(start, data, sparse)
    if not len(raw):
        found = found._replace(rules=jnp.array(-jnp.inf))
    return Blend(
        network=float(jnp.exp(found.network)),
        popularity=float(found.popularity),
        rules=float(jnp.exp(found.rules)),
        scale=float(jnp.exp(found.scale)),
        places=np.asarray(jnp.exp(found.places), np.float32),
        recency=np.asarray(found.recency, np.float32),
        count=np.asarray(found.uses, np.float32),
    )


def _collect(histories: Histories, followers: Followers, *, n_items: int) -> _Sparse:
    rules, used = [], []
    for row in range(len(histories)):
        history = histories.of(row)
        items, places, strengths = followers.entries(history)
        rules.append((row * n_items + items.astype(np.int64), places, strengths))
        own = repeats(history)
        used.append((row * n_items + own.items.astype(np.int64), own.recency, own.actions, own.counts))
    flat, place, strength = (np.concatenate(column) for column in zip(*rules, strict=True))
    pairs, pair = np.unique(flat, return_inverse=True)
    columns: list[NDArray[np.generic]] = [np.concatenate(column) for column in zip(*used, strict=True)]
    return _Sparse(
        jnp.asarray(pairs, jnp.int32), jnp.asarray(pair, jnp.int32), jnp.asarray(place, jnp.int32),
        jnp.asarray(strength, jnp.float32), *(jnp.asarray(column, jnp.int32) for column in columns),
    )  # fmt: skip


def _maximise(start: _Weights, data: tuple[Array, Array, Array], sparse: _Sparse) -> _Weights:
    def loss(weights: _Weights) -> Array:
        return _loss(weights, start, data, sparse)

    solver = optax.lbfgs()
    value_and_gradient = optax.value_and_grad_from_state(loss)

    @jax.jit
    def step(weights: _Weights, state: optax.OptState) -> tuple[_Weights, optax.OptState]:
        value, gradient = value_and_gradient(weights, state=state)
        updates, state = solver.update(gradient, state, weights, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(weights, updates), state

    weights, state = start, solver.init(start)
    for _ in range(_STEPS):
        weights, state = step(weights, state)
    return weights


def _loss(weights: _Weights, start: _Weights, data: tuple[Array, Array, Array], sparse: _Sparse) -> Array:
    """Return the mean negative log posterior."""
    logits, log_shares, targets = data
    rows, n_items = logits.shape
    scores = jnp.exp(weights.network) * logits + weights.popularity * log_shares
    raw = jax.ops.segment_sum(
        sparse.strength * jnp.exp(weights.places)[sparse.place], sparse.pair, num_segments=len(sparse.pairs)
    )
    boosts = jnp.exp(weights.rules) * jnp.log1p(raw / jnp.exp(weights.scale))
    repeated = weights.recency[sparse.recency, sparse.action] + weights.uses[sparse.uses]
    flat = scores.reshape(-1).at[sparse.pairs].add(boosts).at[sparse.used].add(repeated)
    scores = flat.reshape(rows, n_items)
    likelihood = scores[jnp.arange(rows), targets] - jax.nn.logsumexp(scores, axis=1)

    def distance(name: str) -> Array:
        return jnp.square(getattr(weights, name) - getattr(start, name)).sum()

    factors = sum(distance(name) for name in ("network", "popularity", "rules", "scale", "places"))
    prior = factors / _FACTOR_VARIANCE + (distance("recency") + distance("uses")) / _REPEAT_VARIANCE
    return -likelihood.mean() + 0.5 * prior / rows
