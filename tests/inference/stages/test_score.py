"""Scores: of items by either way, of trends and of actions; which of them are kept is tested with the filter."""

from __future__ import annotations

import numpy as np
import pytest

from inference.candidates import Bitmap
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest, Trend
from inference.stages.score import score
from inference.user_state import UserState
from recipes.components.exploration import Bonus
from recipes.ports import ScoreDelta
from tests.inference.runs import make_run
from tests.runtime_service.world import N_ITEMS, fit, item, local_store, publish, user

RISING = np.arange(N_ITEMS + 1, dtype=np.float32)


@pytest.fixture(scope="module")
def trending(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trending")
    store = local_store(folder / "store")
    publish(store, "artifacts/trending", fit("aws-trending-now"))
    return Pipeline.make(ModelLoader(store, cache=folder / "cache", index="auto").load("artifacts/trending"))


def ask(pipeline, *, best=3, **members):
    pipeline.model.new_items.ids.add(["brand-new"])
    trend = Trend(RISING, np.argsort(-RISING)[:best].astype(np.int32))
    return pipeline.run(RecommendationRequest(**{"limit": 3, "trend": trend, **members})).item_ids


def test_items_that_rise_most_come_first_also_when_they_came_after_the_model(trending):
    assert ask(trending) == ["brand-new", item(N_ITEMS - 1), item(N_ITEMS - 2)]


def test_more_items_than_are_kept_in_order_are_found_too(trending):
    assert ask(trending, limit=10, best=3) == ask(trending, limit=10, best=20)
    assert len(ask(trending, limit=N_ITEMS + 1)) == N_ITEMS + 1


@pytest.mark.parametrize("passing", [[0, 4, 2], list(range(20)), [7]])
def test_what_may_be_returned_of_a_trend_is_found_behind_its_first_places(trending, passing):
    allowed = np.zeros(N_ITEMS, bool)
    allowed[passing] = True

    assert ask(trending, candidates=Bitmap(allowed)) == [item(one) for one in sorted(passing, reverse=True)[:3]]


def test_a_new_item_is_in_a_trend_where_a_filter_lets_it_pass(trending):
    allowed = np.zeros(N_ITEMS + 1, bool)
    allowed[[3, N_ITEMS]] = True

    assert ask(trending, candidates=Bitmap(allowed)) == ["brand-new", item(3)]
    assert ask(trending, candidates=Bitmap(allowed[:N_ITEMS])) == [item(3)]


def test_scores_of_a_trend_are_left_as_they_are(trending):
    before = RISING.copy()
    ask(trending, candidates=Bitmap(np.arange(N_ITEMS) < 5))
    assert (before == RISING).all()


def test_actions_that_may_not_be_returned_are_left_out(shelf, tmp_path):
    pipeline = Pipeline.make(ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/actions"))
    question = {"limit": 2, "user_id": user(4), "now": 2000.0}

    everything = pipeline.run(RecommendationRequest(**question))
    restricted = pipeline.run(RecommendationRequest(**question, candidates=Bitmap(np.array([False, True, True]))))

    assert everything.item_ids[0] == "lower"
    assert list(restricted.item_ids) == ["upper", "never"]
    assert restricted.scores[0] == everything.scores[everything.item_ids.index("upper")]


def test_an_item_has_the_same_bits_whether_all_are_scored_or_some():
    random = np.random.default_rng(5)
    chosen = random.choice(300, 60, replace=False).astype(np.int32)
    deltas = ScoreDelta(chosen[:40], random.standard_normal(40).astype(np.float32))
    lifted = np.sort(chosen[20:])
    vectors, query = (random.standard_normal(shape).astype(np.float32) for shape in ((300, 23), 23))
    run = make_run(vectors, UserState(query, deltas))
    run.bonus = Bonus(lifted, random.standard_normal(len(lifted)).astype(np.float32), lifted)

    score(run)
    every = run.scores
    run.shortlist = np.sort(random.choice(300, 110, replace=False)).astype(np.int32)
    score(run)

    assert run.scores.tobytes() == every[run.shortlist].tobytes()
