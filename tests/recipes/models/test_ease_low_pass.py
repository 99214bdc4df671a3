"""The low-pass filter of Similar-Items: how many eigenvectors are kept, and what they add to which pairs."""

import numpy as np
import pytest

from recipes.data.histories import Histories, History
from recipes.models.ease.config import EASEConfig
from recipes.models.ease.fit import EASEFitter
from recipes.models.ease.low_pass import low_pass_weights
from tests.recipes.suite import make_data

#: What groups of users draw from: the first, second or third twenty of 60 items.
GROUP = np.arange(60) // 20
SAME = GROUP[:, None] == GROUP


def drawn(*, mixed):
    """300 users, each of whom draws 6 items of one of three groups, or with the probability `mixed` any others."""
    random = np.random.default_rng(7)
    users = []
    for user in range(300):
        items = user % 3 * 20 + random.permutation(20)[:6]
        users.append(np.where(random.random(6) < mixed, random.integers(0, 60, 6), items))
    return make_data(users, n_items=60)


def fit(data, **sizes):
    scorer = EASEFitter(EASEConfig(), seed=0, **sizes).fit(data)
    weights = np.zeros((data.n_items, data.n_items), np.float32)
    weights[scorer.neighbours.rows(), scorer.neighbours.columns] = scorer.neighbours.values
    return weights


def test_a_group_of_one_direction_is_added_at_pairs_that_users_share_and_favours_what_is_used_more():
    # Item 4 is used by nobody, and 3 and 5 by no one user.
    users = [[0, 1, 2, 5], [0, 1, 2, 3]] * 20
    weights = low_pass_weights(make_data(users, n_items=6).histories(), n_items=6)
    uses = np.array([40, 40, 40, 20, 0, 20])
    # The first direction is the roots of the uses, with the eigenvalue 1; what tells 3 from 5, with 0.5, is chance.
    expected = uses[:, None] ** 0.25 * uses**0.75 / uses.sum()
    expected[[3, 5], [5, 3]] = 0.0
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize("users", [[], [[0], [0], [1]], [[0, 1], [1, 2], [2, 0]]])
def test_where_nothing_is_more_than_chance_nothing_is_added(users):
    histories = Histories.gather([History.of_items(items) for items in users])
    np.testing.assert_array_equal(low_pass_weights(histories, n_items=4), np.zeros((4, 4)))


def test_items_of_a_group_come_nearer_in_catalogues_that_are_solved_exactly():
    data = drawn(mixed=0.3)
    added = fit(data) - fit(data, max_dense_items=10)
    assert added[SAME].mean() > 5 * abs(added[~SAME].mean())


def test_items_that_are_drawn_at_random_come_nearer_by_their_popularity_alone():
    data = drawn(mixed=1.0)
    weights, uses = low_pass_weights(data.histories(), n_items=60), np.bincount(data.interactions.item, minlength=60)
    by_popularity = uses[:, None] ** 0.25 * uses**0.75 / uses.sum()
    np.testing.assert_allclose(weights[weights != 0.0], by_popularity[weights != 0.0], rtol=0.3)
