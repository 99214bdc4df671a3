"""Epochs are cut into windows of which every interaction is a target once, packed into batches of few shapes."""

import numpy as np
import pytest

from recipes.data.histories import Histories
from recipes.training.batching import SideFeatures, batch_shapes, choose_shapes, epoch_batches


@pytest.mark.parametrize("longest", [2, 16, 17, 101])
def test_every_interaction_is_a_target_once(longest):
    random = np.random.default_rng(longest)
    lengths = random.integers(0, 250, 60)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    histories = Histories.of_items(offsets, np.arange(offsets[-1]))
    shapes = batch_shapes(lengths, longest=longest, batch_tokens=8 * longest)

    batches = epoch_batches(histories, np.ones(offsets[-1], np.float32), shapes=shapes, random=random)

    targets = np.concatenate([batch.items[batch.weights > 0] for batch in batches])
    assert len(np.unique(targets)) == len(targets)
    # Left out are only beginnings of windows within a history, where the start token does not stand for its beginning.
    cuts = len(histories.items) - len(targets)
    assert 0 <= cuts <= (lengths // longest + 1).sum()
    assert np.isin(offsets[:-1][lengths > 0], targets).all()
    assert {batch.items.shape for batch in batches} <= set(shapes)


def test_rows_of_a_batch_are_runs_of_one_history():
    histories = Histories.of_items(np.array([0, 40, 43]), np.arange(43))
    shapes = batch_shapes(histories.lengths(), longest=20, batch_tokens=60)
    batches = epoch_batches(histories, np.ones(43, np.float32), shapes=shapes, random=np.random.default_rng(0))
    weighted = [pair for batch in batches for pair in zip(batch.items, batch.weights, strict=True) if pair[1].any()]
    rows = [row[: np.flatnonzero(mass)[-1] + 1] for row, mass in weighted]
    assert all((np.diff(row) == 1).all() and (row[0] >= 40) == (row[-1] >= 40) for row in rows)


def test_batches_carry_what_was_done_and_the_time_since_the_step_before():
    histories = Histories(
        np.array([0, 2, 5]), np.arange(5, dtype=np.int32), np.arange(5, dtype=np.uint8), np.array([9, 10, 0, 4, 5])
    )
    (batch,) = epoch_batches(histories, np.ones(5, np.float32), shapes=[(2, 4)], random=np.random.default_rng(0))
    rows = np.argsort(batch.items[:, 0])
    assert batch.items[rows].tolist() == [[0, 1, 0, 0], [2, 3, 4, 0]]
    assert batch.event_types[rows].tolist() == [[0, 1, 0, 0], [2, 3, 4, 0]]
    assert batch.gaps[rows, :3].tolist() == [[0, 1, 0], [0, 3, 1]]


def test_batches_carry_the_context_of_steps_and_the_columns_of_their_users():
    histories = Histories.of_items(np.array([0, 2, 5]), np.arange(5))
    side = SideFeatures(np.arange(10, dtype=np.int32).reshape(5, 2), np.array([[7], [8]], np.int32))
    weights = np.ones(5, np.float32)
    (batch,) = epoch_batches(histories, weights, shapes=[(2, 4)], random=np.random.default_rng(0), side=side)
    rows = np.argsort(batch.items[:, 0])
    assert batch.user_features[rows].tolist() == [[7], [8]]
    assert batch.context[rows[0]].tolist() == [[0, 1], [2, 3], [0, 0], [0, 0]]
    assert batch.context[rows[1]].tolist() == [[4, 5], [6, 7], [8, 9], [0, 0]]


@pytest.mark.parametrize(("users", "rows"), [(1, 8), (64 * 20, 20), (64 * 100, 48)])
def test_batches_are_small_for_little_data_and_never_above_the_bound(users, rows):
    shapes = choose_shapes(np.full(users, 11), max_length=10, batch_size=None, max_rows=48)
    assert shapes == [(rows, 11)]


def test_a_configured_batch_size_holds_for_all_data():
    assert choose_shapes(np.full(9, 11), max_length=10, batch_size=5, max_rows=48) == [(5, 11)]
