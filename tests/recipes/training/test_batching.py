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


def test_windows_lie_one_after_another_in_rows_and_are_runs_of_one_history():
    lengths = np.random.default_rng(0).integers(1, 50, 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    histories = Histories.of_items(offsets, np.arange(offsets[-1]))
    batches = epoch_batches(
        histories, np.ones(offsets[-1], np.float32), shapes=[(3, 20)], random=np.random.default_rng(0)
    )
    places = 0
    for batch in batches:
        goes_on = batch.positions > 0
        assert not goes_on[:, 0].any()
        assert (np.diff(batch.items, axis=1)[goes_on[:, 1:]] == 1).all()
        assert (np.diff(batch.positions, axis=1)[goes_on[:, 1:]] == 1).all()
        owners = np.searchsorted(offsets, batch.items, side="right")
        assert (np.diff(owners, axis=1)[goes_on[:, 1:]] == 0).all()
        assert (batch.weights[goes_on] == 1).all()
        places += batch.items.size
    # Every row but those of the last batch is nearly full.
    assert places < 1.1 * offsets[-1] + 60


def test_batches_carry_what_was_done_and_the_time_since_the_step_before():
    histories = Histories(
        np.array([0, 2, 5]), np.arange(5, dtype=np.int32), np.arange(5, dtype=np.uint8), np.array([9, 10, 0, 4, 5])
    )
    (batch,) = epoch_batches(histories, np.ones(5, np.float32), shapes=[(1, 6)], random=np.random.default_rng(0))
    assert batch.items.tolist() == [[2, 3, 4, 0, 1, 0]]  # the longest first
    assert batch.event_types.tolist() == [[2, 3, 4, 0, 1, 0]]
    assert batch.gaps.tolist() == [[0, 3, 1, 0, 1, 0]]
    assert batch.positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    assert batch.weights.tolist() == [[1, 1, 1, 1, 1, 0]]


def test_batches_carry_the_context_of_steps_and_the_columns_of_their_users():
    histories = Histories.of_items(np.array([0, 2, 5]), np.arange(5))
    side = SideFeatures(np.arange(10, dtype=np.int32).reshape(5, 2), np.array([[7], [8]], np.int32))
    weights = np.ones(5, np.float32)
    (batch,) = epoch_batches(histories, weights, shapes=[(1, 6)], random=np.random.default_rng(0), side=side)
    assert batch.user_features.tolist() == [[[8], [8], [8], [7], [7], [0]]]
    assert batch.context.tolist() == [[[4, 5], [6, 7], [8, 9], [0, 1], [2, 3], [0, 0]]]


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [([30] * 9, [(4, 30)]), ([5] * 95 + [30] * 5, [(15, 8), (4, 30)]), ([16] * 95 + [30] * 5, [(4, 30)])],
)
def test_windows_that_are_much_shorter_than_the_longest_have_rows_for_themselves(lengths, shapes):
    assert batch_shapes(np.array(lengths), longest=30, batch_tokens=120) == shapes


@pytest.mark.parametrize(("users", "rows"), [(1, 8), (128 * 20, 20), (128 * 100, 48)])
def test_batches_are_small_for_little_data_and_never_above_the_bound(users, rows):
    shapes = choose_shapes(np.full(users, 11), max_length=10, batch_size=None, max_rows=48)
    assert shapes == [(rows, 11)]


def test_a_configured_batch_size_holds_for_all_data():
    assert choose_shapes(np.full(9, 11), max_length=10, batch_size=5, max_rows=48) == [(5, 11)]
