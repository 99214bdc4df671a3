"""Of items with deltas none is left out that belongs among the best, however close."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.retrieval.reaching import best_of_both, lowered_among, reaching_deltas

N_ITEMS = 60


def best(items, scores, depth):
    """Return the best items, equal ones in their order."""
    return items[np.lexsort((items, -scores))][:depth].tolist()


@given(
    seed=st.integers(0, 2**32),
    n_nearest=st.integers(1, N_ITEMS),
    depth=st.integers(1, 40),
    finest=st.sampled_from([1, 8]),
)
def test_the_best_are_those_of_scoring_everything(seed, n_nearest, depth, finest):
    random = np.random.default_rng(seed)
    # Few different numbers, so that many scores are equal.
    products = (random.integers(-4 * finest, 4 * finest, N_ITEMS) / finest).astype(np.float32)
    items = random.choice(N_ITEMS, random.integers(0, N_ITEMS), replace=False).astype(np.int32)
    values = (random.integers(0, 3 * finest, len(items)) / finest).astype(np.float32)
    order = np.argsort(-products, kind="stable").astype(np.int32)
    nearest, bound = order[:n_nearest], products[order[n_nearest:]].max(initial=-np.inf)

    added, others, other_values = reaching_deltas(nearest, products[nearest], items, values, float(bound), depth)

    scores = products.copy()
    scores[items] += values
    scored = np.concatenate([nearest, others])
    np.testing.assert_array_equal(products[scored] + np.concatenate([added, other_values]), scores[scored])
    assert len(np.unique(scored)) == len(scored)
    # What has no delta and was not found belongs to the search, which finds as many more as are lowered.
    with_deltas = np.union1d(nearest, items).astype(np.int32)
    assert best(scored, scores[scored], depth) == best(with_deltas, scores[with_deltas], depth)

    chosen, changes = best_of_both(nearest, products[nearest], added, others, products[others], other_values, depth)
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(products[chosen] + changes, scores[chosen])
    last = np.sort(scores[scored])[::-1][:depth][-1]
    assert sorted(chosen) == sorted(scored[scores[scored] >= last])


def test_what_cannot_reach_the_best_is_left_out():
    nearest, products = np.array([5, 3], np.int32), np.array([2.0, 1.0], np.float32)
    items, values = np.array([7, 3, 9], np.int32), np.array([0.5, -0.25, 1.5], np.float32)

    added, others, other_values = reaching_deltas(nearest, products, items, values, 0.125, 2)

    assert (added.tolist(), others.tolist(), other_values.tolist()) == ([0.0, -0.25], [9], [1.5])


@pytest.mark.parametrize(("bound", "depth"), [(math.inf, 2), (0.125, 3)], ids=["no bound", "too few were found"])
def test_where_nothing_is_known_nothing_is_left_out(bound, depth):
    nearest, products = np.array([5, 3], np.int32), np.array([2.0, 1.0], np.float32)
    items, values = np.array([7, 9], np.int32), np.array([-0.5, 0.5], np.float32)

    assert reaching_deltas(nearest, products, items, values, bound, depth)[1].tolist() == [7, 9]


def test_items_that_are_lowered_count_where_they_push_others_out():
    items, values = np.array([7, 3, 9, 5], np.int32), np.array([-0.5, 1.0, -1.5, 0.0], np.float32)
    nearest, products = np.array([9, 3, 7, 5, 1], np.int32), np.array([5.0, 4.0, 3.0, 2.0, 1.0], np.float32)

    # The first of the others is 3, the second 5.
    assert [lowered_among(nearest, products, items, values, limit) for limit in (1, 2, 3, 9)] == [1, 2, 2, 2]
    assert lowered_among(nearest, products, items[:0], values[:0], 1) == 0
    assert lowered_among(nearest[:0], products[:0], items, values, 1) == 0
