"""Histories and interactions, cut and reordered."""

import numpy as np
import pytest

from recipes.interface import Histories, Interactions, TrainingData


@pytest.fixture
def histories():
    return Histories(np.array([0, 3, 3, 5]), np.array([7, 8, 9, 1, 2], np.int32))


def as_lists(histories):
    return [histories.of(user).tolist() for user in range(len(histories))]


def test_every_user_owns_a_run(histories):
    assert as_lists(histories) == [[7, 8, 9], [], [1, 2]]
    assert histories.lengths().tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    ("users", "expected"), [([2, 0], [[1, 2], [7, 8, 9]]), ([1], [[]]), ([], []), ([0, 0], [[7, 8, 9]] * 2)]
)
def test_users_are_taken_in_the_given_order(histories, users, expected):
    assert as_lists(histories.take(np.array(users, int))) == expected


@pytest.mark.parametrize(("limit", "expected"), [(2, [[8, 9], [], [1, 2]]), (1, [[9], [], [2]]), (0, [[], [], []])])
def test_the_newest_items_are_kept(histories, limit, expected):
    assert as_lists(histories.newest(limit)) == expected


def test_interactions_are_sorted_by_user_and_time_and_stay_in_order_within_a_moment():
    found = Interactions.sort(
        np.array([1, 0, 1, 0, 1]), item=np.array([10, 11, 12, 13, 14]), timestamp=np.array([5, 9, 5, 3, 1])
    )
    assert found.user.tolist() == [0, 0, 1, 1, 1]
    assert found.item.tolist() == [13, 11, 14, 10, 12]
    assert found.timestamp.tolist() == [3, 9, 1, 5, 5]
    assert (found.user.dtype, found.item.dtype, found.timestamp.dtype) == (np.int32, np.int32, np.int64)


def test_users_without_interactions_have_an_empty_history():
    interactions = Interactions.sort(np.array([2, 0]), item=np.array([5, 6]), timestamp=np.array([1, 1]))
    assert as_lists(TrainingData(interactions, n_users=4, n_items=9).histories()) == [[6], [], [5], []]


def test_rows_are_kept_by_a_mask():
    interactions = Interactions.sort(np.array([0, 0]), item=np.array([5, 6]), timestamp=np.array([1, 2]))
    assert interactions.where(np.array([False, True])).item.tolist() == [6]
