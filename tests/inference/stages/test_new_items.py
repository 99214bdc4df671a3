"""Lists with items that came after the model are those of a model that had them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.candidates import EVERYTHING, Bitmap, ItemList
from inference.new_items import NewItems
from inference.stages.filter import keep_best
from inference.stages.new_items import add_new_items
from inference.stages.retrieve import Retrieve
from inference.stages.score import score
from inference.user_state import UserState
from recipes.components.cluster_lists import ClusterLists
from recipes.components.exploration import Bonus
from recipes.ports import ScoreDelta
from tests.inference.runs import make_run

RANDOM = np.random.default_rng(3)
N_ITEMS, N_NEW = 50, 12
VECTORS = RANDOM.standard_normal((N_ITEMS + N_NEW, 6)).astype(np.float32)
#: The third of the new ids has no columns, so that nothing is known of it.
KNOWN = np.delete(np.arange(N_ITEMS, N_ITEMS + N_NEW), 2).astype(np.int32)
ALL = np.append(np.arange(N_ITEMS), KNOWN)
QUERY = RANDOM.standard_normal(6).astype(np.float32)


def new_items(items=KNOWN, vectors=VECTORS, *, clusters=None):
    described = np.ones(len(items), bool)
    return NewItems.of(
        items, vectors=vectors[items], described=described, created=np.zeros(len(items), np.int64), clusters=clusters,
        first=int(items[0]),
    )  # fmt: skip


def find(candidates=EVERYTHING, *, limit, bonus=None, new=None, deltas=None, vectors=VECTORS, n_items=N_ITEMS):
    run = make_run(
        vectors[:n_items], UserState(QUERY, deltas or ScoreDelta.nothing()), candidates=candidates, limit=limit
    )
    run.model.new_items.ids.add([f"new-{place}" for place in range(len(vectors) - n_items)])
    run.new_items, run.bonus = new or new_items(), bonus
    for stage in (Retrieve(), score, keep_best, add_new_items):
        stage(run)
    return run


@given(st.integers(0, 2**32), st.integers(1, N_ITEMS + N_NEW + 2))
def test_lists_and_shares_are_those_of_brute_force(seed, limit):
    random = np.random.default_rng(seed)
    allowed = random.random(N_ITEMS + N_NEW) < random.random()
    lifted = np.sort(random.choice(ALL, 5, replace=False)).astype(np.int32)
    # In sixteenths, so that no two scores come nearer to each other than rounding moves them.
    bonus = Bonus(lifted, (random.integers(-48, 49, 5) / 16).astype(np.float32), lifted)
    for candidates, passing in ((EVERYTHING, ALL), (Bitmap(allowed), ALL[allowed[ALL]])):
        run = find(candidates, limit=limit, bonus=bonus)
        scores = VECTORS @ QUERY
        scores[lifted] += bonus.values
        order = passing[np.argsort(-scores[passing], kind="stable")]
        assert run.items.tolist() == order[:limit].tolist()
        np.testing.assert_allclose(run.top_scores, scores[order[:limit]], rtol=1e-5, atol=1e-5)
        shares = np.exp(scores[passing]) / np.exp(scores[passing]).sum()
        np.testing.assert_allclose(run.shares, np.sort(shares)[::-1][:limit], rtol=1e-4)


def test_listed_new_items_are_ranked_among_the_others():
    listed = np.array([3, N_ITEMS + 4, 9, N_ITEMS, 20], np.int32)
    run = find(ItemList(listed, ["nobody"]), limit=6)
    assert run.items.tolist() == listed[np.argsort(-(VECTORS[listed] @ QUERY))].tolist()
    assert run.shares.sum() == pytest.approx(1.0)


def test_a_filter_of_before_they_came_lets_none_of_them_pass():
    assert (find(Bitmap(np.ones(N_ITEMS, bool)), limit=N_ITEMS + N_NEW).items < N_ITEMS).all()


def test_where_nothing_else_may_be_returned_new_items_are():
    only = np.zeros(N_ITEMS + N_NEW, bool)
    only[N_ITEMS + 1] = True
    run = find(Bitmap(only), limit=5)
    assert (run.items.tolist(), run.shares.tolist()) == ([N_ITEMS + 1], [1.0])


def test_of_many_new_items_those_that_suit_are_found_and_with_a_filter_all_that_pass():
    n_items, n_new = 20, 5_000
    vectors = RANDOM.standard_normal((n_items + n_new, 6)).astype(np.float32)
    users = RANDOM.standard_normal((500, 6)).astype(np.float32)
    items = np.arange(n_items, n_items + n_new, dtype=np.int32)
    new = new_items(items, vectors, clusters=ClusterLists.of_users(users))
    scores = vectors @ QUERY

    listed = find(limit=25, new=new, vectors=vectors, n_items=n_items).items
    assert len(np.intersect1d(listed, np.argsort(-scores)[:25])) >= 23

    allowed = RANDOM.random(n_items + n_new) < 0.01
    narrow = find(Bitmap(allowed), limit=25, new=new, vectors=vectors, n_items=n_items).items
    passing = np.flatnonzero(allowed)
    assert narrow.tolist() == passing[np.argsort(-scores[passing])][:25].tolist()
