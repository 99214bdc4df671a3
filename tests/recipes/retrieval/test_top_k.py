"""The best of many scores are those that sorting all of them would give."""

import numpy as np
import pytest

from recipes.retrieval.top_k import top_k


def sorted_best(scores, limit):
    return np.argsort(-scores, kind="stable")[:limit]


@pytest.mark.parametrize("limit", [1, 25, 100, 500])
@pytest.mark.parametrize("size", [1, 24, 25, 399, 400, 401, 10_007])
@pytest.mark.parametrize("decimals", [0, 5], ids=["many ties", "few ties"])
def test_best_are_what_sorting_gives(size, limit, decimals):
    scores = np.random.default_rng(size + limit).standard_normal(size).round(decimals).astype(np.float32)

    items = top_k(scores, limit)

    assert items.dtype == np.int32
    assert items.tolist() == sorted_best(scores, limit).tolist()


def test_best_of_scores_in_order_and_of_equal_ones():
    rising, equal = np.arange(5000, dtype=np.float32), np.zeros(5000, np.float32)

    assert top_k(rising, 3).tolist() == [4999, 4998, 4997]
    assert top_k(rising[::-1], 3).tolist() == [0, 1, 2]
    assert top_k(equal, 3).tolist() == [0, 1, 2]


def test_minus_infinity_comes_last():
    scores = np.full(1000, -np.inf, np.float32)
    scores[700] = 0.0

    assert top_k(scores, 2).tolist() == [700, 0]


@pytest.mark.parametrize("limit", [0, -1])
def test_nothing_wanted_is_nothing_found(limit):
    assert len(top_k(np.ones(10, np.float32), limit)) == 0
