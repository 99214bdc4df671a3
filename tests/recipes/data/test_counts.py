"""Counts of users, of what follows what, and their percentiles."""

import numpy as np
import pytest

from recipes.data.counts import (
    StepsOfItems,
    cooccurrence_directions,
    strongest_followers,
    total_cooccurrence,
    users_per_item,
    within_percentiles,
)
from recipes.data.histories import Histories
from tests.recipes.suite import NOISE_ITEMS, make_data, noise


def dense(matrix):
    n_items = len(matrix)
    values = np.zeros((n_items, n_items), np.float32)
    values[matrix.rows(), matrix.columns] = matrix.values
    return values


def successors(
    histories, *, n_items, window, weights=None, backward=0.0, leader_scale=None, follower_scale=None, kept=1000
):
    ones = np.ones(n_items, np.float32)
    return strongest_followers(
        StepsOfItems.of(histories, n_items=n_items, window=window),
        weights=weights,
        backward=backward,
        leader_scale=ones if leader_scale is None else leader_scale,
        follower_scale=ones if follower_scale is None else follower_scale,
        kept=kept,
    )


def counted(sequences, **options):
    return dense(successors(make_data(sequences, options["n_items"]).histories(), **options))


def pair_by_pair(histories, *, n_items, window, weights):
    """Count what follows what as it is defined."""
    counts = np.zeros((n_items, n_items))
    for begin, end in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        for first in range(begin, end):
            for second in range(first + 1, min(end, first + window + 1)):
                counts[histories.items[first], histories.items[second]] += weights[second] / (second - first)
    return counts


def test_closer_pairs_weigh_more():
    counts = counted([[0, 1, 2]], n_items=4, window=2)
    assert counts.tolist() == [[0, 1, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_pairs_beyond_the_window_and_of_two_users_do_not_count():
    counts = counted([[0, 1, 2], [3, 0]], n_items=4, window=1)
    assert counts.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_counts_of_one_pair_are_summed():
    assert counted([[0, 1], [0, 1, 0, 1]], n_items=2, window=1).tolist() == [[0, 3], [1, 0]]


def test_histories_without_pairs_give_an_empty_matrix():
    counts = successors(make_data([[0], [1]], 3).histories(), n_items=3, window=5)
    assert (counts.offsets.tolist(), len(counts.columns)) == ([0, 0, 0, 0], 0)


@pytest.mark.parametrize("kept", [NOISE_ITEMS, 7])
def test_followers_are_counted_both_ways_scaled_and_cut_to_the_strongest(kept):
    histories, random = noise().histories(), np.random.default_rng(3)
    weights = random.integers(0, 4, len(histories.items)).astype(np.float32)
    leader_scale, follower_scale = (random.integers(1, 3, NOISE_ITEMS).astype(np.float32) for _ in range(2))

    matrix = successors(
        histories,
        n_items=NOISE_ITEMS,
        window=5,
        weights=weights,
        backward=0.25,
        leader_scale=leader_scale,
        follower_scale=follower_scale,
        kept=kept,
    )

    counts = pair_by_pair(histories, n_items=NOISE_ITEMS, window=5, weights=weights)
    expected = ((counts + 0.25 * counts.T) * np.outer(leader_scale, follower_scale)).astype(np.float32)
    # Of equally strong ones those of lower index; float32 makes equal what was added in another order.
    ranks = np.argsort(np.argsort(-expected, axis=1, kind="stable"), axis=1)
    np.testing.assert_allclose(dense(matrix), np.where(ranks < kept, expected, 0.0), rtol=1e-6)
    assert (matrix.values > 0).all()
    assert all((np.diff(matrix.columns[matrix.span(row)]) > 0).all() for row in range(NOISE_ITEMS))


def test_directions_are_the_eigenvectors_of_what_occurs_together():
    histories = noise().histories()
    ones = np.ones(len(histories.items), np.float32)
    counts = pair_by_pair(histories, n_items=NOISE_ITEMS, window=5, weights=ones)
    cooccurrence = counts + counts.T
    total = total_cooccurrence(histories, n_items=NOISE_ITEMS, window=5)
    scale = (1.0 / np.sqrt(total + 1.0)).astype(np.float32)
    options = {"n_items": NOISE_ITEMS, "window": 5, "scale": scale, "seed": 1}

    every = cooccurrence_directions(histories, count=2 * NOISE_ITEMS, **options)
    first, again = (cooccurrence_directions(histories, count=4, **options) for _ in range(2))

    np.testing.assert_allclose(total, cooccurrence.sum(axis=1), rtol=1e-5)
    values, vectors = np.linalg.eigh(cooccurrence * np.outer(scale, scale))
    assert every.shape == (NOISE_ITEMS, NOISE_ITEMS)
    expected = (vectors * np.abs(values)) @ vectors.T
    np.testing.assert_allclose(every @ every.T, expected, atol=1e-4)
    assert first.tobytes() == again.tobytes()
    assert np.linalg.norm(first[:, 0]) ** 2 == pytest.approx(np.abs(values).max(), rel=1e-3)


def test_counts_of_an_item_that_everybody_uses_are_complete():
    # Sums of float32 are rounded at every step, and end at 2 ** 24.
    users, length = 2000, 100
    offsets = np.arange(0, users * length + 1, length, dtype=np.int64)
    histories = Histories.of_items(offsets, np.zeros(users * length, np.int32))

    total = total_cooccurrence(histories, n_items=1, window=3)

    of_one = 2.0 * ((length - 1) + (length - 2) / 2 + (length - 3) / 3)
    np.testing.assert_allclose(total, [users * of_one], rtol=1e-9)


def test_a_long_history_is_multiplied_like_a_short_one():
    length, n_items, window = 9000, 7, 5
    items = (np.arange(length) ** 2 % n_items).astype(np.int32)
    histories = Histories.of_items(np.array([0, length], np.int64), items)
    counts = pair_by_pair(histories, n_items=n_items, window=window, weights=np.ones(length, np.float32))

    every = cooccurrence_directions(
        histories, n_items=n_items, window=window, scale=np.full(n_items, 0.01, np.float32), count=n_items, seed=1
    )

    values, vectors = np.linalg.eigh((counts + counts.T) * 0.01**2)
    np.testing.assert_allclose(every @ every.T, (vectors * np.abs(values)) @ vectors.T, rtol=1e-4, atol=1e-4)


def test_users_of_an_item_are_different_ones():
    assert users_per_item(make_data([[0, 0, 1], [0, 2], [0]], n_items=4)).tolist() == [3, 1, 1, 0]


@pytest.mark.parametrize(
    ("low", "high", "kept"),
    [(0.0, 1.0, [1, 2, 3, 4]), (0.3, 1.0, [1, 2, 3, 4]), (0.5, 1.0, [2, 3, 4]), (0.0, 0.5, [1, 2, 3])],
)
def test_counts_outside_of_two_percentiles_are_left_out_and_those_between_are_kept(low, high, kept):
    counts = np.array([0, 1, 2, 3, 4])
    assert np.flatnonzero(within_percentiles(counts, low=low, high=high)).tolist() == kept


def test_where_nothing_is_used_nothing_is_kept():
    assert not within_percentiles(np.zeros(3, np.int64), low=0.0, high=1.0).any()
