"""What may be returned is found exactly, whether nearly all items pass or hardly any, with an index or without."""

from __future__ import annotations

from dataclasses import replace

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
from recipes.retrieval.lists import ListIndex
from tests.inference.runs import make_run
from tests.inference.vectors import KINDS, N_ITEMS, embedding, open_kind, vectors

NOTHING = ScoreDelta.nothing()
VECTORS = vectors()


def brute_force(state, allowed, limit):
    """Return the best items that are allowed, and their scores."""
    scores = score_all(VECTORS, state)
    items = np.flatnonzero(allowed)
    order = np.lexsort((items, -scores[items]))[:limit]
    return items[order].tolist(), scores[items[order]]


def find(
    state, *, index=(None, None), depth=1 << 30, candidates=EVERYTHING, limit=25, bonus=None, filtered=False, **sizes
):
    run = make_run(VECTORS, state, index=index[0], scan=index[1], candidates=candidates, limit=limit)
    run.model = replace(run.model, index_depth=depth)
    run.bonus, run.filtered = bonus, filtered
    for stage in (Retrieve(**sizes), score, keep_best):
        stage(run)
    return run


@pytest.fixture(scope="module")
def indexes(index_folder):
    """By kind an index and the scan; those that are not exact by nature look at everything they have."""
    return {kind: open_kind(index_folder, kind, thorough=True) for kind in KINDS}


@pytest.fixture(scope="module")
def hasty_indexes(index_folder):
    """Indexes that miss some of the best."""
    return {kind: open_kind(index_folder, kind) for kind in ("lists", "annoy")}


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


