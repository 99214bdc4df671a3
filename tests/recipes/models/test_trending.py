"""Trending-Now passes the contract suite, finds what rises and not what is only noisy, and follows fresh counts."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.trending.config import FREQUENCIES, TrendingConfig
from recipes.models.trending.evaluation import Ages, by_trend, cuts, evaluate
from recipes.models.trending.fit import TrendingFitter
from recipes.models.trending.rates import DEPTH, trend_scores
from recipes.models.trending.score import BUCKET_SECONDS, load
from tests.recipes.suite import RecipeSuite

HOUR = 3600
#: A moment that begins a bucket.
NOW = 1_700_000_100


class TestTrending(RecipeSuite):
    name = "aws-trending-now"
    quality_floor = 0.0  # it does not look at the history; what it finds is tested below
    uses_randomness = False


def counted(table, *, interval_seconds=2 * HOUR, streamed=None):
    """Make data of counts: `table[age][item]`, age 0 ending now; every interaction is another user's."""
    rows = [
        (item, NOW - 1 - age * interval_seconds - step)
        for age, counts in enumerate(table)
        for item, count in enumerate(counts)
        for step in range(count)
    ]
    # The newest moment itself, so that the intervals end where the table says.
    rows = sorted(rows, key=lambda row: row[1])
    items, times = np.array(rows).T
    times[-1] = NOW - 1
    flags = None if streamed is None else np.array([item in streamed for item in items])
    interactions = Interactions.sort(np.arange(len(rows)), item=items, timestamp=times, streamed=flags)
    return TrainingData(interactions, len(rows), len(table[0]))


def fitted(data, **config):
    made = TrendingFitter(TrendingConfig(**config), seed=0)
    return made, made.fit(data)


def exposed(intervals=DEPTH):
    return (np.arange(DEPTH) < intervals).astype(float)


def columns(*newest_first):
    """Return counts of single items as `rates` wants them."""
    padded = [list(counts) + [0] * (DEPTH - len(counts)) for counts in newest_first]
    return np.array(padded, np.float32).T


def test_the_two_counts_alone_are_compared_with_half_life_0():
    scores = trend_scores(columns([9, 2], [5, 1], [3, 3], [1, 8]), exposure=exposed(), half_life=0.0)
    assert np.argsort(-scores).tolist() == [0, 1, 2, 3]
    assert scores[0] - scores[1] == pytest.approx(3.0)


def test_an_item_that_is_as_usual_again_rises_less_than_one_that_is_new():
    usual, new = [10, 0, 10, 0, 10, 0, 10], [10, 0, 0, 0, 0, 0, 0]
    steady = [10, 9, 1, 1, 1, 1, 1]
    scores = trend_scores(columns(usual, new, steady), exposure=exposed(), half_life=2.0)
    # By counts both rose by ten; the usual one's rate is higher, the steady one's is hardly above the count before.
    assert scores[0] > scores[1] > scores[2]


def test_what_did_not_rise_comes_after_everything_that_did():
    fallen, barely = [40, 50, 90, 90, 90, 90, 90], [3, 2, 0, 0, 0, 0, 0]
    scores = trend_scores(columns(fallen, barely), exposure=exposed(), half_life=8.0)
    assert scores[1] > scores[0]


def test_an_interval_that_goes_on_counts_for_the_time_that_has_passed():
    half = exposed()
    half[0] = 0.5
    scores = trend_scores(columns([6, 9], [4, 9]), exposure=half, half_life=0.0)
    assert scores[0] > scores[1]
    assert scores[0] - scores[1] > 4.0  # 12 an interval rose, 8 an interval fell


def test_intervals_before_the_data_are_no_evidence_of_zero():
    short = trend_scores(columns([6, 3]), exposure=exposed(2), half_life=4.0)
    long = trend_scores(columns([6, 3]), exposure=exposed(), half_life=4.0)
    assert short[0] > long[0]


def test_lists_are_measured_on_the_interval_that_was_hidden():
    # Item 0 rises and stays, item 1 rises by luck, item 2 is popular throughout.
    data = counted([[8, 0, 20], [8, 6, 20], [0, 0, 20], [0, 0, 20]])
    ages = Ages(data.interactions.item, data.interactions.timestamp, interval_seconds=2 * HOUR, n_items=3)
    (cut,) = cuts(ages, [0])

    assert cut.past[0].tolist() == [8, 6, 20]
    assert cut.hidden.tolist() == [8, 0, 20]
    accuracy = evaluate([cut], {"trend": by_trend(0.0)})["trend"]
    assert (accuracy.increase, accuracy.most, accuracy.ratio, accuracy.items) == (8.0, 8.0, 1.0, 3)


def test_a_list_that_misses_what_rises_has_no_accuracy():
    quiet, many = [0] * 40, [0] * 40
    many[:35] = [9] * 5 + [1] * 30
    quiet[5:35] = [1] * 30
    data = counted([many, many, quiet, quiet])
    ages = Ages(data.interactions.item, data.interactions.timestamp, interval_seconds=2 * HOUR, n_items=40)
    popular = np.array(quiet, np.float32)

    accuracies = evaluate(cuts(ages, [0]), {"trend": by_trend(0.0), "popularity": lambda _: popular})

    assert accuracies["trend"].ratio == 1.0
    assert accuracies["popularity"].ratio == 0.0


