"""Exploration on real artifacts: new items get their chance, and lose it by being shown."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from common.positions import LEGACY_EPOCH, Position
from inference.model import ModelLoader
from inference.stages.explore import (
    ExplorationSettings,
    RandomExploration,
    UcbExploration,
    make_explorer,
    read_settings,
)
from recipes.components.exploration import ItemAges
from runtime_service.history import HistoryEvent
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.serving.deployments import Deployment
from runtime_service.serving.impressions import count_impressions
from tests.runtime_service.world import GROUP, N_ITEMS, WATERMARK, assignment, item, user

DAY = 86_400
#: New items of the lower half; a user of the upper half never gets them otherwise.
NEW = [2, 5, 7]


@pytest.fixture(scope="module")
def loader(shelf, tmp_path_factory):
    return ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact")


@pytest.fixture(scope="module")
def plain(loader):
    return loader.load("artifacts/personal")


@pytest.fixture(scope="module")
def annoy(shelf, tmp_path_factory):
    return ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="annoy").load("artifacts/personal")


def aged(model, kind="configured"):
    """Return a model some of whose items were created a day ago, and the others a year ago."""
    created = np.full(N_ITEMS, -365 * DAY)
    created[NEW] = -DAY
    ages = ItemAges(created, np.zeros(N_ITEMS, np.int64), 0)
    return replace(model, recipe=replace(model.recipe, exploration=kind), ages=ages)


def deploy(model, **settings):
    return Deployment.make(assignment(exploration=ExplorationSettings(**settings)), model, cache_users=0)


def first(deployment, limit=10):
    return deployment.recommend(user(1), None, limit=limit).items.tolist()


def test_an_artifact_of_items_that_are_all_new_explores_nothing(plain):
    assert plain.ages is not None
    assert Deployment.make(assignment(), plain, cache_users=0).explorer is None


def test_the_weight_decides_how_many_new_items_come_first(plain):
    model = aged(plain)
    without = first(deploy(model, weight=0.0))
    assert without == first(Deployment.make(assignment(), plain, cache_users=0))
    assert not set(NEW) & set(without)

    assert set(NEW) <= set(first(deploy(model, weight=1.0)))


def test_items_beyond_the_cut_off_are_not_explored(plain):
    model = aged(plain)
    assert deploy(model, weight=1.0, days=0.5).explorer is None
    assert deploy(model, weight=1.0, days=1.0).explorer.items.tolist() == NEW


def test_a_new_item_that_nobody_saw_reaches_the_best_one_of_a_typical_user_at_weight_1(plain):
    deployment = deploy(aged(plain), weight=1.0)
    gaps = []
    for number in range(0, 60, 4):
        scores = plain.scores_of(number)
        gaps.append(scores.max() - np.median(scores[NEW]))
    assert deployment.explorer.reach == pytest.approx(np.median(gaps), rel=0.3)
    # Rules and repeats are part of what is best.
    assert plain.scores_of(0).max() != (plain.scorer.item_vectors @ plain.user_vectors[0]).max()


def test_noise_varies_the_order_of_items_that_are_equally_new(plain):
    deployment = deploy(aged(plain), weight=1.0)
    drawn = np.array([deployment.explorer.bonus().values for _ in range(200)])
    assert drawn.std(axis=0) == pytest.approx(0.1 * drawn.mean(axis=0), rel=0.25)
    assert len({tuple(np.argsort(values)) for values in drawn}) > 1


def test_both_indexes_explore_alike(plain, annoy):
    found = []
    for model in (plain, annoy):
        deployment = deploy(aged(model), weight=1.0)
        deployment.explorer.random = np.random.default_rng(3)
        found.append(first(deployment))
    assert found[0] == found[1]


def test_scores_are_in_the_order_of_the_list(plain):
    scores = deploy(aged(plain), weight=0.7).recommend(user(1), None, limit=N_ITEMS).scores
    assert (np.diff(scores) <= 0).all()
    assert scores.sum() == pytest.approx(1.0, abs=1e-4)


def test_rankings_are_not_explored(plain):
    items = np.array([0, 39, 25, *NEW], np.int32)
    ranked = [deploy(aged(plain), weight=weight).rank(user(1), None, items=items).items for weight in (0.0, 1.0)]
    assert ranked[0].tolist() == ranked[1].tolist()


def test_items_that_were_shown_lose_their_bonus(plain):
    explorer = deploy(aged(plain), weight=1.0).explorer
    assert isinstance(explorer, UcbExploration)
    fresh = explorer.reach
    explorer.note([0, 3, 99])
    means = np.mean([explorer.bonus().values for _ in range(400)], axis=0)
    assert means == pytest.approx([fresh, fresh / 2, fresh / 10], rel=0.05)


def test_impressions_of_events_behind_the_snapshot_are_counted(plain, tmp_path):
    prepare_history(tmp_path / "history", map_bytes=1 << 20)
    writer = LmdbHistoryWriter(tmp_path / "history", max_events=5)
    shown = [(WATERMARK, NEW[0]), (WATERMARK + 1, NEW[0]), (WATERMARK + 2, NEW[0]), (WATERMARK + 3, NEW[2])]
    writer.append(
        [
            HistoryEvent(offset, GROUP, "", "u", "i", "watch", "", 1, impression=(item(at), "gone"))
            for offset, at in shown
        ],
        next_offset=WATERMARK + 4,
    )
    writer.close()
    reader = LmdbHistoryReader(tmp_path / "history")
    deployment = deploy(aged(plain), weight=1.0)

    asyncio.run(count_impressions(deployment, reader))

    assert deployment.explorer.seen.tolist() == [2, 0, 1]
    assert reader.shown("another-group", [item(NEW[0])], after=Position(LEGACY_EPOCH, 0)) == [0]
    reader.close()


def test_an_item_that_was_shown_very_often_needs_no_more_room(tmp_path):
    prepare_history(tmp_path / "history", map_bytes=1 << 20)
    writer = LmdbHistoryWriter(tmp_path / "history", max_events=5)
    writer.append(
        [HistoryEvent(offset, GROUP, "", "u", "i", "watch", "", 1, impression=("a",)) for offset in range(1, 601)],
        next_offset=601,
    )
    writer.close()
    reader = LmdbHistoryReader(tmp_path / "history")
    assert reader.shown(GROUP, ["a", "b"], after=Position(LEGACY_EPOCH, 590)) == [10, 0]
    assert reader.shown(GROUP, ["a"], after=Position(LEGACY_EPOCH, 0)) == [256]
    reader.close()


def test_the_service_itself_explores_a_thousandth_of_what_it_recommends(plain):
    deployment = deploy(aged(plain, "managed"))
    assert isinstance(deployment.explorer, RandomExploration)
    ordinary = first(deploy(plain), limit=25)
    explored, places = 0, 0
    for _ in range(2000):
        found = deployment.recommend(user(1), None, limit=25)
        places += 25
        if found.explored is None:
            assert found.items.tolist() == ordinary
            continue
        explored += int(found.explored.sum())
        assert set(found.items[found.explored].tolist()) <= set(NEW)
        assert len(set(found.items.tolist())) == 25
        assert (found.items == ordinary)[~found.explored].all()
    assert explored / places == pytest.approx(0.001, rel=0.6)


def test_no_more_items_are_put_in_than_there_are_new_ones(plain):
    explorer = deploy(aged(plain, "managed")).explorer
    explorer.share = 1.0
    found = explorer.mix(deploy(plain).recommend(user(1), None, limit=10))
    assert found.explored.sum() == 3
    again = explorer.mix(found)
    assert again.items.tolist() == found.items.tolist()


def test_nobody_is_explored_without_users():
    ages = ItemAges(np.array([0, 400 * DAY]), np.zeros(2, np.int64), 400 * DAY)
    found = make_explorer("configured", ages, ExplorationSettings(), scores_of=np.zeros, n_users=0)
    assert found.bonus().values.tolist() == [0.0]


def test_settings_are_read_from_the_campaigns_own_json():
    assert read_settings("") == ExplorationSettings(0.3, 30.0)
    config = '{"itemExplorationConfig": {"explorationWeight": "0.9", "explorationItemAgeCutOff": "7"}}'
    assert read_settings(config) == ExplorationSettings(0.9, 7.0)
