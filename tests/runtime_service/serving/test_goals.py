"""Campaigns configure exploration, and how much freshness and popularity count, each for itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.model import ModelLoader, RankingInfluence
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from recipes.catalog import get_recipe
from recipes.components.exploration import ExplorationSettings
from recipes.data.columns import Columns
from recipes.registry import make_fitter, read_config
from runtime_service.serving.deployments import Deployment
from runtime_service.serving.goals import read_exploration, read_influence
from tests.inference.asking import similar_items
from tests.runtime_service.world import (
    N_ITEMS,
    RELATED,
    Fitted,
    assignment,
    fit,
    item,
    local_store,
    publish,
    two_tastes,
)

SEMANTIC = "aws-semantic-similarity"
#: Every third item is like the first; the last item is the newest.
PLOTS = tuple(f"a film of the sea {'storm' if index % 3 else 'calm'}" for index in range(N_ITEMS))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    store = local_store(folder / "store")
    columns = Columns(textual={"PLOT": PLOTS}, names=PLOTS, created=np.arange(N_ITEMS, dtype=np.int64))
    data = replace(two_tastes(), items=columns)
    declared = get_recipe(SEMANTIC)
    scorer = make_fitter(declared, read_config(declared, {}), seed=1).fit(data)
    publish(store, "artifacts/one", Fitted(SEMANTIC, scorer, data))
    return ModelLoader(store, cache=folder / "cache", index="auto").load("artifacts/one")


def related(model, influence):
    deployment = Deployment.make(assignment(influence=influence), model, cache_users=1)
    return similar_items(deployment.pipeline, item(0), limit=3).items.tolist()


def test_nothing_counts_unless_said():
    assert read_influence(CampaignConfig()) == RankingInfluence(0.0, 0.0)
    assert read_influence(CampaignConfig(ranking_influence={"FRESHNESS": 0.5})) == RankingInfluence(0.5, 0.0)


def test_two_campaigns_of_one_model_have_each_their_own(model):
    plain = related(model, RankingInfluence())
    fresh = related(model, RankingInfluence(freshness=1.0))

    assert fresh == [39, 36, 33]
    assert plain != fresh
    assert related(model, RankingInfluence()) == plain


def test_other_recipes_are_left_alone(tmp_path):
    store = local_store(tmp_path / "store")
    publish(store, "artifacts/one", fit(RELATED))
    other = ModelLoader(store, cache=tmp_path / "cache", index="auto").load("artifacts/one")
    assert RankingInfluence(freshness=1.0).on(other) is other


def test_settings_are_read_from_the_campaigns_own_configuration():
    assert read_exploration(CampaignConfig()) == ExplorationSettings(0.3, 30.0)
    config = CampaignConfig(item_exploration_config={"explorationWeight": "0.9", "explorationItemAgeCutOff": "7"})
    assert read_exploration(config) == ExplorationSettings(0.9, 7.0)
