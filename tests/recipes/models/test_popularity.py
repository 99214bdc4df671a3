"""Popularity-Count passes the contract suite and counts users, not uses."""

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.models.popularity.config import PopularityConfig
from recipes.models.popularity.fit import PopularityFitter
from recipes.models.popularity.score import load
from tests.recipes.suite import RecipeSuite, make_data


class TestPopularity(RecipeSuite):
    name = "aws-popularity-count"
    quality_floor = 0.0  # it does not look at the history; the order of its list is tested below
    uses_randomness = False


def test_counts_distinct_users():
    data = make_data([[0, 0, 0, 0], [1, 2], [1], [1, 2]], n_items=4)
    scorer = PopularityFitter(PopularityConfig(), seed=0).fit(data)
    assert scorer.item_vectors.tolist() == [[1.0], [3.0], [2.0], [0.0]]


def test_a_file_of_another_recipe_is_corrupt(tmp_path):
    np.save(tmp_path / "item_vectors.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(CorruptArtifact, match="one column"):
        load(tmp_path)
