"""The training loop: batches, gradients, epochs, and the best state on held-out steps.

It knows networks, losses, optimisers and stopping rules by their ports alone: `recipes.training.network.Network`,
`losses.Loss`, `optimizer.Optimizer` and `early_stopping.StoppingRule`.

Shapes: B rows of sequences, T places, d width, V items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from recipes.components.item_features import ItemFeatures, network_parameters
from recipes.components.user_features import gate_buckets
from recipes.data.histories import FloatArray, Histories
from recipes.training.batching import Batch, SideFeatures, epoch_batches
from recipes.training.checkpoints import EpochCheckpoints, EpochRecord, FitState
from recipes.training.early_stopping import StoppingRule
from recipes.training.losses import Loss
from recipes.training.network import Network, Parameters, Steps
from recipes.training.optimizer import LinearSchedule, Optimizer, OptimizerState
from recipes.training.progress import EpochProgress
from recipes.training.row_updates import RowState, RowUpdates, number_rows

__all__ = ["BestEpoch", "Trainer", "TrainingSteps", "count_parts", "to_numpy", "train"]

#: Share of targets that are learnt without their context, or without their user's columns: not every request gives its
#: context, and not every user has columns.
_WITHOUT = 0.2

#: What the random numbers of the two are derived by, apart from those of the network's dropout.
_CONTEXT, _USER_FEATURES = 1 << 20, 1 << 21

#: A step changes the rows of the items that it reads alone where the catalogue has more than so many times as many.
_ROWS_FROM = 4

#: An epoch of more targets than this takes long, and is divided: see `count_parts`.
_LONGEST_EPOCH = 5_000_000

#: Measures a network's parameters on held-out steps: the value that decides, and what else is to be remembered of them.
Evaluate = Callable[[dict[str, FloatArray]], tuple[float, Mapping[str, float]]]


class TrainingSteps(NamedTuple):
    """What epochs run over.

    Attributes:
        histories: The steps; each one is a target once in an epoch.
        weights: float32 [interactions], how much each counts as a target.
        side: Context and users' columns of the same steps.
    """

    histories: Histories
    weights: FloatArray
    side: SideFeatures

    def count_parts(self) -> int:
        """Return how many parts an epoch of these steps is divided into: see the function of that name."""
        return count_parts(len(self.weights), users=int(self._are_learnt().sum()))

    def part(self, number: int, *, parts: int, seed: int) -> TrainingSteps:
        """Return the steps of some users: those of `parts` numbers in turn are all steps, each once.

        Args:
            number: From 1.
            parts: As many as the users are divided into, anew after so many numbers; not more than `count_parts`.
            seed: Decides with it which users belong together.
        """
        if parts == 1:
            return self
        turn, place = divmod(number - 1, parts)
        # Those who weigh something are divided by themselves, so that no part is without.
        learnt = np.flatnonzero(self._are_learnt())
        numbers = np.arange(len(self.histories))
        numbers[learnt] = np.random.default_rng([seed, turn]).permutation(len(learnt))
        kept = np.repeat(numbers % parts == place, self.histories.lengths())
        return TrainingSteps(self.histories.where(kept), self.weights[kept], self.side.where(kept))

    def _are_learnt(self) -> NDArray[np.bool_]:
        """Return which users have a target that weighs something: bool [users]."""
        weighty = np.concatenate([[0], np.cumsum(self.weights > 0)])
        return np.diff(weighty[self.histories.offsets]) > 0


def count_parts(steps: int, *, users: int) -> int:
    """Return how many parts an epoch of so many targets is divided into, each of which counts as an epoch.

    After each part the network is measured, the best state is kept, a checkpoint is due and the stopping rule decides:
    tens of millions of targets are too many to see nothing meanwhile, to lose by a kill, and to learn once more than
    is good.

    Args:
        steps: Targets of an epoch.
        users: Whose they are; nobody's are divided.
    """
    return max(1, min(users, -(-steps // _LONGEST_EPOCH)))


class BestEpoch(NamedTuple):
    """The epoch whose average of the parameters was best on held-out steps.

    Attributes:
        parameters: The average, by name.
        number: Of the epoch, from 1.
        training_loss: Mean loss of a target in that epoch.
        value: What was maximised.
        details: What else the evaluation found.
    """

    parameters: dict[str, FloatArray]
    number: int
    training_loss: float
    value: float
    details: Mapping[str, float]


class Trainer:
    """Runs epochs of one network; every step of one shape is compiled once.

    Args:
        network: To be learnt.
        loss: To be minimised.
        optimizer: How gradients change parameters.
        learning_rate: Size of a step, before the schedule's share.
        counts: int64 [V], interactions of each item in the training data, by which a loss may sample.
        shapes: Of batches, from `batching.choose_shapes`.
        items: Features of items; None where items are known by their use alone.
        seed: Of every random number.

    Attributes:
        seed: Of every random number.
    """

    def __init__(
        self,
        network: Network,
        *,
        loss: Loss,
        optimizer: Optimizer,
        learning_rate: float,
        counts: NDArray[np.int64],
        shapes: list[tuple[int, int]],
        items: ItemFeatures | None,
        seed: int,
    ) -> None:
        self._network = network
        self._loss = loss
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._sample = loss.negative_sampler(counts)
        self._shapes = shapes
        self._items = jax.tree.map(jnp.asarray, items)
        self.seed = seed
        self._n_items = len(counts)
        self._row_capacity = max(rows * places for rows, places in shapes) + loss.n_sampled
        by_rows = loss.n_sampled > 0 and self._n_items > _ROWS_FROM * self._row_capacity
        self._row_updates = optimizer.row_updates() if by_rows else None

    def begin(self, arrays: Mapping[str, FloatArray]) -> OptimizerState:
        """Make the state before the first step."""
        state: OptimizerState = _begin(dict(arrays), optimizer=self._optimizer)
        return state

    def epoch(
        self,
        state: OptimizerState,
        steps: TrainingSteps,
        *,
        number: int,
        progress: EpochProgress,
        schedule: LinearSchedule,
    ) -> tuple[OptimizerState, float]:
        """Learn every window of the histories once.

        Args:
            state: Given up to the step.
            steps: What to learn.
            number: Of the epoch; with the seed it decides every random number.
            progress: Receives the share of the epoch that is done.
            schedule: Of the step size.

        Returns:
            The new state, and the mean loss of a target.
        """
        random = np.random.default_rng([self.seed, number])
        batches = epoch_batches(steps.histories, steps.weights, shapes=self._shapes, random=random, side=steps.side)
        scale = np.float32(len(batches) / batches.mass)
        key = jax.random.key(int(random.integers(2**31)))
        learning: Any = state if self._row_updates is None else self._row_updates.begin(state)
        losses = []
        for place, batch in enumerate(batches):
            rate = np.float32(self._learning_rate * schedule.share(place, steps=len(batches)))
            step_key, drawn = jax.random.fold_in(key, place), self._sample(random)
            learning, loss = self._take_step(learning, batch, (scale, rate), step_key, drawn)
            losses.append(loss)
            wait = partial(jax.block_until_ready, loss)
            progress.report_within((place + 1) / len(batches), wait=wait, steps=len(batches))
        if self._row_updates is not None:
            learning = _finish_rows(learning.full, learning[1:], row_updates=self._row_updates)
        return learning, float(np.mean(jax.device_get(losses)))

    def _take_step(
        self,
        state: Any,
        batch: Batch,
        scales: tuple[np.float32, np.float32],
        key: Array,
        drawn: tuple[NDArray[Any], ...],
    ) -> tuple[Any, Array]:
        """Take one step with an `OptimizerState`, or with a `RowState` by rows; the state is given up."""
        parts: dict[str, Any] = {"network": self._network, "loss": self._loss}
        if self._row_updates is None:
            new, value = _step(state, batch, scales, key, drawn, self._items, **parts, optimizer=self._optimizer)
        else:
            rows, batch, drawn = number_rows(batch, drawn, capacity=self._row_capacity, n_items=self._n_items)
            parts["row_updates"] = self._row_updates
            new, value = _row_step(state, batch, scales, key, drawn, self._items, **parts, rows=rows)
        return new, value


def train(
    trainer: Trainer,
    begin: Mapping[str, FloatArray],
    steps: TrainingSteps,
    *,
    epochs: int,
    evaluate: Evaluate,
    metric: str,
    stopping: StoppingRule,
    progress: EpochProgress,
    checkpoints: EpochCheckpoints,
) -> BestEpoch:
    """Run epochs until the rule stops them, and return the best one.

    Args:
        trainer: Of the network.
        begin: Parameters before the first step.
        steps: What to learn.
        epochs: At most; where they are divided, their parts are what is counted, measured and kept from here on.
        evaluate: Measures the average of the parameters after each epoch.
        metric: Name of the value in reports.
        stopping: Made for this fit.
        progress: Receives a report at the beginning, within and at the end of every epoch.
        checkpoints: What epochs of earlier attempts left is gone on from, with the same outcome.
    """
    state = checkpoints.load(jax.eval_shape(trainer.begin, begin)) or FitState(trainer.begin(begin), None, 0, ())
    for record in state.epochs:
        stopping.observe(record.value)
    optimizer, best, best_epoch, records = state
    del state  # what it holds is given up by the first step

    parts = steps.count_parts()
    while optimizer is not None:
        number = len(records) + 1
        progress.start(number)
        progress.report(0.0)
        if number == 1 and parts > 1:
            progress.report(0.0, doing="validation")
            value, details = evaluate(to_numpy(optimizer.average))
            progress.report(0.0, metrics={**details, metric: value})
        learnt = steps.part(number, parts=parts, seed=trainer.seed)
        optimizer, loss = trainer.epoch(optimizer, learnt, number=number, progress=progress, schedule=LinearSchedule())
        parameters = to_numpy(optimizer.average)
        progress.report(1.0, doing="validation")
        value, details = evaluate(parameters)
        decision = stopping.observe(value)
        records = (*records, EpochRecord(loss, value, details))
        if best is None or decision.is_best:
            best, best_epoch = parameters, number
        progress.report(1.0, metrics={**details, "training_loss": loss, metric: value})
        if decision.stop or number == epochs * parts:
            optimizer = None
        checkpoints.save_if_due(FitState(optimizer, best, best_epoch, records))
    if best is None:
        raise ValueError(f"`epochs`: got {epochs}, want at least 1")
    chosen = records[best_epoch - 1]
    return BestEpoch(best, best_epoch, chosen.training_loss, chosen.value, chosen.details)


def to_numpy(parameters: Parameters) -> dict[str, FloatArray]:
    """Copy parameters to NumPy: the arrays of JAX are donated to the next step."""
    return {name: np.array(value) for name, value in parameters.items()}


@partial(jax.jit, static_argnames="optimizer")
def _begin(parameters: Parameters, *, optimizer: Optimizer) -> OptimizerState:
    """Copy the parameters, which the first step will give up, and make the optimiser's state of them.

    In one compiled function: by itself each array would be copied, and its moments be made, by functions of its shape.
    """
    return optimizer.begin({name: jnp.array(value) for name, value in parameters.items()})


@partial(jax.jit, static_argnames="row_updates", donate_argnums=0)
def _finish_rows(full: OptimizerState, others: tuple[Array, Array], *, row_updates: RowUpdates) -> OptimizerState:
    """Bring all rows of an epoch up to date; what it gives up, the first part of a `RowState`, is what it returns."""
    return row_updates.finish(RowState(full, *others))


@partial(jax.jit, static_argnames=("network", "loss", "row_updates"), donate_argnums=0)
def _row_step(
    state: RowState,
    batch: Batch,
    scales: tuple[Array, Array],
    key: Array,
    drawn: tuple[Array, ...],
    items: ItemFeatures | None,
    *,
    rows: Array,
    network: Network,
    loss: Loss,
    row_updates: RowUpdates,
) -> tuple[RowState, Array]:
    """Take one step on some rows of the item tables, int32 [K]; `batch` and `drawn` name items by their place in it."""
    read = row_updates.read(state, rows)
    items = None if items is None else items.take(rows)
    read, value = _step(
        read, batch, scales, key, drawn, items, network=network, loss=loss, optimizer=row_updates.optimizer
    )
    return row_updates.write(state, rows, read), value


@partial(jax.jit, static_argnames=("network", "loss", "optimizer"), donate_argnums=0)
def _step(
    state: OptimizerState,
    batch: Batch,
    scales: tuple[Array, Array],
    key: Array,
    drawn: tuple[Array, ...],
    items: ItemFeatures | None,
    *,
    network: Network,
    loss: Loss,
    optimizer: Optimizer,
) -> tuple[OptimizerState, Array]:
    """Take one step of the optimiser; compiled once for each shape of a batch.

    Args:
        state: Given up.
        batch: To be learnt.
        scales: What the summed loss is multiplied by, and the learning rate.
        key: Of dropout.
        drawn: What the loss drew for this step.
        items: Features of items.
        network: To be learnt.
        loss: To be minimised.
        optimizer: How gradients change parameters.
    """
    read, event_types, gaps, positions, weights, context, user_features = (jnp.asarray(part) for part in batch)
    if items is not None:
        weights = items.target_weights(weights, read)
    steps = Steps(read[:, :-1], event_types[:, :-1], gaps[:, :-1], positions)

    def scaled_loss(learnt: Parameters) -> Array:
        values = network_parameters(learnt, items)
        hidden = network.states(values, steps, key=key)  # [B, T, d]
        if context.shape[-1]:
            hidden = hidden + _kept(hidden, key, _CONTEXT) * _sums(values["context"], context)
        if user_features.shape[-1]:
            of_users = _user_vectors(values, user_features, positions)
            hidden = hidden + _kept(hidden, key, _USER_FEATURES) * of_users
        biases = values["item_biases"] if items is None else items.loss_biases(values["item_biases"])
        return scales[0] * loss(hidden, values["item_embeddings"], biases, read, weights, drawn)

    value, gradients = jax.value_and_grad(scaled_loss)(state.parameters)
    return optimizer.step(state, gradients, learning_rate=scales[1]), value


def _sums(vectors: Array, codes: Array) -> Array:
    """Add up the vectors of codes, int32 [..., columns], of which 0 adds nothing: float32 [..., d]."""
    return (vectors[codes] * (codes > 0)[..., None]).sum(axis=-2)


def _user_vectors(values: Mapping[str, Any], codes: Array, positions: Array) -> Array:
    """Return what users' columns, int32 [B, T, k], add at each position, int32 [B, T]: float32 [B, T, d]."""
    gates = values["people_gates"][gate_buckets(np.arange(positions.shape[1]))]  # [T]
    added: Array = gates[positions][..., None] * _sums(values["people"], codes)
    return added


def _kept(hidden: Array, key: Array, purpose: int) -> Array:
    """Draw which targets are learnt with what is known of them: 1 or 0, float32 [B, T, 1]."""
    without = jax.random.bernoulli(jax.random.fold_in(key, purpose), _WITHOUT, hidden.shape[:2])
    return jnp.where(without, 0.0, 1.0)[..., None]