def planted(seed=3):
    """Let twenty items have a steady rate, and each interval another one begin to rise for four intervals."""
    random, n_items, intervals = np.random.default_rng(seed), 80, 80
    table = np.zeros((intervals, n_items), int)
    table[:, :20] = random.poisson(6, (intervals, 20))
    for begin in range(intervals):
        table[begin : begin + 4, 20 + begin % 60] += random.poisson(12, len(table[begin : begin + 4]))
    return counted(table[::-1].tolist())


def test_trends_that_last_are_predicted_and_popularity_does_not_predict_them():
    made, _ = fitted(planted())
    assert made.report["hidden_intervals"] == 8.0
    assert made.report["trend_prediction_accuracy"] >= 0.5
    assert made.report["popularity_trend_prediction_accuracy"] <= 0.2


def test_noise_is_averaged_over_more_intervals_than_trends_that_jump():
    random = np.random.default_rng(5)
    noise = counted(random.poisson(random.gamma(2.0, 2.0, 60), (60, 60)).tolist())
    jumps = np.zeros((60, 60), int)
    for begin in range(60):
        jumps[begin : begin + 2, begin] = 20
    assert fitted(noise)[0].report["half_life"] > fitted(counted(jumps[::-1].tolist()))[0].report["half_life"]


def test_measuring_does_not_look_at_what_is_hidden():
    data = planted()
    other = data.interactions.timestamp.max() - data.interactions.timestamp < 8 * 2 * HOUR
    item = np.where(other, 79 - data.interactions.item, data.interactions.item)
    turned = TrainingData(
        Interactions.sort(data.interactions.user, item=item, timestamp=data.interactions.timestamp), data.n_users, 80
    )
    assert fitted(turned)[0].report["half_life"] == fitted(data)[0].report["half_life"]


def test_data_of_one_interval_are_no_error():
    made, scorer = fitted(counted([[2, 7, 1]]), trend_discovery_frequency="1 day")
    assert np.argsort(-scorer.item_vectors[:, 0]).tolist() == [1, 0, 2]
    assert made.report["trend_prediction_accuracy"] == 0.0


NONE = np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32)


def streamed(*counts, age=0):
    buckets = np.full(len(counts), (NOW - age) // BUCKET_SECONDS)
    return buckets, np.arange(len(counts), dtype=np.int32), np.array(counts, np.int32)


def test_fresh_counts_and_those_of_imports_add_up():
    # Item 0 is imported only, items 1 and 2 were streamed: the runtime has them.
    _, scorer = fitted(counted([[9, 5, 1], [1, 1, 1]], streamed={1, 2}))
    assert scorer.bulk.items.tolist() == [0] * len(scorer.bulk.items)

    scores = scorer.trend(*streamed(0, 5, 30), n_items=3, now=NOW)

    assert np.argsort(-scores).tolist() == [2, 0, 1]


def test_items_unknown_at_the_training_trend():
    _, scorer = fitted(counted([[5, 5], [5, 5]]))
    assert scorer.trend(*streamed(0, 0, 0, 9), n_items=4, now=NOW).argmax() == 3


def test_two_quiet_intervals_have_no_trend():
    _, scorer = fitted(counted([[5, 2], [1, 2]]))
    assert scorer.trend(*NONE, n_items=2, now=NOW) is not None
    assert scorer.trend(*NONE, n_items=2, now=NOW + 2 * 2 * HOUR + BUCKET_SECONDS) is None
    assert (scorer.item_vectors @ scorer.popular()).tolist() == [6.0, 4.0]


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_every_interval_is_a_whole_number_of_buckets(frequency):
    config = TrendingConfig(trend_discovery_frequency=frequency)
    assert config.interval_seconds % BUCKET_SECONDS == 0
    _, scorer = fitted(counted([[3, 1], [1, 2]], interval_seconds=config.interval_seconds), **dict(config))
    # The previous interval is as far back as the frequency says.
    scores = scorer.trend(*streamed(0, 50, age=config.interval_seconds), n_items=2, now=NOW)
    assert scores[1] < scores[0]
    assert scorer.first_bucket(NOW) == NOW // BUCKET_SECONDS + 1 - DEPTH * config.interval_seconds // BUCKET_SECONDS


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("item_vectors", np.zeros((3, 1), np.float32), "two columns"),
        ("bulk_items", np.zeros(1, np.int32), "want 2 as in"),
        ("bulk_items", np.array([0, 7], np.int32), "out of range"),
        ("trend_settings", np.array([7200.0]), "an interval, a half-life and a beginning"),
    ],
)
def test_files_that_do_not_fit_are_corrupt(tmp_path, name, array, message):
    _, scorer = fitted(counted([[1, 0], [0, 1]]))
    assert len(scorer.bulk.items) == 2
    scorer.save(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(CorruptArtifact, match=message):
        load(tmp_path)
