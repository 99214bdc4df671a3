"""Ages of items follow Personalize's rule, and bonuses fall with what was seen, as worked out by hand."""

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.components.exploration import ItemAges, bonuses, score_gap
from recipes.data.columns import NO_TIME, Columns
from recipes.data.training_data import Interactions, TrainingData

DAY = 86_400


def data(created=None):
    """Let item 0 be used on days 0 and 10, item 1 on day 8, item 2 on day 40; item 3 never."""
    interactions = Interactions.sort(
        np.array([0, 0, 1, 1]), item=np.array([0, 0, 1, 2]), timestamp=np.array([0, 10, 8, 40]) * DAY
    )
    columns = Columns() if created is None else Columns(created=np.array(created, np.int64))
    return TrainingData(interactions, 2, 4, items=columns)


def test_items_are_as_old_as_their_oldest_interaction_and_without_any_as_the_latest_of_all():
    ages = ItemAges.of(data(), np.array([0, 5, 0, 2]))
    assert ages.latest == 40 * DAY
    assert (ages.created // DAY).tolist() == [0, 8, 40, 40]
    assert ages.seen.tolist() == [2, 6, 1, 2]


def test_a_creation_timestamp_is_believed_and_a_missing_one_is_not():
    ages = ItemAges.of(data(created=[39 * DAY, NO_TIME, 0, 12 * DAY]), np.zeros(4, np.int64))
    assert (ages.created // DAY).tolist() == [39, 8, 0, 12]


@pytest.mark.parametrize(("days", "new"), [(0.5, [2, 3]), (31.9, [2, 3]), (32.0, [1, 2, 3]), (39.9, [1, 2, 3])])
def test_items_are_new_for_so_many_days_before_the_latest_interaction(days, new):
    items = ItemAges.of(data(), np.zeros(4, np.int64)).new_items(days)
    assert (items.tolist(), items.dtype.name) == (new, "int32")


def test_where_everything_is_new_nothing_is():
    assert ItemAges.of(data(), np.zeros(4, np.int64)).new_items(40.0).tolist() == []


def test_saved_and_loaded_ages_are_the_same_and_others_are_corrupt(tmp_path):
    ages = ItemAges.of(data(), np.array([0, 5, 0, 2]))
    ages.save(tmp_path)
    loaded = ItemAges.load(tmp_path, n_items=4)
    assert (loaded.created.tolist(), loaded.seen.tolist()) == (ages.created.tolist(), ages.seen.tolist())
    assert loaded.latest == ages.latest
    with pytest.raises(CorruptArtifact, match="want 5 items"):
        ItemAges.load(tmp_path, n_items=5)


def test_the_score_gap_is_the_distance_of_typical_new_items_from_the_best():
    scores = np.array([10.0, 4.0, 1.0, 2.0], np.float32)
    # The new items' median is 2: distances of 8 and 24.
    assert score_gap([scores, 3 * scores], np.array([1, 2, 3], np.int32)) == pytest.approx(16.0)


def test_bonuses_fall_with_what_was_seen_and_scale_with_the_weight():
    bonus = bonuses(np.array([0, 3, 99]), weight=0.5, score_gap=8.0)
    assert (bonus.tolist(), bonus.dtype.name) == (pytest.approx([4.0, 2.0, 0.4]), "float32")
    assert not bonuses(np.array([0, 3]), weight=0.0, score_gap=8.0).any()
