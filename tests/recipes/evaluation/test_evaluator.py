"""What is measured beyond Personalize's keys: by hand, per user, with intervals, and beside a predecessor."""

import math

import numpy as np
import pytest

from recipes.data.columns import NO_TIME, Columns
from recipes.data.histories import Histories
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.bootstrap import difference_interval, interval
from recipes.evaluation.evaluator import Evaluator
from recipes.evaluation.items import ItemFacts, describe_items, new_items, popularity_strata
from recipes.evaluation.metrics import UserValues, find_hits, further_values, personalize_values
from recipes.evaluation.paired_tests import MIN_USERS, PRIMARY_METRIC, Pair, differences, verdict
from recipes.evaluation.splits import Split
from tests.recipes.suite import make_data

NO_ITEM = -1


def histories(*users):
    offsets = np.cumsum([0, *(len(items) for items in users)])
    return Histories.of_items(offsets, np.array([item for items in users for item in items], np.int32))


def facts(n_items=100, *, strata=None, new=()):
    kinds = np.zeros(n_items, np.int8) if strata is None else np.array(strata, np.int8)
    return ItemFacts(kinds, np.isin(np.arange(n_items), new))


def further(lists, *users, about=None):
    about = about or facts()
    lists = np.array(lists, np.int32)
    hits = find_hits(lists, relevant=histories(*users), strata=about.strata)
    return further_values(hits, recommended=lists, facts=about)


def one_metric(values):
    column = np.array(values, float)[:, None]
    return UserValues((PRIMARY_METRIC,), column, np.ones_like(column))


def test_standard_gain_is_divided_by_all_that_could_have_been_found():
    metrics = further([list(range(25))], [0, 50, 51]).named()
    expected = 1 / (1 + 1 / math.log2(3) + 1 / math.log2(4))
    assert metrics["standard_normalized_discounted_cumulative_gain_at_25"] == pytest.approx(expected)


def test_standard_gain_wants_no_more_hits_than_fit_into_the_list():
    metrics = further([list(range(25))], range(8)).named()
    assert metrics["standard_normalized_discounted_cumulative_gain_at_5"] == pytest.approx(1.0)


def test_a_further_hit_never_lowers_the_standard_gain_as_it_lowers_personalizes():
    # One hit at the top, then a second at place 20.
    lists = np.array([[0, *range(10, 34)], [0, *range(10, 28), 1, *range(28, 33)]], np.int32)
    hits = find_hits(lists, relevant=histories([0, 1], [0, 1]), strata=facts().strata)
    standard = dict(zip(*_columns(further_values(hits, recommended=lists, facts=facts())), strict=True))
    theirs = dict(zip(*_columns(personalize_values(hits)), strict=True))
    one, two = standard["standard_normalized_discounted_cumulative_gain_at_25"]
    assert one < two
    one, two = theirs["normalized_discounted_cumulative_gain_at_25"]
    assert one == pytest.approx(1.0)
    assert two < one


def test_recall_is_of_the_users_own_items():
    metrics = further([list(range(25)), list(range(25))], [0, 7, 50, 51], [3]).named()
    assert [metrics[f"recall_at_{cut}"] for cut in (5, 10, 25)] == pytest.approx(
        [(1 / 4 + 1) / 2, (2 / 4 + 1) / 2, (2 / 4 + 1) / 2]
    )


def test_recall_of_a_stratum_is_averaged_over_users_who_have_some_of_it():
    about = facts(6, strata=[0, 0, 1, 1, 2, 2])
    values = further([[0, 2, 4], [0, 2, 4]], [0, 1, 2], [2, 5], about=about)
    metrics = values.named()
    assert metrics["recall_at_25_of_head_items"] == pytest.approx(1 / 2)  # the first user alone
    assert metrics["recall_at_25_of_mid_items"] == pytest.approx(1.0)
    assert metrics["recall_at_25_of_tail_items"] == pytest.approx(0.0)  # the second user alone


def test_a_stratum_without_relevant_items_has_no_metric():
    assert "recall_at_25_of_tail_items" not in further([[0]], [0]).named()


def test_new_item_share_is_of_the_places_that_are_filled():
    metrics = further([[0, 1, 2, NO_ITEM], [3, 4, 5, 6]], [9], [9], about=facts(10, new=[1, 5, 9])).named()
    assert metrics["new_item_share"] == pytest.approx((1 / 3 + 1 / 4) / 2)


def test_no_item_is_no_hit_of_the_user_before():
    # -1 of the second user must not be taken for the last item of the first one's.
    metrics = further([[0], [NO_ITEM]], [9], [0], about=facts(10)).named()
    assert metrics["recall_at_25"] == 0.0


def test_strata_hold_a_third_of_the_interactions_each():
    assert popularity_strata(np.array([1, 6, 1, 3, 1, 3, 3, 0])).tolist() == [2, 0, 2, 1, 2, 1, 2, 2]


def test_without_any_interactions_everything_is_tail():
    assert popularity_strata(np.zeros(3, np.int64)).tolist() == [2, 2, 2]


def test_items_of_the_newest_tenth_of_the_interactions_are_new():
    times = np.arange(20)
    items = np.where(times < 18, times % 4, [*[0] * 18, 4, 1])
    data = TrainingData(Interactions.sort(np.zeros(20, int), item=items, timestamp=times), 1, 6)
    assert np.flatnonzero(new_items(data)).tolist() == [4]  # item 1 is old, item 5 was never seen


def test_a_creation_date_counts_more_than_the_first_use():
    times = np.arange(20)
    items = np.array([*[0] * 18, 1, 1])
    created = np.array([NO_TIME, 5, 19])
    data = TrainingData(
        Interactions.sort(np.zeros(20, int), item=items, timestamp=times), 1, 3, items=Columns(created=created)
    )
    assert np.flatnonzero(new_items(data)).tolist() == [2]


