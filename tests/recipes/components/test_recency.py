"""What is popular now is counted by age, and features of it are those worked out by hand."""

import numpy as np
import pytest

from recipes.components.recency import popularity_features, share_newer
from recipes.data.histories import Histories
from recipes.training.early_stopping import hold_out


def histories(items, times):
    plain = Histories.of_items(np.array([0, len(items)]), np.array(items, np.int32))
    return Histories(plain.offsets, plain.items, plain.event_types, np.array(times, np.int64))


def test_rows_of_one_time_are_newer_than_the_same_share():
    assert share_newer(np.array([5, 1, 5, 9])).tolist() == [0.25, 0.75, 0.25, 0.0]


def test_the_first_feature_is_the_share_of_all_uses():
    features = popularity_features(histories([0, 0, 0, 1], [1, 2, 3, 4]), np.array([3.0, 1.0]))
    assert features[0] == pytest.approx(np.log([3.5 / 5, 1.5 / 5]))


def test_what_is_used_lately_rises_and_what_is_not_sinks():
    features = popularity_features(histories([0] * 50 + [1] * 50, range(100)), np.array([50.0, 50.0]))
    assert (features[1:, 1] > 0).all()
    assert (features[1:, 0] < 0).all()
    assert features[3, 1] > features[1, 1]  # the shorter the half-life, the more


def test_a_share_of_recent_uses_is_worked_out_by_hand():
    features = popularity_features(histories([0, 1], [1, 2]), np.array([1.0, 1.0]))
    old = 0.5 ** (0.5 / 0.2)
    share = old / (1 + old)
    assert features[1] == pytest.approx(np.log([(share + 0.125) / (0.5 + 0.125), (1 - share + 0.125) / (0.5 + 0.125)]))


def test_without_times_nothing_rises():
    features = popularity_features(histories([0, 0, 1], [0, 0, 0]), np.array([2.0, 1.0]))
    assert not features[1:].any()


def test_half_of_the_held_out_users_are_the_newest():
    users = 40
    data = Histories.of_items(np.arange(users + 1) * 2, np.zeros(2 * users, np.int32))
    timed = Histories(data.offsets, data.items, data.event_types, np.repeat(np.arange(users), 2))
    validation, _ = hold_out(timed, count=10, seed=3)
    newest = validation.histories.times[validation.histories.offsets[:-1]]
    assert set(range(35, 40)) <= set(newest.tolist())
    assert len(set(newest.tolist())) == 10
    assert newest.min() < 30
