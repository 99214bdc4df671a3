"""Steps that read and write only the rows of the item tables that they need.

A step of Adam changes every row of a table, as earlier gradients go on moving it, so its cost is that of the catalogue.
Where the loss samples items, a step has gradients for few rows. What the others would have done meanwhile has a closed
form, which `RowUpdates.read` applies when a row is needed next, and `RowUpdates.finish` to all rows at the end of an
epoch. So the result is that of dense steps up to rounding and what `RowUpdates` names; lazy variants of Adam that leave
the rows as they are (as in TensorFlow Addons) learn something else.

Shapes: K rows of one step, V items, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from recipes.data.histories import ItemIndexes
from recipes.training.batching import Batch
from recipes.training.network import Parameters

if TYPE_CHECKING:
    from recipes.training.optimizer import AveragedAdam, OptimizerState

__all__ = ["TABLES", "RowState", "RowUpdates", "number_rows"]

#: Parameters with one row for each item.
TABLES: Final = frozenset({"item_embeddings", "item_biases"})


class RowState(NamedTuple):
    """The state within an epoch.

    Attributes:
        full: All rows, each as it was after the step `updated`.
        updated: int32 [V], the last step that a row has done, counted from 1; 0 before the first.
        log_kept: float32 [], sum of the logarithms of the shares that the average kept of itself since the epoch began.
        row_log_kept: float32 [V], the same at the step `updated`.
    """

    full: OptimizerState
    updated: Array
    log_kept: Array
    row_log_kept: Array


@dataclass(frozen=True, slots=True)
class RowUpdates:
    """Does for some rows what `AveragedAdam` does for all.

    Approximated, besides rounding: in steps that a row skips, the correction of the moments' bias stays that of its
    last step, the step size is that of the step that reads it next, and the average moves towards where the row ends.

    Attributes:
        optimizer: Whose steps these are.
    """

    optimizer: AveragedAdam

    def begin(self, state: OptimizerState) -> RowState:
        """Make the state of an epoch; `state` is given up."""
        count = len(state.parameters["item_biases"])
        return RowState(state, jnp.full(count, state.moments.count), jnp.zeros(()), jnp.zeros(count))

    def read(self, state: RowState, rows: Array, learning_rate: Array) -> OptimizerState:
        """Return the rows of the tables as they are after all steps so far, and all other parameters.

        Args:
            state: Is not given up.
            rows: int32 [K], ascending; V for none.
            learning_rate: float32 [].
        """
        rows_of_tables = _map_tables(state.full, lambda values: _take(values, rows))
        updated, log_kept = _take(state.updated, rows), _take(state.row_log_kept, rows)
        return self._catch_up(rows_of_tables, updated, state.log_kept - log_kept, learning_rate)

    def write(self, state: RowState, rows: Array, read: OptimizerState) -> RowState:
        """Return the state after a step, which left the rows that `read` gave as they are now; `state` is given up."""
        count = read.moments.count
        log_kept = state.log_kept + jnp.log(self.optimizer.kept_share(count))
        full = _map_tables(read, lambda values, table: _put(table, rows, values), state.full)
        return RowState(
            full,
            _put(state.updated, rows, jnp.full(rows.shape, count)),
            log_kept,
            _put(state.row_log_kept, rows, jnp.full(rows.shape, log_kept)),
        )

    def finish(self, state: RowState, learning_rate: Array) -> OptimizerState:
        """Return all rows as they are after all steps; `state` is given up."""
        return self._catch_up(state.full, state.updated, state.log_kept - state.row_log_kept, learning_rate)

    def _catch_up(self, state: OptimizerState, updated: Array, log_kept: Array, learning_rate: Array) -> OptimizerState:
        """Do the steps that rows have skipped: those since `updated`, int32 [K], by which the average kept `log_kept`.

        After k steps without a gradient Adam's moments are b1^k m and b2^k v, so what a row moves by falls like
        (b1 / sqrt(b2))^k, and all k steps together move it by a geometric series.
        """
        decay, square_decay = self.optimizer.first_moment_decay, self.optimizer.second_moment_decay
        skipped = (state.moments.count - updated).astype(jnp.float32)
        ratio = decay / square_decay**0.5
        series = ratio * (1.0 - ratio**skipped) / (1.0 - ratio)
        done = jnp.maximum(updated, 1).astype(jnp.float32)
        # Of the moments' bias, as in Adam; then the learning rate and the series.
        scale = learning_rate * series / (1.0 - decay**done)
        square_scale = 1.0 / (1.0 - square_decay**done)
        kept = jnp.exp(log_kept)
        parameters, average = dict(state.parameters), dict(state.average)
        first, second = dict(state.moments.mu), dict(state.moments.nu)
        for name in TABLES:
            by_rows = _aligned(parameters[name])
            size = jnp.sqrt(second[name] * by_rows(square_scale)) + self.optimizer.epsilon
            parameters[name] = parameters[name] - by_rows(scale) * first[name] / size
            average[name] = by_rows(kept) * average[name] + (1.0 - by_rows(kept)) * parameters[name]
            first[name] = by_rows(decay**skipped) * first[name]
            second[name] = by_rows(square_decay**skipped) * second[name]
        return state._replace(
            parameters=parameters, average=average, moments=state.moments._replace(mu=first, nu=second)
        )


def number_rows(
    batch: Batch, drawn: tuple[NDArray[Any], ...], *, capacity: int, n_items: int
) -> tuple[NDArray[np.int32], Batch, tuple[NDArray[Any], ...]]:
    """Find the rows that a step needs, and number its items by them.

    Args:
        batch: Of the step.
        drawn: What the loss drew; the first array holds items.
        capacity: K, at least as many as there can be.
        n_items: V.

    Returns:
        int32 [K], ascending, filled up with V; and batch and draw with places in it instead of items.
    """
    sampled, *others = drawn
    needed: ItemIndexes = np.concatenate([batch.items.reshape(-1), sampled])
    rows = np.unique(needed)
    places = rows.searchsorted(needed).astype(np.int32)
    padded = np.full(capacity, n_items, np.int32)
    padded[: len(rows)] = rows
    of_batch, of_sample = np.split(places, [batch.items.size])
    return padded, batch._replace(items=of_batch.reshape(batch.items.shape)), (of_sample, *others)


def _map_tables(state: OptimizerState, update: Any, *others: OptimizerState) -> OptimizerState:
    """Change the tables of a state, and leave its other parameters as they are."""

    def of_tables(parameters: Parameters, *more: Parameters) -> Parameters:
        return {
            name: update(value, *(part[name] for part in more)) if name in TABLES else value
            for name, value in parameters.items()
        }

    moments = state.moments._replace(
        mu=of_tables(state.moments.mu, *(part.moments.mu for part in others)),
        nu=of_tables(state.moments.nu, *(part.moments.nu for part in others)),
    )
    return state._replace(
        parameters=of_tables(state.parameters, *(part.parameters for part in others)),
        average=of_tables(state.average, *(part.average for part in others)),
        moments=moments,
    )


def _take(values: Array, rows: Array) -> Array:
    return values.at[rows].get(mode="fill", fill_value=0)


def _put(values: Array, rows: Array, new: Array) -> Array:
    # Sorted, and without repeats but for the padding, which is dropped: so it is done in place.
    return values.at[rows].set(new, mode="drop", indices_are_sorted=True)


def _aligned(table: Array) -> Any:
    """Return what brings float32 [K] to the number of axes of a table [K, ...]."""
    return lambda values: jnp.expand_dims(values, tuple(range(1, table.ndim)))
