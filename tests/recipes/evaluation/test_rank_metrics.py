"""Hit rate and gain of one target for each user."""

import math

import numpy as np
import pytest

from recipes.evaluation.rank_metrics import hit_rate, ndcg


def test_hit_rate_and_gain_of_one_target():
    ranks = np.array([1, 2, 10, 11])
    assert hit_rate(ranks, 10) == pytest.approx(3 / 4)
    assert ndcg(ranks, 10) == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(11)) / 4)


def test_targets_count_by_their_weights():
    ranks, weights = np.array([1, 3, 50]), np.array([2, 1, 1], np.float32)
    assert hit_rate(ranks, 10, weights=weights) == pytest.approx(3 / 4)
    assert ndcg(ranks, 10, weights=weights) == pytest.approx((2 + 0.5) / 4)
