"""Explanations: scores by their parts, ranks over all items, and what leaving an item of the history out changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.candidates import Bitmap, ItemList
from inference.explain import explain
from inference.model import ModelLoader
from inference.new_items import NewItems
from inference.pipelines import AnswerCounts, Pipeline
from inference.request import Promotion, RecommendationRequest, Trend
from inference.user_state import StateCounts
from recipes.components.exploration import Bonus
from recipes.components.item_age import ItemAges
from recipes.data.histories import History
from recipes.models.lsa.score import LSAScorer
from recipes.retrieval.scoring import add_deltas
from tests.inference.asking import recent
from tests.inference.runs import make_model
from tests.runtime_service.world import N_ITEMS, WATERMARK, item, user


@pytest.fixture(scope="module")
def models(shelf, tmp_path_factory):
    loader = ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact")
    return {name: loader.load(f"artifacts/{name}") for name in ("personal", "popular", "related", "actions")}


def traced(model, limit=10, **members):
    return Pipeline.make(model).trace(RecommendationRequest(limit, **members))


def test_what_is_explained_is_not_counted_as_an_answer(models):
    pipeline = Pipeline.make(models["personal"])
    request = RecommendationRequest(10, user_id=user(1))
    pipeline.trace(request)
    assert (pipeline.users.counts, pipeline.answer_counts) == (StateCounts(), AnswerCounts())

    pipeline.run(request)
    assert (pipeline.users.counts.snapshot, pipeline.answer_counts.items) == (1, 10)


def brute_force(model, items, event_types, times, target):
    """Score an item for a history, from nothing but the ports of the model."""
    history = History(np.array(items, np.int32), np.array(event_types, np.uint8), np.array(times, np.int64))
    scores = model.scorer.item_vectors @ model.scorer.embed_history(history)
    add_deltas(scores, model.scorer.score_deltas(history))
    return float(scores[target])


def test_the_parts_of_a_score_add_up_to_what_the_answer_is_ordered_by(models):
    run = traced(models["personal"], user_id=user(3), limit=N_ITEMS)

    scores = explain(run, run.items, contributions=0).scores

    totals = np.array([one.total for one in scores])
    assert totals == pytest.approx(run.top_scores, rel=1e-4, abs=1e-4)
    assert [one.rank for one in scores] == list(range(1, N_ITEMS + 1))
    assert totals == pytest.approx([one.model_score + one.influence + one.rules + one.bonus for one in scores])
    assert {one.influence for one in scores} == {one.bonus for one in scores} == {0.0}
    model_scores = [one.model_score for one in scores]
    assert [one.model_rank for one in scores] == [1 + sum(x > y for x in model_scores) for y in model_scores]


def test_what_an_item_of_the_history_means_is_what_leaving_it_out_changes(models):
    model = models["personal"]
    lately = recent((WATERMARK + 1, "watch", 5), (WATERMARK + 2, "buy", 7), (WATERMARK + 3, "watch", 5))
    run = traced(model, user_id=user(4), recent=lately)

    explained = explain(run, run.items, contributions=10).scores

    past = model.histories.of(model.users.index(user(4)))
    items, kinds = [*past.items.tolist(), 5, 7, 5], [*past.event_types.tolist(), 1, 2, 1]
    times = [*past.times.tolist(), WATERMARK + 1, WATERMARK + 2, WATERMARK + 3]
    newest = model.recipe.max_history
    steps = list(zip(items, kinds, times, strict=True))[-newest:]
    for place, target in enumerate(run.items.tolist()):
        total = brute_force(model, *zip(*steps, strict=True), target)
        expected = {
            left: total - brute_force(model, *zip(*(step for step in steps if step[0] != left), strict=True), target)
            for left in {step[0] for step in steps}
        }
        largest = sorted(map(abs, expected.values()), reverse=True)[:10]
        counted = explained[place].contributions
        assert explained[place].total == pytest.approx(total, rel=1e-4, abs=1e-4)
        assert [abs(one.score_change) for one in counted] == pytest.approx(largest[: len(counted)], rel=1e-2, abs=1e-3)
        assert [one.score_change for one in counted] == pytest.approx(
            [expected[one.item] for one in counted], rel=1e-2, abs=1e-3
        )


def test_a_history_of_nothing_has_no_contributions(models):
    for run in (traced(models["personal"], user_id="nobody-knows"), traced(models["popular"])):
        assert [list(one.contributions) for one in explain(run, run.items, contributions=3).scores] == [[]] * 10


def test_similar_items_come_from_the_item_that_is_asked_about(models):
    run = traced(models["related"], item_id=item(3))

    explained = explain(run, run.items[:3], contributions=3).scores

    assert {one.item for score in explained for one in score.contributions} == {3}
    (alone,) = explain(run, np.array([3], np.int32), contributions=0).scores
    assert alone.rank is None


def test_ranks_are_among_what_may_be_returned(models):
    allowed = np.zeros(N_ITEMS, bool)
    allowed[[1, 4, 30, 33]] = True
    run = traced(models["personal"], user_id=user(3), candidates=Bitmap(allowed))

    explained = explain(run, np.array([*run.items, 2], np.int32), contributions=0)

    assert [one.rank for one in explained.scores] == [1, 2, 3, 4, None]
    assert explained.is_exact


def test_given_items_are_explained_like_others(models):
    model = replace(models["personal"])
    run = traced(model, limit=3, user_id=user(3), candidates=ItemList(np.array([7, 2, 31], np.int32)))

    assert [one.rank for one in explain(run, run.items, contributions=0).scores] == [1, 2, 3]


def test_a_list_without_the_best_is_noticed(models):
    run = traced(models["personal"], user_id=user(3), limit=2)
    worst = np.argsort(models["personal"].scorer.item_vectors @ run.state.embedding)[:2].astype(np.int32)

    assert explain(run, run.items, contributions=0).is_exact
    assert not explain(replace(run, items=worst), run.items, contributions=0).is_exact


def test_promoted_items_do_not_make_a_list_inexact(models):
    promotion = Promotion("worst", ItemList(np.array([38, 39], np.int32)), 0.4)
    run = traced(models["personal"], user_id=user(0), limit=5, promotion=promotion)

    assert len(run.promoted) == 2
    assert explain(run, run.items, contributions=0).is_exact


def test_a_bonus_is_told(models):
    new = ItemAges(np.where(np.arange(N_ITEMS) < 3, 0, -(10**8)), np.zeros(N_ITEMS, np.int64), 0)
    run = Pipeline.make(replace(models["personal"], ages=new)).trace(RecommendationRequest(10, user_id=user(1)))
    lifted_items = np.array([2], np.int32)
    run.bonus = Bonus(lifted_items, np.array([0.5], np.float32), lifted_items)

    plain, lifted = explain(run, np.array([1, 2], np.int32), contributions=0).scores

    assert (plain.bonus, lifted.bonus) == (0.0, 0.5)
    assert lifted.total == pytest.approx(lifted.model_score + lifted.rules + 0.5)


def test_ranking_influence_is_told_apart_from_the_model():
    vectors = np.eye(6, 8, dtype=np.float32)
    vectors[:, 6], vectors[:, 7] = np.linspace(1, 0, 6), np.linspace(0, 1, 6)
    model = make_model(vectors, recipe="aws-semantic-similarity")
    model = replace(model, scorer=LSAScorer(vectors, freshness=0.25, popularity=0.5))
    run = traced(model, item_id="item-0000", limit=3)

    explained = explain(run, np.array([1, 5], np.int32), contributions=0).scores

    assert [one.influence for one in explained] == pytest.approx([0.25 * 0.8 + 0.5 * 0.2, 0.5])
    assert [one.model_score for one in explained] == pytest.approx([0.0, 0.0])


def test_trends_are_scores_of_their_own(models):
    scores = np.linspace(1, 2, N_ITEMS + 1).astype(np.float32)
    request = RecommendationRequest(3, trend=Trend(scores, np.array([N_ITEMS, N_ITEMS - 1], np.int32)))
    run = replace(traced(models["popular"]), request=request)

    explained = explain(run, np.array([N_ITEMS, 0], np.int32), contributions=3).scores

    assert [one.model_rank for one in explained] == [1, N_ITEMS + 1]


def test_actions_are_scored_by_their_propensities(models):
    model = models["actions"]
    run = traced(model, limit=10, user_id=user(0))

    explained = explain(run, np.arange(len(model.action_ids), dtype=np.int32), contributions=2).scores

    by_action = dict(zip(run.items.tolist(), run.shares.tolist(), strict=True))
    totals = {action: one.total for action, one in enumerate(explained) if one is not None}
    assert totals == pytest.approx(by_action)


def test_items_that_came_after_the_model_are_explained_by_their_vectors(models):
    run = traced(models["personal"], user_id=user(0))
    new = np.array([N_ITEMS + 1, N_ITEMS + 3], np.int32)
    best = 10 * run.state.embedding / np.square(run.state.embedding).sum()
    vectors = np.array([best, -best], np.float32)
    run.new_items = NewItems.of(
        new, vectors=vectors, described=np.ones(2, bool), created=np.zeros(2, np.int64), clusters=None, first=N_ITEMS
    )

    explained = explain(run, np.array([N_ITEMS, *new], np.int32), contributions=1).scores

    assert explained[0] is None
    assert [one.total for one in explained[1:]] == pytest.approx([10, -10], rel=1e-4)
    assert explained[1].rank < explained[2].rank
    assert [len(one.contributions) for one in explained[1:]] == [1, 1]


def test_items_behind_the_model_have_no_score(models):
    run = traced(models["personal"], user_id=user(0))

    assert explain(run, np.array([N_ITEMS + 3], np.int32), contributions=1).scores == [None]
