"""iALS gives the vectors of least loss, and tells groups of users apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recipes.data.histories import Histories
from recipes.models.ials.als import Factors, factorise, newest_uses, solve


def uses_of(*rows, n_items):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return newest_uses(Histories.of_items(offsets, np.concatenate(rows)), n_items=n_items)


def test_rows_keep_the_newest_use_of_each_item():
    uses = uses_of([3, 1, 3, 2], [0], n_items=4)
    assert uses.columns.tolist() == [1, 3, 2, 0]
    assert uses.values.tolist() == [1.0] * 4
    assert uses.transposed(4).columns.tolist() == [1, 0, 0, 0]
    assert uses.transposed(4).offsets.tolist() == [0, 1, 2, 3, 4]


def test_vectors_of_users_are_the_ones_with_the_least_loss():
    random = np.random.default_rng(1)
    items = random.standard_normal((6, 3)).astype(np.float32)
    weights, regularization = np.array([1.0, 0.5], np.float32), 0.2
    uses = replace(uses_of([4, 2], n_items=6), values=weights)
    (solved,) = solve(uses, items, regularization=regularization)

    def loss(vector):
        products = items @ vector
        used = weights @ (1 - products[[4, 2]]) ** 2
        return used + 0.1 * products @ products + regularization * (1.5 + 0.1 * 6) * vector @ vector

    worse = [loss(solved + step) for step in random.standard_normal((50, 3)) * 0.05]
    assert loss(solved) < min(worse)


def test_weights_of_one_are_what_a_binary_matrix_has():
    items = np.random.default_rng(3).standard_normal((6, 3)).astype(np.float32)
    uses = uses_of([4, 2], [], [0, 1, 5], n_items=6)
    binary, weighed = (solve(uses, items, regularization=0.1, binary=binary) for binary in (True, False))
    np.testing.assert_allclose(binary, weighed, rtol=1e-5)
    assert not binary[1].any()


def test_factors_tell_two_groups_apart():
    uses = uses_of(*([0, 1, 2], [1, 2, 0]) * 5, *([3, 4, 5], [5, 3, 4]) * 5, n_items=6)
    factors = factorise(uses, Factors.random(20, 6, width=4, regularization=0.01, seed=2), sweeps=5)
    products = factors.users @ factors.items.T
    assert products[0, :3].min() > 0.7
    assert abs(products[0, 3:]).max() < 0.2
