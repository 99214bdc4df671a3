"""Fitting User-Personalization: Adam on the softmax loss, stopped by what held-out users did next.

`fit` holds some of the newest steps of users out, ranks them among the whole catalogue after every epoch, keeps the
best state and learns from the same steps how to blend it with sequence rules and repeats. `extend` then runs a few
epochs with a falling step size on data that contain everything: the deployed model must know each user's newest
interactions, which the fitted one was kept from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from numpy.typing import NDArray

from common.errors import invalid
from recipes.blend.fit import Observed, learn_blend
from recipes.blend.score import Blend
from recipes.cooccurrence import count_followers, leading_directions
from recipes.interface import (
    FitProgress,
    FloatArray,
    Histories,
    ItemIndexes,
    TrainingData,
    ignore_progress,
)
from recipes.repeats import learn_repeat_bias
from recipes.rules import Followers
from recipes.user_personalization.config import UserPersonalizationConfig
from recipes.user_personalization.network import (
    Parameters,
    full_softmax_loss,
    initial_parameters,
    sampled_softmax_loss,
    states,
)
from recipes.user_personalization.score import UserPersonalizationScorer
from recipes.user_personalization.validation import Validation, hold_out
from recipes.user_personalization.windows import Batch, batch_shapes, epoch_batches

__all__ = ["UserPersonalizationFitter"]

#: Steps of an epoch that batches are made small for, when the batch size is left open.
_STEPS = 64

#: Moments of the gradients; 0.98 forgets old sizes faster than the usual 0.999, as fits here are short.
_ADAM = optax.scale_by_adam(b2=0.98)

#: Share of the moving average that each step keeps.
_AVERAGING = 0.98

#: Places apart that items still count as occurring together.
_WINDOW = 5

#: Epochs of `extend`, and the share of the learning rate that they begin with.
_EXTENSION_EPOCHS = 3
_EXTENSION_RATE = 0.5


class UserPersonalizationFitter:
    """See `recipes.interface.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Hears of every epoch.
    """

    def __init__(
        self, config: UserPersonalizationConfig, *, seed: int, progress: FitProgress = ignore_progress
    ) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress
        self._learner: _Learner | None = None
        self._parameters: dict[str, FloatArray] | None = None
        self._blend = Blend.of_network(n_event_types=0)
        self._followers: Followers | None = None

    def fit(self, data: TrainingData) -> UserPersonalizationScorer:
        """Learn from the data; the last items of the validation users are used to decide when to stop.

        Raises:
            InvalidInput: No user has two interactions.
        """
        config = self._config
        histories, weights = data.histories(), self._weights(data)
        validation, kept = hold_out(histories, wanted=config.validation_targets, seed=self._seed)
        training = histories.where(kept)
        counts = np.bincount(training.items, minlength=data.n_items)
        self._followers = Followers.count(training, n_items=data.n_items)
        # Shapes hold for `extend` too, whose steps are then compiled already.
        learner = self._learner = _Learner(config, counts=counts, shapes=_shapes(config, histories), seed=self._seed)
        state = learner.begin(self._begin(training, counts, n_event_types=len(data.event_types)))
        began, best, best_epoch = time.monotonic(), -1.0, 0
        for epoch in range(1, config.epochs + 1):
            state, loss = learner.epoch(state, training, weights[kept], number=epoch)
            arrays = _to_numpy(state.average)
            repeat_bias, reached = self._judge(arrays, validation)
            if reached > best:
                best, best_epoch = reached, epoch
                self._parameters = arrays
                self.report = {
                    "epochs": float(epoch), "training_loss": loss, "repeat_bias": repeat_bias,
                    "network_validation_ndcg_at_10": reached,
                }  # fmt: skip
            seen = {"training_loss": loss, "validation_ndcg_at_10": reached}
            self._progress(fraction=epoch / config.epochs, stage=f"epoch {epoch}", metrics=seen)
            if epoch - best_epoch >= config.patience:
                break
            if config.time_limit_seconds is not None and time.monotonic() - began >= config.time_limit_seconds:
                break
        self._learn_blend(validation, counts, n_event_types=len(data.event_types))
        return self._finished(counts)

    def extend(self, data: TrainingData) -> UserPersonalizationScorer:
        """Continue on all of the data, nothing held out, for a fixed number of epochs.

        Raises:
            InvalidInput: `fit` has not run, or on another catalogue.
        """
        if self._learner is None or self._parameters is None or len(self._parameters["item_biases"]) != data.n_items:
            raise invalid("data", got=f"{data.n_items} items", want="the items of a `fit` before")
        histories, weights = data.histories(), self._weights(data)
        state = self._learner.begin(self._parameters)
        for epoch in range(_EXTENSION_EPOCHS):
            done = epoch / _EXTENSION_EPOCHS
            falling = (_EXTENSION_RATE * (1.0 - done), _EXTENSION_RATE * (1.0 - done - 1.0 / _EXTENSION_EPOCHS))
            state, loss = self._learner.epoch(
                state, histories, weights, number=self._config.epochs + 1 + epoch, rates=falling
            )
            self._progress(
                fraction=(epoch + 1) / _EXTENSION_EPOCHS,
                stage=f"extension, epoch {epoch + 1} of {_EXTENSION_EPOCHS}",
                metrics={"training_loss": loss},
            )
        self._parameters = _to_numpy(state.parameters)
        self._followers = Followers.count(histories, n_items=data.n_items)
        return self._finished(np.bincount(histories.items, minlength=data.n_items))

    def _begin(self, training: Histories, counts: NDArray[np.int64], *, n_event_types: int) -> dict[str, FloatArray]:
        """Begin where counting leads: embeddings from what occurs together, biases from popularity."""
        together = count_followers(training, n_items=len(counts), window=_WINDOW).symmetric()
        strength = np.zeros(len(counts), np.float32)
        np.add.at(strength, together.rows(), together.values)
        directions = leading_directions(
            together.scaled(1.0 / np.sqrt(strength + 1.0)), count=self._config.embedding_size, seed=self._seed
        )
        return initial_parameters(
            self._config,
            item_directions=directions,
            item_biases=_log_shares(counts),
            n_event_types=n_event_types,
            seed=self._seed,
        )

    def _weights(self, data: TrainingData) -> FloatArray:
        """Weigh targets by how new they are: 1/2 for the oldest to 1 for the newest, by rank among all times."""
        times = data.interactions.timestamp
        if not self._config.apply_recency_bias or not len(times):
            return np.ones(len(times), np.float32)
        # Rows of one time get one rank; where all times are equal, all weigh 1.
        newer = len(times) - np.searchsorted(np.sort(times), times, side="right")
        return (1.0 - 0.5 * newer / len(times)).astype(np.float32)

    def _judge(self, arrays: dict[str, FloatArray], validation: Validation) -> tuple[float, float]:
        """Return the repeat bias that the held-out steps ask for, and the network's NDCG@10 with it."""
        assert self._followers is not None
        n_event_types = len(arrays["actions"]) - 1
        plain = _make_scorer(
            arrays, heads=self._config.heads, blend=Blend.of_network(n_event_types=n_event_types),
            followers=self._followers,
        )  # fmt: skip
        queries = plain.queries(validation.histories)
        bias = learn_repeat_bias(
            plain.item_vectors, queries, histories=validation.histories, targets=validation.targets
        )
        plain.blend = Blend.of_network(n_event_types=n_event_types, repeat_bias=bias)
        return bias, validation.judge(plain, queries=queries)[0]

    def _learn_blend(self, validation: Validation, counts: NDArray[np.int64], *, n_event_types: int) -> None:
        assert self._parameters is not None
        assert self._followers is not None
        plain = _make_scorer(
            self._parameters, heads=self._config.heads, blend=Blend.of_network(n_event_types=n_event_types),
            followers=self._followers,
        )  # fmt: skip
        observed = Observed(
            validation.histories,
            validation.targets,
            queries=plain.queries(validation.histories),
            item_vectors=plain.item_vectors,
            log_shares=_log_shares(counts),
            repeat_bias=self.report["repeat_bias"],
        )
        self._blend = learn_blend(observed, self._followers, n_event_types=n_event_types)
        reached, hits = validation.judge(self._finished(counts))
        self.report = {
            **self.report, "validation_ndcg_at_10": reached, "validation_hit_rate_at_10": hits,
            "blend_network": self._blend.network, "blend_rules": self._blend.rules,
        }  # fmt: skip

    def _finished(self, counts: NDArray[np.int64]) -> UserPersonalizationScorer:
        assert self._parameters is not None
        assert self._followers is not None
        return _make_scorer(
            self._parameters, heads=self._config.heads, blend=self._blend, followers=self._followers,
            log_shares=_log_shares(counts),
        )  # fmt: skip


class _State(NamedTuple):
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


class _Learner:
    """Runs epochs."""

    def __init__(
        self,
        config: UserPersonalizationConfig,
        *,
        counts: NDArray[np.int64],
        shapes: list[tuple[int, int]],
        seed: int,
    ) -> None:
        self._config = config
        self._shapes = shapes
        self._seed = seed
        self._sampled = len(counts) > config.full_softmax_items
        # Sampling by a power of the popularity keeps rare items in the sample (word2vec's choice).
        chances = (counts + 1.0) ** 0.75
        self._chances = chances / chances.sum()

    def begin(self, arrays: dict[str, FloatArray]) -> _State:
        """Make the state before the first step."""
        parameters = jax.tree.map(jnp.array, arrays)
        return _State(parameters, jax.tree.map(jnp.array, arrays), _ADAM.init(parameters))

    def epoch(
        self,
        state: _State,
        training: Histories,
        weights: FloatArray,
        *,
        number: int,
        rates: tuple[float, float] = (1.0, 1.0),
    ) -> tuple[_State, float]:
        """Learn every window once.

        Args:
            state: Given up to the step.
            training: What to learn.
            weights: float32 [interactions], of each as a target.
            number: Of the epoch; with the seed it decides every random number.
            rates: Shares of the learning rate at the beginning and at the end.

        Returns:
            The new state, and the mean loss of a target.
        """
        random = np.random.default_rng([self._seed, number])
        batches = epoch_batches(training, weights, shapes=self._shapes, random=random)
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
                heads=self._config.heads,
                dropout=self._config.dropout,
            )
            losses.append(loss)
        return state, float(np.mean(jax.device_get(losses)))

    def _sample(self, random: np.random.Generator) -> tuple[ItemIndexes, FloatArray] | None:
        if not self._sampled:
            return None
        drawn = random.choice(len(self._chances), self._config.sampled_items, p=self._chances)
        return drawn.astype(np.int32), np.log(self._chances[drawn]).astype(np.float32)


@partial(jax.jit, static_argnames=("heads", "dropout"), donate_argnums=0)
def _step(
    state: _State,
    batch: Batch,
    rates: tuple[Array, Array],
    key: Array,
    sample: tuple[Array, Array] | None,
    *,
    heads: int,
    dropout: float,
) -> tuple[_State, Array]:
    """Take one step of Adam; compiled once for each shape of a batch.

    Args:
        state: Given up.
        batch: To be learnt.
        rates: What the summed loss is multiplied by, and the learning rate.
        key: Of dropout.
        sample: Sampled items and the logs of their chances; None for the full softmax.
        heads: Attention heads.
        dropout: Share of activations dropped.
    """
    items, actions, gaps, weights = (jnp.asarray(part) for part in batch)
    targets, mass = items.reshape(-1), weights.reshape(-1)
    steps = (items[:, :-1], actions[:, :-1], gaps[:, :-1])

    def loss(values: Parameters) -> Array:
        hidden = states(values, steps, heads=heads, dropout=dropout, key=key)
        flat = hidden.reshape(-1, hidden.shape[-1])
        vectors, biases = values["item_embeddings"], values["item_biases"]
        if sample is None:
            return rates[0] * full_softmax_loss(flat, vectors, biases, targets, mass)
        return rates[0] * sampled_softmax_loss(
            flat, vectors, biases, targets=targets, weights=mass, sampled=sample[0], log_chance=sample[1]
        )

    value, gradients = jax.value_and_grad(loss)(state.parameters)
    directions, adam = _ADAM.update(gradients, state.adam)
    parameters = jax.tree.map(lambda old, by: old - rates[1] * by, state.parameters, directions)
    average = jax.tree.map(lambda old, new: _AVERAGING * old + (1.0 - _AVERAGING) * new, state.average, parameters)
    return _State(parameters, average, adam), value


def _shapes(config: UserPersonalizationConfig, training: Histories) -> list[tuple[int, int]]:
    longest = min(config.max_length + 1, max(2, int(training.lengths().max())))
    fitting = round(len(training.items) / (_STEPS * longest))
    rows = config.batch_size or min(128, max(8, fitting))
    return batch_shapes(longest, batch_tokens=rows * longest)


def _to_numpy(parameters: Parameters) -> dict[str, FloatArray]:
    # Copies: the arrays of JAX are donated to the next step.
    return {name: np.array(value) for name, value in parameters.items()}


def _log_shares(counts: NDArray[np.int64]) -> FloatArray:
    """Return the logarithms of the items' shares of all interactions, smoothed: float32 [n_items]."""
    shares: FloatArray = np.log((counts + 0.5) / (counts.sum() + 0.5 * len(counts))).astype(np.float32)
    return shares


def _make_scorer(
    arrays: Mapping[str, FloatArray],
    *,
    heads: int,
    blend: Blend,
    followers: Followers,
    log_shares: FloatArray | None = None,
) -> UserPersonalizationScorer:
    rest = {name: value for name, value in arrays.items() if name not in {"item_embeddings", "item_biases"}}
    shares = np.zeros_like(arrays["item_biases"]) if log_shares is None else log_shares
    vectors = blend.item_vectors(arrays["item_embeddings"], arrays["item_biases"], shares)
    return UserPersonalizationScorer(vectors, rest, heads=heads, blend=blend, followers=followers)
