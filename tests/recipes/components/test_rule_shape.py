"""The shape of rules is found out from what held-out users did next."""

import numpy as np
import pytest

from recipes.components.sequential_rules import RuleShape, SequentialRules, learn_shape
from recipes.components.sequential_rules.rules import PLACES
from recipes.data.histories import Histories, History


def gather(sequences):
    return Histories.gather([History.of_items(one) for one in sequences])


def strength(rules, history, item):
    items, strengths = rules.strengths(History.of_items(history), weights=np.ones(PLACES, np.float32))
    return float(strengths[items == item].sum())


def test_rules_lead_back_as_far_as_their_shape_says():
    seen = gather([[0, 1]])
    along, both = (SequentialRules.count(seen, n_items=2, shape=RuleShape(backward=share)) for share in (0.0, 0.25))
    assert (strength(along, [1], 0), strength(both, [1], 0)) == (0.0, 0.25)
    assert strength(along, [0], 1) == strength(both, [0], 1) == 1.0


def test_the_followers_popularity_is_divided_out_by_its_power():
    seen = gather([[0, 1], [1], [1], [1]])
    plain, divided = (SequentialRules.count(seen, n_items=2, shape=RuleShape(0.0, power)) for power in (0.0, 0.5))
    assert strength(plain, [0], 1) == 1.0
    assert strength(divided, [0], 1) == 0.5


def test_where_pairs_are_walked_in_both_directions_rules_lead_both_ways():
    # In training each pair was walked from the even item to the odd one, held-out users walk back.
    learnt = gather([[2 * pair, 2 * pair + 1] for pair in range(20)])
    shown = gather([[2 * pair + 1] for pair in range(20)])
    targets = np.arange(0, 40, 2, dtype=np.int32)
    assert learn_shape(learnt, shown=shown, targets=targets, n_items=40).backward > 0.0


@pytest.mark.parametrize(("target", "power"), [(2, 0.0), (1, 0.5)])
def test_followers_are_as_popular_as_what_comes_next(target, power):
    # Item 0 led once to item 1, which is seen nowhere else, and twice to item 2, which is seen four times more.
    learnt = gather([[0, 1], [0, 2], [0, 2], [2], [2], [2], [2]])
    shown, targets = gather([[0]] * 5), np.full(5, target, np.int32)
    assert learn_shape(learnt, shown=shown, targets=targets, n_items=3).follower_power == power


def test_steps_back_to_used_items_say_nothing_about_rules():
    learnt = gather([[0, 1], [1, 0]])
    shown, targets = gather([[0, 1]]), np.array([0], np.int32)
    assert learn_shape(learnt, shown=shown, targets=targets, n_items=2) == learn_shape(
        learnt, shown=gather([]), targets=np.empty(0, np.int32), n_items=2
    )
