"""Steps on a few rows of the item tables are Adam's, and leave the other rows as they are."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.components.item_features import ItemFeatures
from recipes.training.batching import Batch
from recipes.training.optimizer import AveragedAdam, OptimizerState
from recipes.training.row_updates import TABLES, number_rows

ITEMS, WIDTH, CAPACITY, STEPS = 300, 4, 40, 60
RATE = jnp.float32(0.01)


def initial(random):
    tables = {"item_embeddings": (ITEMS, WIDTH), "item_biases": (ITEMS,), "start": (WIDTH,)}
    return {name: jnp.asarray(random.standard_normal(shape), jnp.float32) for name, shape in tables.items()}


def padded(rows):
    return jnp.asarray(np.concatenate([rows, np.full(CAPACITY - len(rows), ITEMS)]), jnp.int32)


def gradients_of(random, rows):
    """Draw gradients of some rows: once for full tables, once for the rows alone."""
    full = {
        "item_embeddings": np.zeros((ITEMS + 1, WIDTH), np.float32),
        "item_biases": np.zeros(ITEMS + 1, np.float32),
    }
    for table in full.values():
        table[rows] = 0.3 + random.standard_normal((len(rows), *table.shape[1:]))
    rest = {"start": random.standard_normal(WIDTH).astype(np.float32)}
    of_rows = {name: table[padded(rows)] for name, table in full.items()}
    return {name: table[:-1] for name, table in full.items()} | rest, of_rows | rest


@partial(jax.jit, static_argnames="optimizer")
def rested(before, after, rows, *, optimizer):
    """Put back what a step on all rows has made of those that it has no gradients for; their average goes on."""
    resting = jnp.ones(ITEMS, bool).at[rows].set(False, mode="drop")
    kept = optimizer.kept_share(after.moments.count)

    def put_back(new, old):
        rests = {name: resting.reshape(-1, *[1] * (new[name].ndim - 1)) for name in TABLES}
        return new | {name: jnp.where(rests[name], old[name], new[name]) for name in TABLES}

    parameters = put_back(after.parameters, before.parameters)
    average = {name: kept * before.average[name] + (1 - kept) * value for name, value in parameters.items()}
    first, second = put_back(after.moments.mu, before.moments.mu), put_back(after.moments.nu, before.moments.nu)
    return OptimizerState(parameters, average, after.moments._replace(mu=first, nu=second))


@pytest.fixture(scope="module")
def states():
    """Return the beginning, and what steps on all rows, others put back, and steps on a few rows made of it."""
    random, optimizer = np.random.default_rng(0), AveragedAdam()
    updates, begin = optimizer.row_updates(), initial(random)
    dense, by_rows = (optimizer.begin(jax.tree.map(jnp.array, begin)) for _ in range(2))
    step = jax.jit(optimizer.step)
    read, write = jax.jit(updates.read), jax.jit(updates.write)
    for _ in range(2):  # two epochs
        learning = updates.begin(by_rows)
        for _ in range(STEPS):
            rows = np.sort(random.choice(ITEMS, random.integers(10, CAPACITY), replace=False))
            of_all, of_rows = gradients_of(random, rows)
            dense = rested(dense, step(dense, of_all, learning_rate=RATE), padded(rows), optimizer=optimizer)
            learning = write(learning, padded(rows), step(read(learning, padded(rows)), of_rows, learning_rate=RATE))
        by_rows = updates.finish(learning)
    return begin, dense, by_rows


@pytest.mark.parametrize("name", ["item_embeddings", "item_biases"])
@pytest.mark.parametrize("part", ["parameters", "average"])
def test_rows_that_a_step_does_not_read_rest_and_the_others_take_the_steps_of_adam(states, name, part):
    begin, dense, by_rows = states
    expected, actual = (getattr(state, part)[name] for state in (dense, by_rows))
    assert float(jnp.abs(expected - begin[name]).mean()) > 0.02
    np.testing.assert_allclose(actual, expected, atol=2e-4)


def test_other_parameters_and_the_number_of_steps_are_the_same(states):
    _, dense, by_rows = states
    np.testing.assert_allclose(dense.parameters["start"], by_rows.parameters["start"], rtol=1e-5)
    assert int(by_rows.moments.count) == int(dense.moments.count) == 2 * STEPS


def test_items_of_a_step_are_numbered_by_their_rows():
    empty = np.zeros((2, 2), np.int32)
    mass = np.ones((2, 2), np.float32)
    batch = Batch(np.array([[7, 3], [3, 90]], np.int32), empty, empty, empty, mass, empty, empty)
    drawn = (np.array([3, 8], np.int32), np.array([0.5, 0.25], np.float32))

    rows, numbered, (sampled, logarithms) = number_rows(batch, drawn, capacity=6, n_items=100)

    assert rows.tolist() == [3, 7, 8, 90, 100, 100]
    assert rows[numbered.items].tolist() == batch.items.tolist()
    assert rows[sampled].tolist() == [3, 8]
    assert logarithms.tolist() == [0.5, 0.25]


def test_features_of_rows_beyond_the_last_item_are_none():
    features = ItemFeatures(jnp.arange(6.0).reshape(3, 2), jnp.array([0.0, 1.0, 0.0]))
    taken = features.take(jnp.array([1, 2, 3]))
    assert taken.features.tolist() == [[2.0, 3.0], [4.0, 5.0], [0.0, 0.0]]
    assert taken.cold.tolist() == [1.0, 0.0, 0.0]
