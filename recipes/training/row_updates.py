"""Steps that read and write only the rows of the item tables that they need, and leave the others as they are.

Where the loss samples items of a large catalogue, a step has gradients for few rows. A step of the usual Adam would
move the others too, by what is left of earlier gradients: in all by up to seven times the learning rate for one
gradient, whatever its size, so that rows which are seldom needed would never settle (docs/adr/0052), and its cost would
be that of the catalogue. Here rows and their moments rest until they are needed again, as in PyTorch's SparseAdam. Only
the average of a row goes on moving towards where the row is, which has a closed form: `RowUpdates.read` applies it when
a row is needed next, and `RowUpdates.finish` to all rows at the end of an epoch.

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
        full: All rows, whose averages are as they were when the rows were read last.
        log_kept: float32 [], sum of the logarithms of the shares that the average kept of itself since the epoch began.
        row_log_kept: float32 [V], the same when a row was read last.
    """

    full: OptimizerState
    log_kept: Array
    row_log_kept: Array


@dataclass(frozen=True, slots=True)
class RowUpdates:
    """Takes the steps of `AveragedAdam` for some rows.

    Attributes:
        optimizer: Whose steps these are.
    """

    optimizer: AveragedAdam

    def begin(self, state: OptimizerState) -> RowState:
        """Make the state of an epoch; `state` is given up."""
        return RowState(state, jnp.zeros(()), jnp.zeros(len(state.parameters["item_biases"])))

    def read(self, state: RowState, rows: Array) -> OptimizerState:
        """Return the rows of the tables as they are after all steps so far, and all other parameters.

        Args:
            state: Is not given up.
            rows: int32 [K], ascending; V for none.
        """
        rows_of_tables = _map_tables(state.full, lambda values: _take(values, rows))
        return _with_averages(rows_of_tables, state.log_kept - _take(state.row_log_kept, rows))

    def write(self, state: RowState, rows: Array, read: OptimizerState) -> RowState:
        """Return the state after a step, which left the rows that `read` gave as they are now; `state` is given up."""
        log_kept = state.log_kept + jnp.log(self.optimizer.kept_share(read.moments.count))
        full = _map_tables(read, lambda values, table: _put(table, rows, values), state.full)
        return RowState(full, log_kept, _put(state.row_log_kept, rows, jnp.full(rows.shape, log_kept)))

    def finish(self, state: RowState) -> OptimizerState:
        """Return all rows as they are after all steps; `state` is given up."""
        return _with_averages(state.full, state.log_kept - state.row_log_kept)


def _with_averages(state: OptimizerState, log_kept: Array) -> OptimizerState:
    """Let the averages of rows move on through steps that left the rows as they were.

    Args:
        state: Of K rows.
        log_kept: float32 [K], sum of the logarithms of the shares that the average kept of itself in these steps.
    """
    average = dict(state.average)
    for name in TABLES:
        kept = jnp.expand_dims(jnp.exp(log_kept), tuple(range(1, average[name].ndim)))
        average[name] = kept * average[name] + (1.0 - kept) * state.parameters[name]
    return state._replace(average=average)


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