def hundred_best_shares(state, allowed):
    """Return by item what is shown as its score: its share among the hundred best that may be returned."""
    items, scores = brute_force(state, allowed, N_ITEMS)
    exponentials = np.exp(scores.astype(np.float64) - scores[0])
    return dict(zip(items, exponentials / exponentials[:100].sum(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_what_looking_at_all_gives(state, indexes, kind):
    run = find(state, index=indexes[kind])

    everything = np.ones(N_ITEMS, bool)
    items, scores = brute_force(state, everything, 25)
    shares = hundred_best_shares(state, everything)
    assert run.items.tolist() == items
    np.testing.assert_allclose(run.top_scores, scores, rtol=1e-5)
    np.testing.assert_allclose(run.shares, [shares[item] for item in items], rtol=1e-4)


@pytest.mark.parametrize("candidates", [EVERYTHING, Bitmap(np.arange(N_ITEMS) % 3 > 0)], ids=["everything", "some"])
@pytest.mark.parametrize("limit", [5, 100, 300])
def test_every_index_shows_the_same_scores_to_the_last_bit(state, indexes, candidates, limit):
    runs = [find(state, index=index, candidates=candidates, limit=limit) for index in indexes.values()]

    for run in runs[1:]:
        assert run.items.tolist() == runs[0].items.tolist()
        assert run.shares.tobytes() == runs[0].shares.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_shares_are_of_the_best_hundred_whatever_is_asked_for(indexes, kind):
    state = UserState(embedding(2), NOTHING)
    few, hundred, all_items = (find(state, index=indexes[kind], limit=limit) for limit in (5, 100, N_ITEMS))

    assert few.shares.tolist() == hundred.shares[:5].tolist() == all_items.shares[:5].tolist()
    assert hundred.shares.sum() == pytest.approx(1.0, abs=1e-4)
    assert len(all_items.items) == N_ITEMS
    assert all_items.shares.sum() > 1.0


@pytest.mark.parametrize("kind", ["lists", "annoy"])
def test_index_finds_most_of_the_best(hasty_indexes, kind):
    recalls = []
    for seed in range(40):
        state = UserState(embedding(seed), NOTHING)
        items, _ = brute_force(state, np.ones(N_ITEMS, bool), 25)
        recalls.append(len(np.intersect1d(find(state, index=hasty_indexes[kind]).items, items)) / 25)

    assert 0.9 < np.mean(recalls) < 1.0


@pytest.mark.parametrize("kind", ["lists", "annoy"])
@pytest.mark.parametrize(("limit", "n_lowered"), [(500, 0), (101, 0), (60, 41)])
def test_more_than_an_index_is_good_for_is_found_exactly(hasty_indexes, kind, limit, n_lowered):
    best, _ = brute_force(UserState(embedding(0), NOTHING), np.ones(N_ITEMS, bool), n_lowered)
    state = UserState(embedding(0), ScoreDelta(np.array(best, np.int32), np.full(n_lowered, -50.0, np.float32)))

    run = find(state, index=hasty_indexes[kind], depth=100, limit=limit)

    assert run.exact
    assert run.items.tolist() == brute_force(state, np.ones(N_ITEMS, bool), limit)[0]


@settings(deadline=None, max_examples=60)
@given(
    passing=st.integers(0, N_ITEMS),
    limit=st.integers(1, 60),
    seed=st.integers(0, 1000),
    few=st.sampled_from([0, 20_000]),
    few_share=st.sampled_from([0.0, 0.125, 1.0]),
    excluded=st.sampled_from([0, 200, N_ITEMS]),
    kind=st.sampled_from(KINDS),
    is_searched=st.booleans(),
    removed=st.sampled_from([0, 3, 400]),
)
def test_filters_are_exact_at_any_selectivity(
    indexes, passing, limit, seed, few, few_share, excluded, kind, is_searched, removed
):
    random = np.random.default_rng(seed)
    allowed = np.zeros(N_ITEMS, bool)
    allowed[random.choice(N_ITEMS, passing, replace=False)] = True
    touched = random.choice(N_ITEMS, 40, replace=False).astype(np.int32)
    state = UserState(embedding(seed), ScoreDelta(touched, random.normal(0.0, 5.0, 40).astype(np.float32)))

    scan = indexes[kind][1]
    bitmap = Bitmap(allowed.copy(), scan.narrowed(allowed) if is_searched and scan is not None else None)
    used = np.sort(random.choice(N_ITEMS, removed, replace=False)).astype(np.int32)
    allowed[used] = False

    run = find(
        state,
        index=indexes[kind],
        candidates=bitmap.without(used),
        limit=limit,
        filtered=True,
        few=few,
        few_share=few_share,
        few_searched=few // 20,
        excluded=excluded,
    )

    items, scores = brute_force(state, allowed, limit)
    assert len(run.items) == min(limit, np.count_nonzero(allowed))
    assert run.exact
    np.testing.assert_allclose(run.top_scores, scores, rtol=1e-4, atol=1e-4)
    assert set(run.items.tolist()) == set(items)
    assert len(run.shares) == len(items)


@settings(deadline=None, max_examples=40)
@given(
    passing=st.integers(0, N_ITEMS),
    limit=st.integers(1, 500),
    seed=st.integers(0, 1000),
    kind=st.sampled_from(["lists", "annoy"]),
)
def test_answers_are_never_short_and_filters_are_exact_however_hasty_the_index(
    hasty_indexes, passing, limit, seed, kind
):
    random = np.random.default_rng(seed)
    allowed = np.zeros(N_ITEMS, bool)
    allowed[random.choice(N_ITEMS, passing, replace=False)] = True
    state = UserState(embedding(seed), NOTHING)

    run = find(state, index=hasty_indexes[kind], candidates=Bitmap(allowed), limit=limit, filtered=True)

    assert run.exact
    assert run.items.tolist() == brute_force(state, allowed, limit)[0]


@pytest.mark.parametrize("candidates", [EVERYTHING, EVERYTHING.without(7)], ids=["everything", "one item less"])
def test_index_that_finds_fewer_than_are_asked_for_is_made_up_for(index_folder, candidates):
    _, scan = open_kind(index_folder, "scan")
    one_list = ListIndex.open(index_folder, VECTORS, probes=1)
    state = UserState(embedding(3), NOTHING)
    assert len(one_list.nearest(state.embedding, 500).items) < 500

    for index in ((one_list, scan), (one_list, None)):
        run = find(state, index=index, candidates=candidates, limit=500)

        assert run.items.tolist() == brute_force(state, candidates.mask(N_ITEMS), 500)[0]
        assert run.exact


def test_nothing_that_passes_gives_nothing(indexes):
    nothing = Bitmap(np.zeros(N_ITEMS, bool))
    for found_by in indexes.values():
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


def test_one_item_less_costs_no_place(state, indexes):
    items, _ = brute_force(state, np.ones(N_ITEMS, bool), 26)
    for index in indexes.values():
        run = find(state, index=index, candidates=EVERYTHING.without(items[0]))
        assert run.items.tolist() == items[1:]


def test_bonus_counts_with_an_index_and_without(state, indexes):
    items = np.array([11, 1500, 2999], np.int32)
    bonus = Bonus(items, np.array([50.0, 40.0, -60.0], np.float32), items)
    for index in indexes.values():
        assert find(state, index=index, bonus=bonus).items[:2].tolist() == [11, 1500]


def test_the_best_items_may_all_be_lowered_and_the_worst_raised(indexes):
    order, _ = brute_force(UserState(embedding(4), NOTHING), np.ones(N_ITEMS, bool), N_ITEMS)
    items = np.array([*order[:40], *order[-3:]], np.int32)
    state = UserState(embedding(4), ScoreDelta(items, np.repeat([-100.0, 200.0], [40, 3]).astype(np.float32)))
    for index in indexes.values():
        run = find(state, index=index)

        assert run.items.tolist() == brute_force(state, np.ones(N_ITEMS, bool), 25)[0]
        assert set(run.items[:3].tolist()) == set(order[-3:])
