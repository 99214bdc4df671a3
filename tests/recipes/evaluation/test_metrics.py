"""Metrics give what can be worked out by hand, Personalize's own example included."""

import math

import numpy as np
import pytest

from recipes.data.histories import Histories
from recipes.evaluation.metrics import personalize_metrics, published

KEYS = {
    "coverage",
    "mean_reciprocal_rank_at_25",
    *(f"normalized_discounted_cumulative_gain_at_{cut}" for cut in (5, 10, 25)),
    *(f"precision_at_{cut}" for cut in (5, 10, 25)),
}


def relevant(*users):
    offsets = np.cumsum([0, *(len(items) for items in users)])
    return Histories.of_items(offsets, np.array([item for items in users for item in items], np.int32))


def measure(lists, *users, n_items=100):
    return personalize_metrics(np.array(lists, np.int32), relevant=relevant(*users), n_items=n_items)


def test_exactly_the_eight_keys_of_item_recipes():
    assert set(measure([list(range(25))], [0])) == KEYS


def test_the_documented_example_of_gain():
    # Five recommendations, of which the second and the fifth are relevant.
    metrics = measure([[10, 11, 12, 13, 14]], [11, 14])
    expected = (1 / math.log(3) + 1 / math.log(6)) / (1 / math.log(2) + 1 / math.log(3))
    assert metrics["normalized_discounted_cumulative_gain_at_5"] == pytest.approx(expected)
    assert round(expected, 4) == 0.6241


def test_gain_is_divided_by_the_hits_that_were_made():
    metrics = measure([list(range(25))], [0, 50, 51, 52])
    assert metrics["normalized_discounted_cumulative_gain_at_25"] == pytest.approx(1.0)


def test_gain_counts_hits_within_the_cut_only():
    metrics = measure([list(range(25))], [0, 5])
    assert metrics["normalized_discounted_cumulative_gain_at_5"] == pytest.approx(1.0)
    ten = (1 + 1 / math.log2(7)) / (1 + 1 / math.log2(3))
    assert metrics["normalized_discounted_cumulative_gain_at_10"] == pytest.approx(ten)


def test_precision_divides_by_the_length_of_the_list_always():
    metrics = measure([list(range(25))], [0, 1, 7, 20])
    assert [metrics[f"precision_at_{cut}"] for cut in (5, 10, 25)] == pytest.approx([2 / 5, 3 / 10, 4 / 25])


def test_a_catalogue_smaller_than_the_list_still_divides_by_the_cut():
    assert measure([[0, 1, 2]], [0], n_items=3)["precision_at_25"] == pytest.approx(1 / 25)


def test_reciprocal_rank_is_of_the_first_hit_and_nothing_without():
    lists = [list(range(25)), list(range(25)), list(range(25))]
    metrics = measure(lists, [3, 4], [24], [99])
    assert metrics["mean_reciprocal_rank_at_25"] == pytest.approx((1 / 4 + 1 / 25 + 0) / 3)


def test_users_without_hits_count_as_nothing():
    metrics = measure([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]], [0], [9])
    assert metrics["normalized_discounted_cumulative_gain_at_5"] == pytest.approx(0.5)


def test_coverage_is_the_share_of_the_catalogue_that_anybody_is_shown():
    assert measure([[0, 1], [1, 2]], [0], [0], n_items=12)["coverage"] == pytest.approx(3 / 12)


def test_an_item_that_is_relevant_twice_counts_once():
    assert measure([[0, 1, 2, 3, 4]], [0, 0])["precision_at_5"] == pytest.approx(1 / 5)


def test_values_are_shown_with_four_decimals():
    assert published({"coverage": 1 / 3}) == {"coverage": 0.3333}


WEIGHED = "normalized_discounted_cumulative_gain_with_event_weights_at_"


def weighed(lists, *users, weights):
    """Measure with hidden interactions given as (item, action)."""
    plain = relevant(*([item for item, _ in user] for user in users))
    actions = np.array([action for user in users for _, action in user], np.uint8)
    hidden = Histories(plain.offsets, plain.items, actions, plain.times)
    return personalize_metrics(
        np.array(lists, np.int32), relevant=hidden, n_items=100, event_weights=np.array(weights, np.float32)
    )


def test_with_weights_a_hit_is_worth_what_its_event_weighs():
    # A click first and a purchase second; the purchase first would have been best.
    metrics = weighed([[10, 11, 12, 13, 14]], [(10, 2), (11, 1)], weights=[1.0, 1.5, 0.5])
    expected = (0.5 + 1.5 / math.log2(3)) / (1.5 + 0.5 / math.log2(3))
    assert [metrics[f"{WEIGHED}{cut}"] for cut in (5, 10, 25)] == pytest.approx([expected] * 3)
    assert metrics["normalized_discounted_cumulative_gain_at_5"] == pytest.approx(1.0)


def test_an_item_is_worth_its_best_hidden_event_and_a_miss_nothing():
    metrics = weighed([[10, 11]], [(11, 2), (11, 1), (11, 2)], weights=[1.0, 1.5, 0.5])
    assert metrics[f"{WEIGHED}5"] == pytest.approx(1 / math.log2(3) / 1.0)
    assert weighed([[10, 11]], [(50, 1)], weights=[1.0, 1.0])[f"{WEIGHED}25"] == 0.0


def test_equal_weights_give_the_plain_gain():
    metrics = weighed([list(range(25))], [(3, 1), (7, 2), (24, 1)], weights=[1.0, 1.0, 1.0])
    for cut in (5, 10, 25):
        assert metrics[f"{WEIGHED}{cut}"] == pytest.approx(metrics[f"normalized_discounted_cumulative_gain_at_{cut}"])
