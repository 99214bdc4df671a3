"""The best of many scores are those that sorting all of them would give."""

import numpy as np
import pytest

from recipes.retrieval.top_k import best_shares, reached_by, rounded, top_k


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


def softmax(scores):
    exponentials = np.exp(scores.astype(np.float64) - scores.max())
    return exponentials / exponentials.sum()


@pytest.mark.parametrize("size", [1, 30, 255, 256, 257, 10_007])
def test_shares_are_those_of_the_softmax_over_all_scores(size):
    scores = (5 * np.random.default_rng(size).standard_normal(size)).astype(np.float32)
    scores[size // 2 + 1 :: 5] = -np.inf

    places, best, shares, total = best_shares(scores, 25, size)

    assert places.tolist() == sorted_best(scores, 25).tolist()
    assert best[:25].tolist() == scores[places].tolist()
    assert sorted(best, reverse=True) == scores[sorted_best(scores, size)].tolist()
    assert (places.dtype, best.dtype, shares.dtype) == (np.int32, np.float32, np.float32)
    assert shares == pytest.approx(softmax(scores)[places], rel=1e-6)
    assert total == pytest.approx(np.exp(scores.astype(np.float64) - scores.max()).sum())


@pytest.mark.parametrize("limit", [10, 100, 300])
def test_shares_are_over_so_many_of_the_best_however_many_are_wanted(limit):
    scores = np.random.default_rng(5).standard_normal(1000).astype(np.float32)
    order = sorted_best(scores, 1000)

    places, best, shares, total = best_shares(scores, limit, 100)

    assert places.tolist() == order[:limit].tolist()
    assert best[:limit].tolist() == scores[order[:limit]].tolist()
    assert sorted(best, reverse=True) == scores[order[: max(limit, 100)]].tolist()
    exponentials = np.exp(scores[order].astype(np.float64) - scores.max())
    assert total == pytest.approx(exponentials[:100].sum())
    assert shares == pytest.approx(exponentials[:limit] / exponentials[:100].sum(), rel=1e-6)


@pytest.mark.parametrize("limit", [1, 25, 99])
def test_of_equal_scores_those_that_come_first_are_the_best(limit):
    scores = np.random.default_rng(limit).integers(0, 3, 2000).astype(np.float32)

    places, best, _, _ = best_shares(scores, limit, 100)

    assert places.tolist() == sorted_best(scores, limit).tolist()
    assert sorted(best, reverse=True) == scores[sorted_best(scores, 100)].tolist()


def test_shares_are_the_same_bits_in_whichever_order_the_scores_are_and_however_many_are_wanted():
    scores = np.random.default_rng(6).standard_normal(300).astype(np.float32)
    totals = {
        best_shares(np.random.default_rng(seed).permutation(scores), limit, 100)[3]
        for seed in range(20)
        for limit in (1, 25, 100, 250)
    }
    assert len(totals) == 1


def test_shares_of_scores_that_lie_far_apart():
    scores = np.array([0.0, -1.0, -30.0, -86.0, -88.0, -200.0, -np.inf], np.float32)

    shares = best_shares(scores, 7, 7)[2]

    assert shares == pytest.approx([*softmax(scores)[:4], 0.0, 0.0, 0.0], rel=1e-5)


@pytest.mark.parametrize("shared", [0, 100])
def test_nothing_has_no_shares(shared):
    places, best, shares, total = best_shares(np.empty(0, np.float32), 5, shared)
    assert (len(places), len(best), len(shares), total) == (0, 0, 0, 1.0)


def test_numbers_are_rounded_as_numpy_rounds_them():
    values = np.random.default_rng(3).random(5000).astype(np.float32) / 10
    values[:3] = np.nan, 0.0, 1.0

    decimals = rounded(values)

    assert decimals.dtype == np.float64
    assert np.array_equal(decimals, values.astype(np.float64).round(7), equal_nan=True)


@pytest.mark.parametrize("scale", [1.0, 0.0, -1e-40, 1e30])
def test_a_value_that_so_many_reach_is_that_of_sorting(scale):
    values = (scale * np.random.default_rng(4).standard_normal(777)).astype(np.float32)
    values[::9] = -np.inf
    values[1::50] = values[1]

    for count in (1, 2, 100, 690, 777):
        assert reached_by(values, count) == np.sort(values)[::-1][count - 1]
