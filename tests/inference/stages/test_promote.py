"""Promoted items get their share of the places, and carry the promotion's name."""

from __future__ import annotations

import numpy as np
import pytest

from inference.candidates import Bitmap, ItemList
from inference.request import Promotion
from inference.result import EXPLORED, PROMOTED
from inference.stages.describe import describe
from inference.stages.filter import keep_best
from inference.stages.promote import Promote
from inference.stages.retrieve import retrieve
from inference.stages.score import score
from inference.user_state import UserState
from recipes.ports import ScoreDelta
from tests.inference.runs import make_run

N_ITEMS = 200
FIND = (retrieve, score, keep_best)
#: One coordinate: the higher its index, the better the item.
VECTORS = np.arange(N_ITEMS, dtype=np.float32)[:, None] / N_ITEMS
STATE = UserState(np.ones(1, np.float32), ScoreDelta.nothing())


def promotion(items, share=0.2):
    return Promotion("new films", ItemList(np.array(items, np.int32)), share)


def run(promoted=None, *, limit=10, **members):
    working = make_run(VECTORS, STATE, limit=limit, promotion=promoted, **members)
    for stage in (*FIND, Promote(FIND), describe):
        stage(working)
    return working.result


def test_best_promoted_items_take_their_share_of_the_places_in_their_order():
    result = run(promotion([3, 50, 20, 7]))

    items = result.items.tolist()
    assert len(items) == len(set(items)) == 10
    assert [item for item in items if item <= 50] == [50, 20]
    assert [item for item in items if item > 50] == list(range(199, 191, -1))
    assert {items[place]: name for place, name in result.promotions.items()} == {50: "new films", 20: "new films"}
    assert {items[place] for place in result.reasons} == {50, 20}
    assert set(result.reasons.values()) == {PROMOTED}


def test_places_of_promoted_items_are_random():
    working = [make_run(VECTORS, STATE, limit=10, promotion=promotion([3, 50])) for _ in range(40)]
    places = set()
    for seed, one in enumerate(working):
        one.random = np.random.default_rng(seed)
        for stage in (*FIND, Promote(FIND), describe):
            stage(one)
        places.update(one.result.promotions)
    assert places == set(range(10))


def test_promoted_items_that_are_in_the_list_anyway_are_there_once():
    result = run(promotion([199, 198, 3]))

    assert sorted(result.items.tolist()) == list(range(190, 200))
    assert {result.items[place] for place in result.promotions} == {198, 199}


def test_too_few_promoted_items_leave_their_places_to_others():
    result = run(promotion([5], share=1.0))

    assert sorted(result.items.tolist()) == [5, *range(191, 200)]


def test_everything_may_be_promoted():
    result = run(promotion(range(20), share=1.0))

    assert result.items.tolist() == list(range(19, 9, -1))
    assert len(result.promotions) == 10


def test_own_filter_of_a_promotion_counts_for_its_items_alone():
    allowed = np.zeros(N_ITEMS, bool)
    allowed[100:120] = True

    result = run(promotion([3, 50]), candidates=Bitmap(allowed))

    assert {item for item in result.items.tolist() if item < 100} == {3, 50}
    assert sum(100 <= item < 120 for item in result.items.tolist()) == 8


@pytest.mark.parametrize("share", [0.001, 0.04])
def test_at_least_one_item_is_promoted(share):
    assert len(run(promotion([3, 50], share)).promotions) == 1


def test_promotion_of_nothing_changes_nothing():
    assert run(promotion([])).item_ids == run().item_ids


def test_promoted_items_stand_alone_where_nothing_else_may_be_returned():
    result = run(promotion([3, 50], share=1.0), candidates=Bitmap(np.zeros(N_ITEMS, bool)))

    assert result.items.tolist() == [50, 3]
    assert sum(result.scores) == pytest.approx(1.0)


@pytest.mark.parametrize("candidates", [Bitmap(np.zeros(N_ITEMS, bool)), Bitmap(np.arange(N_ITEMS) < 5)])
def test_scores_of_promoted_items_far_above_all_candidates_are_shares_all_the_same(candidates):
    working = make_run(VECTORS * 1000, STATE, limit=10, promotion=promotion([3, 199]), candidates=candidates)
    for stage in (*FIND, Promote(FIND), describe):
        stage(working)

    scores = dict(zip(working.result.items.tolist(), working.result.scores, strict=True))
    assert 0.0 < scores[199] <= 1.0
    assert scores[3] <= scores[199]


def test_explored_items_may_be_promoted_or_give_way():
    working = make_run(VECTORS, STATE, limit=10, promotion=promotion([3, 4], share=0.5))
    for stage in FIND:
        stage(working)
    working.items[:2], working.shares[:2] = [3, 9], np.nan
    working.reasons.update({3: EXPLORED, 9: EXPLORED})
    for stage in (Promote(FIND), describe):
        stage(working)

    result = working.result
    by_item = {item: place for place, item in enumerate(result.items.tolist())}
    assert {item: result.reasons[place] for item, place in by_item.items() if place in result.reasons} == {
        3: PROMOTED,
        4: PROMOTED,
        9: EXPLORED,
    }
    assert result.scores[by_item[3]] is not None
    assert result.scores[by_item[9]] is None


def test_scores_of_promoted_items_are_shares_of_the_same_whole():
    scores = (VECTORS @ STATE.embedding).astype(np.float64)
    shares = np.exp(scores) / np.sort(np.exp(scores))[-100:].sum()

    result = run(promotion([3, 50]))

    assert result.scores == pytest.approx(shares[result.items].tolist(), abs=1e-7)
