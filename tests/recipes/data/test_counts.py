"""Counts of users, of what follows what, and their percentiles."""

import numpy as np
import pytest

from recipes.data.counts import users_per_item, within_percentiles
from tests.recipes.data.test_sparse import dense, successors
from tests.recipes.suite import make_data


def test_closer_pairs_weigh_more():
    counts = dense(successors([[0, 1, 2]], n_items=4, window=2))
    assert counts.tolist() == [[0, 1, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_pairs_beyond_the_window_and_of_two_users_do_not_count():
    counts = dense(successors([[0, 1, 2], [3, 0]], n_items=4, window=1))
    assert counts.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_pairs_without_an_item_of_interest_do_not_count():
    involving = np.array([False, False, False, True])
    counts = dense(successors([[0, 1, 2], [3, 0], [1, 3, 2]], n_items=4, window=1, involving=involving))
    assert counts.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]]


def test_counts_of_one_pair_are_summed():
    assert dense(successors([[0, 1], [0, 1, 0, 1]], n_items=2, window=1)).tolist() == [[0, 3], [1, 0]]


def test_the_weight_of_a_distance_can_be_chosen():
    assert dense(successors([[0, 1, 2]], n_items=3, window=2, weight=lambda gap: 10.0 * gap))[0].tolist() == [
        0,
        10,
        20,
    ]


def test_histories_without_pairs_give_an_empty_matrix():
    counts = successors([[0], [1]], n_items=3, window=5)
    assert (counts.offsets.tolist(), len(counts.columns)) == ([0, 0, 0, 0], 0)


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
