"""Sequential rules give what can be worked out by hand, in the shape that held-out steps call for."""

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.components.sequential_rules import (
    _BACKWARD,
    _FOLLOWER_POWERS,
    PLACES,
    RuleShape,
    SequentialRules,
    SequentialRulesBaseline,
    _ranks_by_rules,
    learn_shape,
)
from recipes.data.counts import StepsOfItems
from recipes.data.histories import Histories, History
from recipes.data.sparse import SparseRows
from recipes.evaluation.rank_metrics import hit_rate
from recipes.evaluation.ranking import target_ranks
from recipes.evaluation.splits import hold_out_last
from tests.recipes.suite import N_ITEMS, NOISE_ITEMS, make_data, noise, ring_walks

#: Weights of the newest items, the newest first: 1, 1/2, 1/4 and so on.
HALVES = (0.5 ** np.arange(PLACES)).astype(np.float32)


def rules_of(*sequences, n_items, **options):
    return SequentialRules.count(
        Histories.gather([History.of_items(one) for one in sequences]), n_items=n_items, **options
    )


def matrix(rows, *, more=0):
    """Make rules of one dictionary of strengths per leader, and of more leaders without any."""
    offsets = np.cumsum([0, *(len(row) for row in rows), *[0] * more])
    columns = np.array([column for row in rows for column in sorted(row)], np.int32)
    values = np.array([row[column] for row in rows for column in sorted(row)], np.float32)
    return SequentialRules(SparseRows(offsets, columns, values))


def strengths(rules, *history):
    items, values = rules.strengths(History.of_items(history), weights=HALVES)
    assert (items.dtype, values.dtype) == (np.int32, np.float32)
    return dict(zip(items.tolist(), values.tolist(), strict=True))


#: Without more items sums stand in one array, with many more in a table; none of these has a rule.
either_way = pytest.mark.parametrize("more", [0, 50_000], ids=["in one array", "in a table"])


def test_a_rule_is_a_count_with_both_popularities_divided_out():
    # 0 is used three times, 1 twice and 2 once; 1 follows 0 twice, 2 once at distance 1 and once at distance 2.
    rules = rules_of([0, 1], [0, 1], [0, 2], n_items=4)
    assert strengths(rules, 0) == pytest.approx({1: 2 / 3**0.5 / 2**0.3, 2: 1 / 3**0.5})


def test_farther_followers_count_less_and_none_beyond_the_window():
    rules = rules_of(list(range(12)), n_items=12)
    assert strengths(rules, 0) == pytest.approx({item: 1 / item for item in range(1, 11)})


def test_only_the_strongest_followers_of_an_item_are_kept():
    assert strengths(rules_of([0, 1, 2, 3, 4], n_items=5, kept=2), 0) == pytest.approx({1: 1.0, 2: 1 / 2})


@either_way
def test_strengths_of_the_newest_items_are_added_up_by_their_weights(more):
    rules = matrix([{1: 2.0, 3: 4.0}, {0: 1.0, 3: 8.0}, {}, {}], more=more)
    assert strengths(rules, 0, 1) == {0: 1.0, 1: 1.0, 3: 10.0}
    assert strengths(rules, 1, 0) == {0: 0.5, 1: 2.0, 3: 8.0}
    assert strengths(rules, 0, 0) == {1: 3.0, 3: 6.0}


@either_way
def test_items_before_the_last_places_lead_nowhere(more):
    rules = matrix([{1: 1.0}, {}], more=more)
    assert strengths(rules, 0, *[1] * (PLACES - 1)) == {1: HALVES[-1]}
    assert strengths(rules, 0, *[1] * PLACES) == {}


@either_way
def test_nothing_leads_nowhere(more):
    assert strengths(matrix([{1: 1.0}, {}], more=more)) == {}
    assert strengths(matrix([{1: 1.0}, {}], more=more), 1) == {}


def test_saved_and_loaded_rules_are_the_same(tmp_path):
    rules = rules_of([0, 1, 2, 0], n_items=3)
    rules.save(tmp_path)
    assert strengths(SequentialRules.load(tmp_path, n_items=3), 0, 1) == strengths(rules, 0, 1)


