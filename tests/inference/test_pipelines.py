"""Pipelines on real artifacts: whose taste counts, what happened a moment ago, and what may be returned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.positions import LEGACY_EPOCH, Epoch, Lineage
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.recent_events import EventRule, RecentEvent
from inference.request import RecommendationRequest
from inference.stages.score import score_all
from inference.user_state import UserState, UserStates
from recipes.catalog import get_recipe
from recipes.data.histories import History
from recipes.ports import ScoreDelta
from runtime_service.history.records import StoredHistory, encode
from tests.inference.asking import rank, recent, recommend, similar_items
from tests.inference.runs import make_model
from tests.inference.vectors import KINDS, embedding, open_kind, vectors
from tests.runtime_service.world import N_ITEMS, RELATED, WATCH, WATERMARK, item, user


@pytest.mark.parametrize("mode", ["exact", "annoy"])
def test_either_index_serves_an_artifact(shelf, tmp_path, mode):
    model = ModelLoader(shelf, cache=tmp_path, index=mode).load("artifacts/personal")

    assert len(recommend(Pipeline.make(model), user(3)).items) == 10


@pytest.fixture(scope="module")
def model(shelf, tmp_path_factory):
    return ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact").load("artifacts/personal")


@pytest.fixture
def pipeline(model):
    return Pipeline.make(model, event_type="watch", cache_users=2)


def best(pipeline, user_id, history, limit=10):
    return recommend(pipeline, user_id, history, limit=limit).items.tolist()


def test_users_get_what_fits_their_taste(pipeline):
    lower, upper = best(pipeline, user(0), None), best(pipeline, user(1), None)

    assert all(index < N_ITEMS // 2 for index in lower[:3])
    assert all(index >= N_ITEMS // 2 for index in upper[:3])


def test_new_events_change_what_a_user_gets(pipeline):
    before = best(pipeline, user(0), None)

    after = best(
        pipeline, user(0), recent((WATERMARK + 1, "watch", N_ITEMS - 3), (WATERMARK + 2, "watch", N_ITEMS - 2))
    )

    assert after != before


def test_unknown_user_gets_what_new_users_get_until_an_event_comes(pipeline):
    cold_start = best(pipeline, "", None)

    assert best(pipeline, "nobody-knows", None) == cold_start
    assert best(pipeline, "nobody-knows", recent((WATERMARK + 1, "watch", 3))) != cold_start


def test_events_within_the_artifact_change_nothing(pipeline):
    assert best(pipeline, user(0), recent((WATERMARK, "watch", N_ITEMS - 1))) == best(pipeline, user(0), None)


def test_events_of_another_type_change_nothing(pipeline):
    assert best(pipeline, user(0), recent((WATERMARK + 1, "click", N_ITEMS - 1))) == best(pipeline, user(0), None)


def test_type_of_an_event_changes_what_a_user_gets(model):
    unrestricted = Pipeline.make(model)

    watched, bought, unknown, unheard_of = (
        recommend(unrestricted, user(4), recent((WATERMARK + 1, event_type, 30)), limit=N_ITEMS)
        for event_type in ("watch", "buy", "glance", "stare")
    )
    assert watched.items.tolist() != bought.items.tolist()
    assert watched.items.tolist() != unknown.items.tolist()
    # Types that the model was not trained on are all one.
    assert unknown.items.tolist() == unheard_of.items.tolist()
    assert unknown.scores == unheard_of.scores


def test_users_of_the_snapshot_are_scored_with_their_deltas(pipeline, model):
    scored = recommend(pipeline, user(4), None, limit=10)

    deltas = model.scorer.score_deltas(model.histories.of(4))
    scores = model.scorer.item_vectors @ model.user_vectors[4]
    scores[deltas.items] += deltas.values
    assert scored.items.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()


def test_results_from_kept_states_are_the_same(pipeline):
    history = recent((WATERMARK + 1, "watch", 30))

    first, second = (recommend(pipeline, user(4), history, limit=10) for _ in range(2))

    assert len(pipeline.users.cache) == 1
    assert (first.item_ids, first.scores) == (second.item_ids, second.scores)


def test_events_of_a_log_that_was_replaced_count_whatever_their_offsets(pipeline):
    other = Lineage([Epoch(99, 1)])

    scored = best(pipeline, user(4), recent((3, "watch", 30), lineage=other, millis=9000))

    assert scored == best(pipeline, user(4), recent((WATERMARK + 3, "watch", 30), millis=9000))
    assert scored != best(pipeline, user(4), recent((3, "watch", 30), millis=9000))


def test_events_behind_the_backup_of_a_restored_log_count_and_those_before_do_not(pipeline):
    restored = Lineage([Epoch(LEGACY_EPOCH, 1), Epoch(77, 6)])

    scored = best(pipeline, user(4), recent((5, "watch", 31), (6, "watch", 30), lineage=restored, millis=9000))

    assert scored == best(pipeline, user(4), recent((WATERMARK + 6, "watch", 30), millis=9000))


def test_kept_state_is_not_taken_for_the_same_offset_of_another_log(pipeline):
    first = best(pipeline, user(4), recent((WATERMARK + 1, "watch", 30)))

    second = best(pipeline, user(4), recent((WATERMARK + 1, "watch", 5), lineage=Lineage([Epoch(99, 1)])))

    assert second != first


def test_continuing_history_keeps_the_newest_steps(model):
    longest = model.recipe.max_history
    newer = History.of_items(np.arange(longest - 2) % N_ITEMS)

    joined = UserStates(model, cache_users=0).whole_history(3, newer)

    snapshot = model.histories.of(3)
    assert len(joined) == longest
    assert joined.items[:2].tolist() == snapshot.items[-2:].tolist()
    assert joined.event_types[:3].tolist() == [*snapshot.event_types[-2:].tolist(), 0]
    assert joined.times[:3].tolist() == [*snapshot.times[-2:].tolist(), 0]


def test_continuing_history_is_scored_as_the_recipe_scores_it(pipeline, model):
    scored = recommend(pipeline, user(4), recent((WATERMARK + 1, "watch", 30)), limit=10)

    snapshot = model.histories.of(4)
    history = History(
        np.append(snapshot.items, np.int32(30)),
        np.append(snapshot.event_types, np.uint8(WATCH)),
        np.append(snapshot.times, WATERMARK + 1),
    )
    deltas = model.scorer.score_deltas(history)
    scores = model.scorer.item_vectors @ model.scorer.embed_history(history)
    scores[deltas.items] += deltas.values
    assert scored.items.tolist() == np.argsort(-scores, kind="stable")[:10].tolist()


def test_events_that_no_rule_takes_change_nothing(model):
    ruled = Pipeline.make(model, event_rules=(EventRule("watch", 3.0),))
    low, high = (
        StoredHistory(encode([RecentEvent(WATERMARK + place, 1, "watch", item(N_ITEMS - 2), place, value)]))
        for place, value in ((1, 2.5), (2, 3.0))
    )

    assert best(ruled, user(0), low) == best(ruled, user(0), None)
    assert best(ruled, user(0), high) != best(ruled, user(0), None)


def test_given_items_are_ranked_as_they_are_among_all(pipeline):
    everything = recommend(pipeline, user(4), None, limit=N_ITEMS)
    given = np.array([39, 3, 12, 0, 25], np.int32)

    scored = rank(pipeline, user(4), given)

    among = np.isin(everything.items, given)
    assert scored.items.tolist() == everything.items[among].tolist()
    scores = score_all(pipeline.model.scorer.item_vectors, pipeline.users.snapshot_state(4))[scored.items]
    shares = np.exp(scores - scores.max())
    np.testing.assert_allclose(scored.scores, shares / shares.sum(), rtol=1e-4, atol=1e-7)


def test_new_events_change_a_ranking(pipeline):
    given = np.arange(N_ITEMS, dtype=np.int32)

    before, after = (
        rank(pipeline, user(0), given, history)
        for history in (None, recent((WATERMARK + 1, "watch", N_ITEMS - 3), (WATERMARK + 2, "watch", N_ITEMS - 2)))
    )

    assert before.items.tolist() != after.items.tolist()


@pytest.fixture(scope="module", params=["exact", "annoy"])
def relating(shelf, request, tmp_path_factory):
    opener = ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index=request.param)
    return Pipeline.make(opener.load("artifacts/related"))


@pytest.mark.parametrize("limit", [1, 10, N_ITEMS - 1, N_ITEMS])
def test_related_items_are_as_many_as_wanted_and_never_the_item_itself(relating, limit):
    for index in (0, 7, N_ITEMS - 1):
        items = similar_items(relating, item(index), limit=limit).items.tolist()

        assert len(items) == len(set(items)) == min(limit, N_ITEMS - 1)
        assert index not in items


def test_related_items_are_of_the_taste_of_the_item(relating):
    lower, upper = (similar_items(relating, item(index), limit=5).items.tolist() for index in (3, N_ITEMS - 3))

    assert all(index < N_ITEMS // 2 for index in lower)
    assert all(index >= N_ITEMS // 2 for index in upper)


def test_item_that_is_first_for_everybody_is_not_related_to_itself(shelf, tmp_path):
    # Popularity does not lower what it is asked about.
    popular = ModelLoader(shelf, cache=tmp_path, index="exact").load("artifacts/popular")
    popularity = Pipeline.make(replace(popular, recipe=get_recipe(RELATED)))
    everything = recommend(Pipeline.make(popular), limit=N_ITEMS).items.tolist()

    others = similar_items(popularity, item(everything[0]), limit=N_ITEMS).items.tolist()

    assert others == everything[1:]


def test_unknown_item_gets_popular_items(relating):
    scores = relating.model.scorer.item_vectors @ relating.users.cold_start_state.embedding

    items = similar_items(relating, "nobody-made-this").items.tolist()

    assert items == np.argsort(-scores, kind="stable")[:10].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_counted_by_whether_they_are_proven(index_folder, kind):
    index, scan = open_kind(index_folder, kind)
    pipeline = Pipeline.make(make_model(vectors(), index=index, scan=scan, recipe="aws-popularity-count"))
    pipeline.users.cold_start_state = UserState(embedding(0), ScoreDelta.nothing())

    for _ in range(3):
        pipeline.run(RecommendationRequest(5))
    pipeline.run(RecommendationRequest(0))

    counts = pipeline.answer_counts
    assert (counts.proven, counts.unproven) == ((0, 3) if kind in ("lists", "annoy") else (3, 0))
