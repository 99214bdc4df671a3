"""Sequence rules give what can be worked out by hand, and find what was planted."""

import numpy as np
import pytest

from recipes.components.sequential_rules import SequentialRulesBaseline
from recipes.data.histories import Histories
from recipes.evaluation.rank_metrics import hit_rate
from recipes.evaluation.ranking import target_ranks
from recipes.evaluation.splits import hold_out_last
from tests.recipes.suite import N_ITEMS, NOISE_ITEMS, make_data, noise, ring_walks


def score(rules, history):
    histories = Histories.of_items(np.array([0, len(history)]), np.array(history, np.int32))
    return rules.scores(histories)(slice(0, 1))[0]


def test_a_rule_is_a_count_over_the_root_of_both_popularities():
    rules = SequentialRulesBaseline.fit(make_data([[0, 1], [0, 1], [0, 2]], n_items=3))
    assert score(rules, [0]) == pytest.approx([0, 2 / np.sqrt(3 * 2), 1 / np.sqrt(3 * 1)])


def test_older_items_of_the_history_count_less():
    rules = SequentialRulesBaseline.fit(make_data([[0, 1], [2, 3]], n_items=4))
    assert score(rules, [2, 0]) == pytest.approx([0, 1, 0, 1 / 2])


def test_only_the_newest_items_are_applied():
    rules = SequentialRulesBaseline.fit(make_data([[0, 1], [2, 3]], n_items=4), window=1)
    assert score(rules, [2, 0]) == pytest.approx([0, 1, 0, 0])


def test_unknown_items_and_empty_histories_score_nothing():
    rules = SequentialRulesBaseline.fit(make_data([[0, 1]], n_items=2))
    assert score(rules, []).tolist() == [0, 0]
    assert score(rules, [0, -1, 2]) == pytest.approx([0, 1])


def hit_rate_at(split, limit, n_items):
    scores = SequentialRulesBaseline.fit(split.training).scores(split.histories)
    ranks = target_ranks(
        scores, n_items=n_items, histories=split.histories, targets=split.relevant.items, exclude_seen=True
    )
    return hit_rate(ranks, limit)


def test_what_was_planted_is_found():
    assert hit_rate_at(hold_out_last(ring_walks()), 1, N_ITEMS) == 1.0


def test_nothing_is_found_in_noise():
    assert hit_rate_at(hold_out_last(noise()), 10, NOISE_ITEMS) <= 0.2