def test_rules_of_another_catalogue_are_corrupt(tmp_path):
    rules_of([0, 1], n_items=3).save(tmp_path)
    with pytest.raises(CorruptArtifact, match=r"rule_offsets\.npy`: got shape \(4,\), want 5"):
        SequentialRules.load(tmp_path, n_items=4)


def test_rules_whose_places_fall_are_corrupt(tmp_path):
    rules = rules_of([0, 1], n_items=3)
    rules.save(tmp_path)
    offsets = rules.rules.offsets.copy()
    offsets[1] = offsets[-1] + 1
    np.save(tmp_path / "rule_offsets.npy", offsets)
    with pytest.raises(CorruptArtifact, match=r"rule_offsets\.npy`: got places that fall"):
        SequentialRules.load(tmp_path, n_items=3)


def test_missing_rules_are_corrupt(tmp_path):
    with pytest.raises(CorruptArtifact, match=r"rule_offsets\.npy"):
        SequentialRules.load(tmp_path, n_items=4)


def test_steps_count_as_followers_by_their_weights():
    plain = rules_of([0, 1], [0, 2], n_items=3)
    weighed = rules_of([0, 1], [0, 2], n_items=3, weights=np.array([1, 4, 1, 1], np.float32))

    assert strengths(plain, 0) == pytest.approx({1: 2**-0.5, 2: 2**-0.5})
    # Item 1 follows by 4; it is used 4 times as much, which is divided out to the power 0.3.
    assert strengths(weighed, 0) == pytest.approx({1: 4 * 2**-0.5 * 4**-0.3, 2: 2**-0.5})


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


def ranks_one_by_one(learnt, shown, targets, shape, weights):
    """Rank targets by rules that are counted whole, as they would be served."""
    rules = SequentialRules.count(learnt, n_items=NOISE_ITEMS, shape=shape, kept=NOISE_ITEMS, weights=weights)
    ranks = []
    for row, target in enumerate(targets):
        history = shown.of(row)
        items, sums = rules.strengths(history, weights=(1.0 / np.arange(1, PLACES + 1)).astype(np.float32))
        of_target = sums[items == target]
        ranks.append(int((sums[~np.isin(items, history.items)] >= of_target[0]).sum()) if len(of_target) else None)
    return ranks


def test_shapes_are_compared_by_the_ranks_that_their_rules_would_give():
    learnt = noise().histories()
    weights = np.random.default_rng(3).random(len(learnt.items)).astype(np.float32)
    rows = np.arange(0, len(learnt), 9)
    shown = learnt.before(rows, learnt.lengths()[rows] - 1)
    targets = learnt.items[learnt.offsets[rows + 1] - 1]
    steps = StepsOfItems.of(learnt, n_items=NOISE_ITEMS, window=10)
    popularity = np.maximum(np.bincount(learnt.items, weights=weights, minlength=NOISE_ITEMS), 1).astype(np.float32)

    ranks = _ranks_by_rules(steps, shown, targets, weights=weights, popularity=popularity)

    never = np.iinfo(np.int64).max
    for first, backward in enumerate(_BACKWARD):
        for second, power in enumerate(_FOLLOWER_POWERS):
            alone = ranks_one_by_one(learnt, shown, targets, RuleShape(backward, power), weights)
            assert [None if rank == never else rank for rank in ranks[first, second].tolist()] == alone


def test_steps_back_to_used_items_say_nothing_about_rules():
    learnt = gather([[0, 1], [1, 0]])
    shown, targets = gather([[0, 1]]), np.array([0], np.int32)
    assert learn_shape(learnt, shown=shown, targets=targets, n_items=2) == learn_shape(
        learnt, shown=gather([]), targets=np.empty(0, np.int32), n_items=2
    )


def score(rules, history):
    histories = Histories.of_items(np.array([0, len(history)]), np.array(history, np.int32))
    return rules.scores(histories)(slice(0, 1))[0]


def test_a_rule_of_the_baseline_is_a_count_over_the_root_of_both_popularities():
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


def test_the_baseline_finds_what_was_planted():
    assert hit_rate_at(hold_out_last(ring_walks()), 1, N_ITEMS) == 1.0


def test_the_baseline_finds_nothing_in_noise():
    assert hit_rate_at(hold_out_last(noise()), 10, NOISE_ITEMS) <= 0.2
