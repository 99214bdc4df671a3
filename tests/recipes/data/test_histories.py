"""Histories and interactions, cut and reordered."""

import numpy as np
import pytest

from recipes.data.histories import Histories, History
from recipes.data.training_data import Interactions, TrainingData


@pytest.fixture
def histories():
    """Return three users' steps; actions and times follow from the item."""
    items = np.array([7, 8, 9, 1, 2], np.int32)
    return Histories(np.array([0, 3, 3, 5]), items, items.astype(np.uint8), 10 * items.astype(np.int64))


def as_lists(histories):
    return [history.items.tolist() for history in each(histories)]


def each(histories):
    return [histories.of(user) for user in range(len(histories))]


def assert_steps_match(histories):
    """Check that each step has its own event type and time."""
    assert histories.event_types.tolist() == histories.items.tolist()
    assert histories.times.tolist() == [10 * item for item in histories.items.tolist()]
    assert (histories.event_types.dtype, histories.times.dtype) == (np.uint8, np.int64)


def test_every_user_owns_a_run(histories):
    assert as_lists(histories) == [[7, 8, 9], [], [1, 2]]
    assert histories.lengths().tolist() == [3, 0, 2]


@pytest.mark.parametrize(
    ("users", "expected"), [([2, 0], [[1, 2], [7, 8, 9]]), ([1], [[]]), ([], []), ([0, 0], [[7, 8, 9]] * 2)]
)
def test_users_are_taken_in_the_given_order(histories, users, expected):
    selected = histories.take(np.array(users, int))
    assert as_lists(selected) == expected
    assert_steps_match(selected)


@pytest.mark.parametrize(("limit", "expected"), [(2, [[8, 9], [], [1, 2]]), (1, [[9], [], [2]]), (0, [[], [], []])])
def test_the_newest_items_are_kept(histories, limit, expected):
    selected = histories.newest(limit)
    assert as_lists(selected) == expected
    assert_steps_match(selected)


def test_beginnings_are_kept_of_any_user_any_number_of_times(histories):
    selected = histories.before(np.array([0, 2, 0]), np.array([2, 0, 1]))
    assert as_lists(selected) == [[7, 8], [], [7]]
    assert_steps_match(selected)


def test_steps_are_kept_by_a_mask(histories):
    selected = histories.where(np.array([True, False, True, False, False]))
    assert as_lists(selected) == [[7, 9], [], []]
    assert_steps_match(selected)


def test_single_histories_are_put_together_again(histories):
    selected = Histories.gather(each(histories))
    assert as_lists(selected) == as_lists(histories)
    assert_steps_match(selected)
    assert len(Histories.gather([])) == 0


def test_owners_are_the_users_of_the_steps(histories):
    assert histories.owners().tolist() == [0, 0, 0, 2, 2]


def test_one_history_is_cut_to_the_newest_and_to_known_items():
    items = np.array([3, -1, 9, 4], np.int32)
    history = History(items, np.array([1, 2, 3, 4], np.uint8), np.array([10, 20, 30, 40]))
    newest, inside = history.newest(2), history.in_catalogue(9)
    assert (newest.items.tolist(), newest.event_types.tolist(), newest.times.tolist()) == ([9, 4], [3, 4], [30, 40])
    assert (inside.items.tolist(), inside.event_types.tolist(), inside.times.tolist()) == ([3, 4], [1, 4], [10, 40])
    assert len(history.newest(0)) == 0


def test_interactions_are_sorted_by_user_and_time_and_stay_in_order_within_a_moment():
    rows = Interactions.sort(
        np.array([1, 0, 1, 0, 1]),
        item=np.array([10, 11, 12, 13, 14]),
        timestamp=np.array([5, 9, 5, 3, 1]),
        event_type=np.array([1, 2, 3, 4, 5]),
    )
    assert rows.user.tolist() == [0, 0, 1, 1, 1]
    assert rows.item.tolist() == [13, 11, 14, 10, 12]
    assert rows.timestamp.tolist() == [3, 9, 1, 5, 5]
    assert rows.event_type.tolist() == [4, 2, 5, 1, 3]
    columns = (rows.user, rows.item, rows.timestamp, rows.event_type)
    assert [column.dtype for column in columns] == [np.int32, np.int32, np.int64, np.uint8]


def test_users_without_interactions_have_an_empty_history():
    interactions = Interactions.sort(np.array([2, 0]), item=np.array([5, 6]), timestamp=np.array([1, 1]))
    assert as_lists(TrainingData(interactions, n_users=4, n_items=9).histories()) == [[6], [], [5], []]


def test_rows_are_kept_by_a_mask():
    interactions = Interactions.sort(np.array([0, 0]), item=np.array([5, 6]), timestamp=np.array([1, 2]))
    assert interactions.where(np.array([False, True])).item.tolist() == [6]


def test_a_part_of_the_data_keeps_users_items_and_event_types():
    interactions = Interactions.sort(
        np.array([0, 1]), item=np.array([5, 6]), timestamp=np.array([1, 2]), event_type=np.array([2, 1])
    )
    part = TrainingData(interactions, n_users=2, n_items=9, event_types=("view", "buy")).where(np.array([True, False]))
    assert (part.n_users, part.n_items, part.event_types) == (2, 9, ("view", "buy"))
    assert [history.event_types.tolist() for history in each(part.histories())] == [[2], []]
    assert [history.times.tolist() for history in each(part.histories())] == [[1], []]