def test_without_times_nothing_is_new():
    data = make_data([[0, 1]], n_items=2)
    timeless = Interactions.sort(data.interactions.user, item=data.interactions.item, timestamp=np.zeros(2, int))
    assert not new_items(TrainingData(timeless, 1, 2)).any()


def evaluator(shown, hidden, n_items=4):
    data = make_data([[*a, *b] for a, b in zip(shown, hidden, strict=True)], n_items)
    split = Split(data, np.arange(len(shown)), histories(*shown), histories(*hidden))
    return Evaluator(split, describe_items(data, learnt=data))


def test_without_repeats_only_what_is_new_to_the_user_counts():
    # The first user repeats, the second goes on to item 3; all scores are highest for item 0.
    measured = evaluator([[0, 1], [0, 1]], [[0], [3]]).measure(
        lambda rows: np.tile(np.float32([4, 3, 2, 1]), (2, 1))[rows]
    )
    assert measured.served.users.named()["mean_reciprocal_rank_at_25"] == pytest.approx((1 + 1 / 4) / 2)
    without_repeats = measured.without_repeats.users
    assert without_repeats.named()["mean_reciprocal_rank_at_25"] == pytest.approx(
        1 / 2
    )  # behind item 2, the second user alone
    assert without_repeats.weights[:, 0].tolist() == [0.0, 1.0]


def test_users_who_only_repeat_leave_nothing_to_measure_without_repeats():
    measured = evaluator([[0, 1]], [[0]]).measure(lambda rows: np.float32([[4, 3, 2, 1]])[rows])
    assert set(measured.without_repeats.users.named()) == set()
    assert measured.without_repeats.personalize()["precision_at_5"] == 0.0
    assert len(measured.served.personalize()) == 8


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    values = np.random.default_rng(3).normal(5.0, 2.0, 400)
    low, high = interval(one_metric(values), seed=1)[:, 0]
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_intervals_hold_the_truth_about_as_often_as_they_claim():
    random = np.random.default_rng(4)
    draws = [random.random(80) < 0.3 for _ in range(200)]
    ends = [interval(one_metric(draw), seed=place, samples=500)[:, 0] for place, draw in enumerate(draws)]
    covered = sum(low <= 0.3 <= high for low, high in ends)
    assert 180 <= covered <= 198  # 190 expected, standard deviation 3


def test_a_ratio_is_resampled_as_a_ratio():
    values = UserValues(("recall",), np.array([[2.0], [0.0], [3.0]]), np.array([[4.0], [0.0], [6.0]]))
    assert interval(values, seed=1)[:, 0] == pytest.approx([0.5, 0.5])


def test_a_metric_without_users_has_no_interval():
    values = UserValues(("recall",), np.zeros((3, 1)), np.zeros((3, 1)))
    assert np.isnan(interval(values, seed=1)).all()


def test_the_same_seed_gives_the_same_interval_every_time():
    values = one_metric(np.arange(50))
    ends = interval(values, seed=1)
    assert np.array_equal(ends, interval(values, seed=1))
    assert not np.array_equal(ends, interval(values, seed=2))


def test_pairing_takes_out_what_users_have_in_common():
    random = np.random.default_rng(5)
    users = random.normal(0.0, 10.0, 200)
    first, second = one_metric(users + 0.2), one_metric(users + random.normal(0.0, 0.1, 200))
    low, high = difference_interval(first, second, seed=1)[:, 0]
    assert 0.15 < low < high < 0.25


def sparse_gains(random, n, chance):
    """Return gains as rankings yield them: most users find nothing, some a little."""
    return np.where(random.random(n) < chance, 1 / np.log2(2 + random.integers(0, 25, n)), 0.0)


@pytest.mark.parametrize(("new", "old", "expected"), [(0.6, 0.2, "BETTER"), (0.2, 0.6, "WORSE")])
def test_a_planted_difference_is_found(new, old, expected):
    random = np.random.default_rng(6)
    first, second = (one_metric(sparse_gains(random, 150, chance)) for chance in (new, old))
    pair = Pair.of_users(first, second)
    assert verdict(pair, differences(pair, seed=1)) == expected


def test_noise_is_rarely_taken_for_a_difference():
    random = np.random.default_rng(7)
    decided = 0
    for seed in range(300):
        first, second = (one_metric(sparse_gains(random, 100, 0.3)) for _ in range(2))
        pair = Pair.of_users(first, second)
        decided += verdict(pair, differences(pair, seed=seed)) != "UNDECIDED"
    assert decided <= 27  # 15 expected, standard deviation 4


def test_a_model_is_no_better_than_itself():
    gains = one_metric(sparse_gains(np.random.default_rng(8), 100, 0.5))
    pair = Pair.of_users(gains, gains)
    (difference,) = differences(pair, seed=1)
    assert (difference.low, difference.high) == (0.0, 0.0)
    assert verdict(pair, (difference,)) == "UNDECIDED"


@pytest.mark.parametrize(("users", "differing"), [(MIN_USERS - 1, MIN_USERS - 1), (1000, 9)])
def test_too_few_users_decide_nothing(users, differing):
    worse = np.ones(users)
    worse[:differing] = 0.0
    pair = Pair.of_users(one_metric(worse), one_metric(np.ones(users)))
    measured = differences(pair, seed=1)
    assert measured[0].high < 0.0
    assert verdict(pair, measured) == "UNDECIDED"


def _columns(values):
    return values.names, values.gains.T.tolist()
