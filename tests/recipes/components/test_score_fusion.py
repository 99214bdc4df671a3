"""A blend adjusts scores by the formula that it states, worked out here by hand."""

from dataclasses import replace

import numpy as np
import pytest

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion.score import COUNT_BUCKETS, RECENCY_BUCKETS, ScoreFusion, repeats
from recipes.components.sequential_rules import PLACES, SequentialRules
from recipes.data.histories import History
from recipes.data.sparse import SparseRows

#: Item 0 leads to 1 and 2, item 1 to 2; items 2 and 3 lead nowhere.
FOLLOWERS = SequentialRules(
    SparseRows(np.array([0, 2, 3, 3, 3]), np.array([1, 2, 2], np.int32), np.array([2.0, 4.0, 6.0], np.float32))
)
#: Items 0 and 3 speak for 2, 0 less for 1; what is older than the newest step counts half, and of it half is looked at.
REGRESSION = ItemRegression(
    SparseRows(np.array([0, 2, 2, 2, 3]), np.array([2, 1, 2], np.int32), np.array([8.0, 1.0, 4.0], np.float32)),
    np.array([1.0, 0.5, 0.5, 0.5], np.float32),
    3.0,
)


def history(*steps):
    """Make a history of (item, action)."""
    items, actions = (np.array([step[part] for step in steps]) for part in (0, 1))
    return History(items.astype(np.int32), actions.astype(np.uint8), np.zeros(len(steps), np.int64))


@pytest.fixture
def score_fusion():
    """Weigh places 1, 1/2, 1/3 ..., rules 0.5 at scale 4; repeats by 10 x recency + action, and 100 x uses."""
    recency = 10.0 * np.arange(RECENCY_BUCKETS)[:, None] + np.arange(3)
    return replace(
        ScoreFusion.of_network(n_event_types=2),
        network=2.0,
        popularity=np.array([0.5, 0.0, 0.25, 0.0], np.float32),
        rules=0.5,
        scale=4.0,
        recency=recency.astype(np.float32),
        count=100.0 * np.arange(COUNT_BUCKETS, dtype=np.float32),
    )


def changes(score_fusion, steps, *, regression=ItemRegression.nothing()):  # noqa: B008 - immutable
    actual = score_fusion.score_deltas(FOLLOWERS, regression, steps)
    assert (actual.items.dtype, actual.values.dtype) == (np.int32, np.float32)
    assert len(set(actual.items.tolist())) == len(actual.items)
    return dict(zip(actual.items.tolist(), actual.values.tolist(), strict=True))


def test_nothing_is_adjusted_for_an_empty_history(score_fusion):
    assert changes(score_fusion, History.of_items([])) == {}


def test_rules_and_repeats_are_added_for_each_item(score_fusion):
    actual = changes(score_fusion, history((0, 2), (1, 1)))
    # 1 was used last (bucket 0) by action 1, 0 before it (bucket 1) by action 2. 2 follows 1 by 6 and, at half the
    # weight, 0 by 4; 1 follows 0 by 2 at half the weight.
    assert actual == pytest.approx({0: 12.0, 1: 1.0 + 0.5 * np.log1p(1 / 4), 2: 0.5 * np.log1p(8 / 4)})


def test_an_item_used_again_is_as_recent_as_its_last_use_and_has_its_number_of_uses(score_fusion):
    actual = changes(score_fusion, history((3, 1), (3, 2), (2, 0), (3, 0), (3, 0), (3, 2)))
    # 3 was used five times (bucket 3), last in the last step by action 2; 2 three steps before (bucket 3), once.
    assert actual == pytest.approx({3: 2.0 + 300.0, 2: 30.0})


def test_each_item_speaks_once_by_its_last_use(score_fusion):
    steps = history((0, 1), (3, 1), (0, 1), (3, 1))
    plain = changes(score_fusion, steps)
    assert changes(score_fusion, steps, regression=REGRESSION) == pytest.approx(
        plain | {2: plain[2] + 3.0 * np.log1p(4.0 + 8.0 / 2)}
    )


def test_without_rules_only_repeats_are_adjusted(score_fusion):
    assert changes(replace(score_fusion, rules=0.0), history((0, 0))) == {0: 0.0}


def test_a_network_alone_has_one_bias_for_all_repeats():
    actual = changes(ScoreFusion.of_network(n_event_types=2, repeat_bias=-1.5), history((3, 1), (0, 2), (3, 0)))
    assert actual == {0: -1.5, 3: -1.5}


@pytest.mark.parametrize(
    ("steps_ago", "bucket"), [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (6, 4), (64, 7), (65, 8), (1000, 8)]
)
def test_buckets_of_recency(steps_ago, bucket):
    actual = repeats(History.of_items([3] + [2] * (steps_ago - 1)))
    assert actual.items.tolist()[-1] == 3
    assert actual.recency.tolist()[-1] == bucket


@pytest.mark.parametrize(("uses", "bucket"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (500, 3)])
def test_buckets_of_uses(uses, bucket):
    assert repeats(History.of_items([3] * uses)).counts.tolist() == [bucket]


def test_item_vectors_carry_the_weights_of_network_and_popularity(score_fusion):
    embeddings, popularity = np.array([[1, 2], [3, 4]], np.float32), np.zeros((4, 2), np.float32)
    popularity[[0, 2]] = [[-1, -2], [0, 4]]
    actual = score_fusion.item_vectors(embeddings, np.array([10, 20], np.float32), popularity)
    assert actual.tolist() == [[2, 4, 19.5], [6, 8, 40]]
    assert actual.dtype == np.float32


def test_saved_and_loaded_blends_are_the_same(score_fusion, tmp_path):
    save_arrays(tmp_path, score_fusion.arrays())
    loaded = ScoreFusion.from_arrays(map_arrays(tmp_path, ScoreFusion.names()))
    steps = history((0, 2), (1, 1), (0, 0))
    assert changes(loaded, steps) == changes(score_fusion, steps)
    assert (loaded.network, loaded.popularity.tolist()) == (2.0, [0.5, 0.0, 0.25, 0.0])


@pytest.mark.parametrize(
    ("name", "shape"), [("blend_places", PLACES + 1), ("blend_recency", RECENCY_BUCKETS - 1), ("blend_count", 1)]
)
def test_arrays_of_other_shapes_are_corrupt(score_fusion, name, shape):
    with pytest.raises(CorruptArtifact, match=r"blend_recency\.npy"):
        ScoreFusion.from_arrays(score_fusion.arrays() | {name: np.zeros(shape, np.float32)})
