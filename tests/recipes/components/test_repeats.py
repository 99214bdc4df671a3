"""The repeat bias is the one under which what users did is most likely."""

import numpy as np
import pytest

from recipes.components.repeats import LIMIT, SeenItems, learn_repeat_bias
from recipes.data.histories import Histories

N_ITEMS = 10


def bias(repeated, *, users=200, weights=None):
    """Learn from users with one item each, under a model that finds all ten items equally likely."""
    histories = Histories.of_items(np.arange(users + 1), np.zeros(users, np.int32))
    targets = np.where(np.arange(users) < repeated, 0, 1).astype(np.int32)
    flat = np.zeros((N_ITEMS, 1), np.float32)
    queries = np.ones((users, 1), np.float32)
    seen = SeenItems.of(histories, n_items=N_ITEMS)
    return learn_repeat_bias(flat, queries, seen=seen, targets=targets, weights=weights)


def test_nothing_is_added_where_the_model_is_right():
    assert bias(20) == pytest.approx(0.0, abs=1e-6)  # a tenth of the users come back to one item of ten


def test_the_bias_makes_the_observed_share_likely():
    # One item against nine: a share of a half needs e^b = 9.
    assert bias(100) == pytest.approx(np.log(9), abs=1e-6)


def test_users_who_never_or_always_come_back_reach_the_limits():
    assert bias(0) == pytest.approx(-LIMIT)
    assert bias(200) == pytest.approx(LIMIT)


def test_users_without_history_say_nothing():
    empty = Histories.of_items(np.zeros(6, np.int64), np.empty(0, np.int32))
    vectors, queries = np.zeros((N_ITEMS, 1), np.float32), np.ones((5, 1), np.float32)
    seen = SeenItems.of(empty, n_items=N_ITEMS)
    assert learn_repeat_bias(vectors, queries, seen=seen, targets=np.zeros(5, np.int32)) == 0.0


def test_without_users_nothing_is_learnt():
    assert bias(0, users=0) == 0.0


def test_an_item_used_twice_counts_once():
    histories = Histories.of_items(np.arange(0, 402, 2), np.zeros(400, np.int32))
    targets = np.where(np.arange(200) < 20, 0, 1).astype(np.int32)
    flat, queries = np.zeros((N_ITEMS, 1), np.float32), np.ones((200, 1), np.float32)
    seen = SeenItems.of(histories, n_items=N_ITEMS)
    assert learn_repeat_bias(flat, queries, seen=seen, targets=targets) == pytest.approx(0.0, abs=1e-6)


def test_a_user_of_weight_three_counts_like_three():
    # 50 users of weight 3 come back, 150 of weight 1 do not: a share of a half.
    weights = np.where(np.arange(200) < 50, 3, 1).astype(np.float32)
    assert bias(50, weights=weights) == pytest.approx(np.log(9), abs=1e-6)
