"""What may be returned is found exactly, whether nearly all items pass or hardly any, with an index or without."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.candidates import EVERYTHING, Bitmap, ItemList
from inference.stages.filter import keep_best
from inference.stages.retrieve import Retrieve
from inference.stages.score import score, score_all
from inference.user_state import UserState
from recipes.components.exploration import Bonus
from recipes.ports import ScoreDelta
from recipes.retrieval.annoy import AnnoyIndex
from tests.inference.runs import make_run
from tests.inference.vectors import N_ITEMS, embedding, vectors

NOTHING = ScoreDelta.nothing()
VECTORS = vectors()


def brute_force(state, allowed, limit):
    """Return the best items that are allowed, and their scores."""
    scores = score_all(VECTORS, state)
    items = np.flatnonzero(allowed)
    order = np.lexsort((items, -scores[items]))[:limit]
    return items[order].tolist(), scores[items[order]]


def find(state, *, index=None, candidates=EVERYTHING, limit=25, bonus=None, **sizes):
    run = make_run(VECTORS, state, index=index, candidates=candidates, limit=limit)
    run.bonus = bonus
    for stage in (Retrieve(**sizes), score, keep_best):
        stage(run)
    return run


@pytest.fixture(scope="module")
def index(index_folder):
    """An index that misses some of the best."""
    return AnnoyIndex(index_folder / "index.ann", VECTORS, search_k=4000)


@pytest.fixture(scope="module")
def thorough_index(index_folder):
    """An index that looks at every node."""
    return AnnoyIndex(index_folder / "index.ann", VECTORS, search_k=10_000_000)


@pytest.fixture(
    scope="module",
    params=[[-3.0] * 5, [0.0] * 5, [2.0] * 5, [-30.0, 2.0, -0.5, 0.0, 30.0]],
    ids=["all lowered", "none changed", "all raised", "some lowered, some raised"],
)
def state(request):
    """Change some of the best items of one embedding, one far behind, and the last."""
    items, _ = brute_force(UserState(embedding(0), NOTHING), np.ones(N_ITEMS, bool), N_ITEMS)
    places = [items[place] for place in (0, 3, 5, 600, N_ITEMS - 1)]
    return UserState(embedding(0), ScoreDelta(np.array(places, np.int32), np.array(request.param, np.float32)))


def test_without_index_everything_is_what_looking_at_all_gives(state):
    run = find(state)

    items, scores = brute_force(state, np.ones(N_ITEMS, bool), 25)
    shares = np.exp(score_all(VECTORS, state).astype(np.float64) - scores[0])
    assert run.items.tolist() == items
    np.testing.assert_allclose(run.shares, shares[items] / shares.sum(), rtol=1e-4)


def test_shares_of_all_items_are_one():
    run = find(UserState(embedding(1), NOTHING), limit=N_ITEMS)

    assert len(run.items) == N_ITEMS
    assert run.shares.sum() == pytest.approx(1.0, abs=1e-4)


def test_index_that_looks_at_every_node_is_what_looking_at_all_gives(state, thorough_index):
    run = find(state, index=thorough_index)

    assert run.items.tolist() == brute_force(state, np.ones(N_ITEMS, bool), 25)[0]
    assert (np.diff(run.shares) <= 0).all()
    assert 0.0 < run.shares.sum() <= 1.0 + 1e-6


def test_index_finds_most_of_the_best(index):
    recalls = []
    for seed in range(40):
        state = UserState(embedding(seed), NOTHING)
        items, _ = brute_force(state, np.ones(N_ITEMS, bool), 25)
        recalls.append(len(np.intersect1d(find(state, index=index).items, items)) / 25)

    assert np.mean(recalls) > 0.9


def test_shares_with_an_index_are_of_the_best_hundred_whatever_is_asked_for(thorough_index):
    state = UserState(embedding(2), NOTHING)
    few, many = (find(state, index=thorough_index, limit=limit) for limit in (5, 100))

    np.testing.assert_allclose(few.shares, many.shares[:5], rtol=1e-5)
    assert many.shares.sum() == pytest.approx(1.0, abs=1e-4)


@settings(deadline=None, max_examples=60)
@given(
    passing=st.integers(0, N_ITEMS),
    limit=st.integers(1, 60),
    seed=st.integers(0, 1000),
    few=st.sampled_from([0, 20_000]),
    few_share=st.sampled_from([0.0, 0.125, 1.0]),
    with_index=st.booleans(),
)
def test_filters_are_exact_at_any_selectivity(thorough_index, passing, limit, seed, few, few_share, with_index):
    random = np.random.default_rng(seed)
    allowed = np.zeros(N_ITEMS, bool)
    allowed[random.choice(N_ITEMS, passing, replace=False)] = True
    touched = random.choice(N_ITEMS, 40, replace=False).astype(np.int32)
    state = UserState(embedding(seed), ScoreDelta(touched, random.normal(0.0, 5.0, 40).astype(np.float32)))

    run = find(
        state,
        index=thorough_index if with_index else None,
        candidates=Bitmap(allowed),
        limit=limit,
        few=few,
        few_share=few_share,
    )

    items, scores = brute_force(state, allowed, limit)
    assert len(run.items) == min(limit, passing)
    np.testing.assert_allclose(run.top_scores, scores, rtol=1e-4, atol=1e-4)
    assert set(run.items.tolist()) == set(items)
    assert len(run.shares) == len(items)


def test_index_that_comes_back_short_of_what_passes_is_made_up_for(index):
    # What passes is what the index is asked for last.
    state = UserState(embedding(3), NOTHING)
    order, _ = brute_force(state, np.ones(N_ITEMS, bool), N_ITEMS)
    allowed = np.zeros(N_ITEMS, bool)
    allowed[order[-2000:]] = True

    run = find(state, index=index, candidates=Bitmap(allowed), few=0)

    assert run.items.tolist() == order[-2000:-1975]
    assert run.shortlist is None


@pytest.mark.parametrize("candidates", [EVERYTHING, EVERYTHING.without(7)], ids=["everything", "one item less"])
def test_index_that_finds_fewer_than_are_asked_for_is_made_up_for(index_folder, candidates):
    hasty = AnnoyIndex(index_folder / "index.ann", VECTORS, search_k=1)
    state = UserState(embedding(3), NOTHING)
    assert len(hasty.nearest(state.embedding, 500)) < 500

    run = find(state, index=hasty, candidates=candidates, limit=500)

    assert run.items.tolist() == brute_force(state, candidates.mask(N_ITEMS), 500)[0]


@pytest.mark.parametrize("passing", [N_ITEMS // 2, N_ITEMS - 1])
def test_what_passes_is_searched_for_where_it_is_a_large_share_of_a_small_catalogue(index, passing):
    run = find(UserState(embedding(3), NOTHING), index=index, candidates=Bitmap(np.arange(N_ITEMS) < passing))

    assert run.shortlist is not None
    assert len(run.shortlist) < 500


def test_nothing_that_passes_gives_nothing(thorough_index):
    nothing = Bitmap(np.zeros(N_ITEMS, bool))
    for found_by in (None, thorough_index):
        for few in (0, 20_000):
            run = find(UserState(embedding(1), NOTHING), index=found_by, candidates=nothing, few=few, few_share=0.0)
            assert len(run.items) == len(run.shares) == 0


def test_listed_items_stay_in_their_order_where_scores_are_equal():
    listed = np.array([9, 2, 7, 4], np.int32)
    state = UserState(
        np.zeros(VECTORS.shape[1], np.float32), ScoreDelta(np.array([4], np.int32), np.ones(1, np.float32))
    )

    run = find(state, candidates=ItemList(listed), limit=4)

    assert run.items.tolist() == [4, 9, 2, 7]
    assert run.shares.sum() == pytest.approx(1.0)


def test_one_item_less_costs_no_place(state, thorough_index):
    items, _ = brute_force(state, np.ones(N_ITEMS, bool), 26)
    for index in (None, thorough_index):
        run = find(state, index=index, candidates=EVERYTHING.without(items[0]))
        assert run.items.tolist() == items[1:]


def test_bonus_counts_with_an_index_and_without(state, thorough_index):
    items = np.array([11, 1500, 2999], np.int32)
    bonus = Bonus(items, np.array([50.0, 40.0, -60.0], np.float32), items)
    for index in (None, thorough_index):
        assert find(state, index=index, bonus=bonus).items[:2].tolist() == [11, 1500]


def test_the_best_items_may_all_be_lowered_and_the_worst_raised(thorough_index):
    order, _ = brute_force(UserState(embedding(4), NOTHING), np.ones(N_ITEMS, bool), N_ITEMS)
    items = np.array([*order[:40], *order[-3:]], np.int32)
    state = UserState(embedding(4), ScoreDelta(items, np.repeat([-100.0, 200.0], [40, 3]).astype(np.float32)))
    for index in (None, thorough_index):
        run = find(state, index=index)

        assert run.items.tolist() == brute_force(state, np.ones(N_ITEMS, bool), 25)[0]
        assert set(run.items[:3].tolist()) == set(order[-3:])
