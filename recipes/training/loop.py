"""Learning a network: Adam on the softmax loss, epoch by epoch, with a moving average of the parameters."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from recipes.components.item_features import ItemSide, embed
from recipes.components.user_features import gate_buckets
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.models.sequential.network import Network, Parameters
from recipes.training.batching import Batch, batch_shapes, epoch_batches
from recipes.training.config import SequenceConfig
from recipes.training.losses import full_softmax_loss, sampled_softmax_loss
from recipes.training.pace import Pace

__all__ = ["Learner", "LearnerState", "choose_shapes"]

#: Steps of an epoch that batches are made small for, when the batch size is left open, and the bounds of that size, the
#: upper one without and with sampling. On validation steps of MovieLens 1M (full softmax), batches of 48 reached in 4
#: epochs what those of 128 reached in 8, and ended about as high; those of 16 were faster at first, and slower from the
#: tenth epoch on. On Diginetica (sampled) batches of 48 ended lower than those of 128: 53.9 against 54.4 % in P@20.
_STEPS = 64
_LEAST_ROWS, _MOST_ROWS, _MOST_ROWS_SAMPLED = 8, 48, 128

#: Moments of the gradients; 0.98 forgets old sizes faster than the usual 0.999, as fits here are short.
_ADAM = optax.scale_by_adam(b2=0.98)

#: Share of targets that are learnt without their context, or without their user's columns, and what tells the random
#: numbers of the two from the network's.
_WITHOUT = 0.2
_CONTEXT, _PEOPLE = 1 << 20, 1 << 21

#: Share of the moving average that each step keeps in the end, and what delays it, so that the average spans a ninth of
#: the steps at first. On validation steps of Amazon Beauty the best average was 1.8 % above that of a share of 0.98, on
#: those of MovieLens 1M as good; spans of a quarter or half of all steps were worse on Beauty.
_AVERAGING = 0.995
_AVERAGING_DELAY = 9.0

#: Taken from the scores of cold items while learning.
_OUT_OF_REACH = 1e6


class LearnerState(NamedTuple):
    """What changes with every step.

    Attributes:
        parameters: Of the network.
        average: Moving average of the parameters, which is what is judged and kept: it generalises better than any one
            step (Polyak and Juditsky, 1992), and its validation figures are less noisy.
        adam: Moments of the gradients.
    """

    parameters: Parameters
    average: Parameters
    adam: optax.OptState


class Learner:
    """Runs epochs.

    Args:
        network: To be learnt.
        config: How.
        counts: int64 [n_items], interactions of each item, which decide how it is sampled.
        shapes: Of batches, from `choose_shapes`.
        items: What is known of items beside their use.
        seed: Of every random number.
    """

    def __init__(
        self,
        network: Network,
        config: SequenceConfig,
        *,
        counts: NDArray[np.int64],
        shapes: list[tuple[int, int]],
        items: ItemSide | None = None,
        seed: int,
    ) -> None:
        self._network = network
        self._config = config
        self._shapes = shapes
        self._items = jax.tree.map(jnp.asarray, items)
        self._seed = seed
        self._sampled = config.samples(items=len(counts))
        # Sampling by a power of the popularity keeps rare items in the sample (word2vec's choice).
        chances = (counts + 1.0) ** 0.75
        self._chances = chances / chances.sum()

    def begin(self, arrays: dict[str, FloatArray]) -> LearnerState:
        """Make the state before the first step."""
        parameters = jax.tree.map(jnp.array, arrays)
        return LearnerState(parameters, jax.tree.map(jnp.array, arrays), _ADAM.init(parameters))

    def epoch(
        self,
        state: LearnerState,
        training: Histories,
        weights: FloatArray,
        *,
        number: int,
        pace: Pace,
        rates: tuple[float, float] = (1.0, 1.0),
        context: NDArray[np.int32] | None = None,
        user_features: NDArray[np.int32] | None = None,
    ) -> tuple[LearnerState, float]:
        """Learn every window once.

        Args:
            state: Given up to the step.
            training: What to learn.
            weights: float32 [interactions], of each as a target.
            number: Of the epoch; with the seed it decides every random number.
            pace: Hears how far it is.
            rates: Shares of the learning rate at the beginning and at the end.
            context: int32 [interactions, columns], codes of each one's context; None without columns.
            user_features: int32 [users, k], codes of each one's columns; None without columns.

        Returns:
            The new state, and the mean loss of a target.
        """
        random = np.random.default_rng([self._seed, number])
        batches = epoch_batches(
            training, weights, shapes=self._shapes, random=random, context=context, user_features=user_features
        )
        mass = sum(float(batch.weights.sum()) for batch in batches)
        scale = np.float32(len(batches) / mass)
        key = jax.random.key(int(random.integers(2**31)))
        losses = []
        for place, batch in enumerate(batches):
            share = rates[0] + (rates[1] - rates[0]) * place / len(batches)
            rate = np.float32(self._config.learning_rate * share)
            state, loss = _step(
                state,
                batch,
                (scale, rate),
                jax.random.fold_in(key, place),
                self._sample(random),
                self._items,
                network=self._network,
            )
            losses.append(loss)
            pace.done((place + 1) / len(batches), wait=partial(jax.block_until_ready, loss))
        return state, float(np.mean(jax.device_get(losses)))

    def _sample(self, random: np.random.Generator) -> tuple[ItemIndexes, FloatArray] | None:
        if not self._sampled:
            return None
        drawn = random.choice(len(self._chances), self._config.sampled_items, p=self._chances)
        return drawn.astype(np.int32), np.log(len(drawn) * self._chances[drawn]).astype(np.float32)


@partial(jax.jit, static_argnames="network", donate_argnums=0)
def _step(
    state: LearnerState,
    batch: Batch,
    rates: tuple[Array, Array],
    key: Array,
    sample: tuple[Array, Array] | None,
    items: ItemSide | None,
    *,
    network: Network,
) -> tuple[LearnerState, Array]:
    """Take one step of Adam; compiled once for each shape of a batch.

    Args:
        state: Given up.
        batch: To be learnt.
        rates: What the summed loss is multiplied by, and the learning rate.
        key: Of dropout.
        sample: Sampled items and the logs of how often each is expected to be drawn; None for the full softmax.
        items: What is known of items beside their use.
        network: To be learnt.
    """
    read, event_types, gaps, weights, context, user_features = (jnp.asarray(part) for part in batch)
    targets, mass = read.reshape(-1), weights.reshape(-1)
    if items is not None:
        mass = mass * (1.0 - items.cold[targets])
    steps = (read[:, :-1], event_types[:, :-1], gaps[:, :-1])

    def loss(learnt: Parameters) -> Array:
        values = embed(learnt, items)
        hidden = network.states(values, steps, key=key)
        if context.shape[-1]:
            hidden = hidden + _kept(hidden, key, _CONTEXT) * _sums(values["context"], context)
        if user_features.shape[-1]:
            hidden = hidden + _kept(hidden, key, _PEOPLE) * _user_features(values, user_features, hidden.shape[1])
        flat = hidden.reshape(-1, hidden.shape[-1])
        vectors, biases = values["item_embeddings"], values["item_biases"]
        if items is not None:
            biases = biases - _OUT_OF_REACH * items.cold
        if sample is None:
            return rates[0] * full_softmax_loss(flat, vectors, biases, targets, mass)
        drawn, log_draws = sample
        estimated = sampled_softmax_loss(
            flat, vectors[drawn], biases[drawn] - log_draws, vectors[targets], biases[targets], targets, mass, drawn
        )
        return rates[0] * estimated

    value, gradients = jax.value_and_grad(loss)(state.parameters)
    directions, adam = _ADAM.update(gradients, state.adam)
    parameters = jax.tree.map(lambda old, by: old - rates[1] * by, state.parameters, directions)
    kept = jnp.minimum(_AVERAGING, 1.0 - _AVERAGING_DELAY / (_AVERAGING_DELAY + adam.count))
    average = jax.tree.map(lambda old, new: kept * old + (1.0 - kept) * new, state.average, parameters)
    return LearnerState(parameters, average, adam), value


def _sums(vectors: Array, codes: Array) -> Array:
    """Add up the vectors of codes, int32 [..., columns], of which 0 adds nothing: float32 [..., d]."""
    return (vectors[codes] * (codes > 0)[..., None]).sum(axis=-2)


def _user_features(values: Parameters, codes: Array, places: int) -> Array:
    """Return what the columns of users, int32 [B, k], add to each place of their windows: float32 [B, T, d]."""
    gates = values["people_gates"][gate_buckets(np.arange(places))]
    return gates[None, :, None] * _sums(values["people"], codes)[:, None]


def _kept(hidden: Array, key: Array, purpose: int) -> Array:
    """Draw which targets are learnt with what is known of them: 1 or 0, float32 [B, T, 1].

    Not every request gives its context, and not every user is known.
    """
    without = jax.random.bernoulli(jax.random.fold_in(key, purpose), _WITHOUT, hidden.shape[:2])
    return jnp.where(without, 0.0, 1.0)[..., None]


def choose_shapes(config: SequenceConfig, training: Histories, *, n_items: int) -> list[tuple[int, int]]:
    """Choose the shapes of the batches that histories are learnt in."""
    most = _MOST_ROWS_SAMPLED if config.samples(items=n_items) else _MOST_ROWS
    longest = min(config.max_length + 1, max(2, int(training.lengths().max())))
    fitting = round(len(training.items) / (_STEPS * longest))
    rows = config.batch_size or min(most, max(_LEAST_ROWS, fitting))
    return batch_shapes(training.lengths(), longest=longest, batch_tokens=rows * longest)
