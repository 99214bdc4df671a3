"""Exploration on real artifacts: new items get their chance, and lose it by being shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.candidates import Bitmap, ItemList
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.request import Promotion
from inference.stages.score import score_all
from inference.user_state import UserStates
from recipes.components.exploration import (
    ExplorationSettings,
    RandomExploration,
    UcbExploration,
    make_explorer,
)
from recipes.components.item_age import ItemAges
from recipes.spec import RecipeKind
from tests.inference.asking import rank, recommend
from tests.runtime_service.world import N_ITEMS, item, user

DAY = 86_400
#: New items in the middle of the lower half; a user of the upper half never gets them otherwise.
NEW = [5, 7, 9]
#: Few new items are explored alike whoever asks.
ANYBODY = np.zeros(2, np.float32)


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


def pipeline_of(model, **settings):
    return Pipeline.make(model, exploration=ExplorationSettings(**settings))


def first(pipeline, limit=10):
    return recommend(pipeline, user(1), limit=limit).items.tolist()


def test_an_artifact_of_items_that_are_all_new_explores_nothing(plain):
    assert plain.ages is not None
    assert not len(Pipeline.make(plain).explorer.items)


def test_the_weight_decides_how_many_new_items_come_first(plain):
    model = aged(plain)
    without = first(pipeline_of(model, weight=0.0))
    assert without == first(Pipeline.make(plain))
    assert not set(NEW) & set(without)

    assert set(NEW) <= set(first(pipeline_of(model, weight=1.0)))


def test_items_beyond_the_cut_off_are_not_explored(plain):
    model = aged(plain)
    assert not len(pipeline_of(model, weight=1.0, days=0.5).explorer.items)
    assert pipeline_of(model, weight=1.0, days=1.0).explorer.items.tolist() == NEW


def test_a_new_item_that_nobody_saw_reaches_the_best_one_of_a_typical_user_at_weight_1(plain):
    pipeline = pipeline_of(aged(plain), weight=1.0)
    gaps = []
    for number in range(0, 60, 4):
        scores = scores_of(plain, number)
        gaps.append(scores.max() - np.median(scores[NEW]))
    assert pipeline.explorer.score_gap == pytest.approx(np.median(gaps), rel=0.3)
    # Rules and repeats are part of what is best.
    assert scores_of(plain, 0).max() != (plain.scorer.item_vectors @ plain.user_vectors[0]).max()


def test_noise_varies_the_order_of_items_that_are_equally_new(plain):
    pipeline = pipeline_of(aged(plain), weight=1.0)
    drawn = np.array([pipeline.explorer.bonus(ANYBODY).values for _ in range(200)])
    assert drawn.std(axis=0) == pytest.approx(0.1 * drawn.mean(axis=0), rel=0.25)
    assert len({tuple(np.argsort(values)) for values in drawn}) > 1


def scores_of(model, user_index):
    return score_all(model.scorer.item_vectors, UserStates(model, cache_users=0).snapshot_state(user_index))


def test_both_indexes_explore_alike(plain, annoy):
    lists = []
    for model in (plain, annoy):
        pipeline = pipeline_of(aged(model), weight=1.0)
        pipeline.explorer.random = np.random.default_rng(3)
        lists.append(first(pipeline))
    assert lists[0] == lists[1]


def test_scores_are_in_the_order_of_the_list(plain):
    scores = np.array(recommend(pipeline_of(aged(plain), weight=0.7), user(1), limit=N_ITEMS).scores)
    assert (np.diff(scores) <= 0).all()
    assert scores.sum() == pytest.approx(1.0, abs=1e-4)


def test_rankings_are_not_explored(plain):
    items = np.array([0, 39, 25, *NEW], np.int32)
    ranking = replace(aged(plain), recipe=replace(plain.recipe, kind=RecipeKind.PERSONALIZED_RANKING))
    ranked = [rank(pipeline_of(ranking, weight=weight), user(1), items).item_ids for weight in (0.0, 1.0)]
    assert ranked[0] == ranked[1]


def test_items_that_were_shown_lose_their_bonus(plain):
    explorer = pipeline_of(aged(plain), weight=1.0).explorer
    assert isinstance(explorer, UcbExploration)
    fresh = explorer.score_gap
    explorer.note([0, 3, 99])
    means = np.mean([explorer.bonus(ANYBODY).values for _ in range(400)], axis=0)
    assert means == pytest.approx([fresh, fresh / 2, fresh / 10], rel=0.05)


def test_the_service_itself_explores_a_thousandth_of_what_it_recommends(plain):
    pipeline = pipeline_of(aged(plain, "managed"))
    assert isinstance(pipeline.explorer, RandomExploration)
    ordinary = first(pipeline_of(plain), limit=15)
    explored, places = 0, 0
    for _ in range(3334):
        scored = recommend(pipeline, user(1), limit=15)
        places += 15
        explored += len(scored.reasons)
        assert {int(scored.items[place]) for place in scored.reasons} <= set(NEW)
        assert len(set(scored.items.tolist())) == 15
        assert all(scored.items[place] == ordinary[place] for place in range(15) if place not in scored.reasons)
        assert [score is None for score in scored.scores] == [place in scored.reasons for place in range(15)]
        assert set(pipeline.explored_candidates(scored)) == {item(new) for new in NEW if new in scored.items}
    assert explored / places == pytest.approx(0.001, rel=0.6)
    assert (pipeline.answer_counts.explored, pipeline.answer_counts.items) == (explored, places)


def test_new_items_that_are_lifted_are_counted_and_so_are_promoted_ones(plain):
    pipeline = pipeline_of(aged(plain), weight=1.0)
    promotion = Promotion("old", ItemList(np.array([11, 8], np.int32)), 0.2)

    scored = recommend(pipeline, user(1), limit=N_ITEMS, promotion=promotion)
    pipeline.explored_candidates(scored)

    counts = pipeline.answer_counts
    assert (counts.items, counts.explored, counts.promoted) == (N_ITEMS, len(NEW), 2)

    # A new item that is promoted is there for that alone.
    promotion = Promotion("new", ItemList(np.array(NEW[:1], np.int32)), 0.2)
    shown = pipeline.explored_candidates(recommend(pipeline, user(1), limit=N_ITEMS, promotion=promotion))
    assert set(shown) == {item(new) for new in NEW}
    assert (counts.explored, counts.promoted) == (2 * len(NEW) - 1, 3)


def test_no_more_items_are_put_in_than_there_are_new_ones(plain):
    explorer = pipeline_of(aged(plain, "managed")).explorer
    explorer.share = 1.0
    items, explored = explorer.mix(np.arange(10, 20, dtype=np.int32))
    assert explored.sum() == 3
    assert explorer.mix(items) is None


def test_new_items_that_may_not_be_returned_are_not_put_in(plain):
    pipeline = pipeline_of(aged(plain, "managed"))
    pipeline.explorer.share = 1.0
    allowed = np.arange(N_ITEMS) != NEW[1]

    scored = recommend(pipeline, user(1), limit=10, candidates=Bitmap(allowed))

    assert {int(scored.items[place]) for place in scored.reasons} == {NEW[0], NEW[2]}


def test_nobody_is_explored_without_users():
    ages = ItemAges(np.array([0, 400 * DAY]), np.zeros(2, np.int64), 400 * DAY)
    nobody, vectors = np.empty((0, 2), np.float32), np.ones((2, 2), np.float32)
    explorer = make_explorer(
        "configured", ages, ExplorationSettings(), scores_of=np.zeros, user_vectors=nobody, item_vectors=vectors
    )
    assert explorer.bonus(ANYBODY).values.tolist() == [0.0]
