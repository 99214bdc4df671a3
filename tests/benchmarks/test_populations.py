"""The benchmarks of trends and of segments find what was planted and learn from nothing that they hide."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality import segments, trending
from common.errors import InvalidInput
from tests.recipes.models.test_trending import planted
from tests.recipes.segment_suite import tastes


def test_trends_are_worth_more_than_popularity():
    figures = trending.measure(planted(), frequency="2 hours")

    assert figures["lists"] == 16
    runs = figures["runs"]
    assert runs["aws-trending-now"]["accuracy"] > 0.4
    assert runs["aws-trending-now"]["accuracy"] >= runs["difference of the two counts"]["accuracy"] - 0.05
    assert runs["aws-popularity-count"]["accuracy"] < 0.2
    assert 0.0 < runs["aws-popularity-count"]["share"] < 1.0


def test_tables_are_put_together_by_the_ids_of_items(tmp_path):
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\nu,x,1\nu,y,2\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\nu,y,3\nv,z,4\n")

    data = trending.read([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])

    assert (data.n_users, data.n_items) == (3, 3)
    assert data.interactions.item.tolist() == [0, 1, 1, 2]
    assert data.interactions.user.tolist() == [0, 0, 1, 2]


def test_trends_want_times(tmp_path):
    (tmp_path / "a.txt").write_text("u x y\n")
    with pytest.raises(InvalidInput, match="want interactions with times"):
        trending.read([str(tmp_path / "a.txt")])


def test_segments_beat_active_users():
    figures = segments.measure(tastes(), hidden_dimension=32, seed=0)

    runs = figures["runs"]
    best = max(run["recall_at_1_percent"] for name, run in runs.items() if name != "aws-item-affinity")
    assert runs["aws-item-affinity"]["recall_at_1_percent"] > 1.5 * best
    assert figures["questions"] >= 40
    assert np.isfinite(figures["fit_seconds"])
