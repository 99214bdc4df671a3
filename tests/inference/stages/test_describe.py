"""What is said of each item: its id, its score as it is shown, its columns, and why it is there."""

from __future__ import annotations

import numpy as np

from inference.candidates import ItemList
from inference.stages.describe import describe
from inference.user_state import UserState
from recipes.ports import ScoreDelta
from tests.inference.runs import make_run

GENRES = {"item-0000": "a", "item-0001": "b", "item-0003": "d", "x": "new"}
VECTORS = np.ones((4, 1), np.float32)
STATE = UserState(np.ones(1, np.float32), ScoreDelta.nothing())


def described(items, shares, reasons=None, promoted=None, new=(), **members):
    run = make_run(VECTORS, STATE, **members)
    run.model.new_items.ids.add(new)
    run.items, run.shares = np.array(items, np.int32), np.array(shares, np.float32)
    run.reasons.update(reasons or {})
    run.promoted.update(promoted or {})
    describe(run)
    return run.result


def genre_of(item_id):
    return GENRES.get(item_id, "")


def test_scores_have_seven_decimals():
    result = described([2, 0], [0.123456789, 0.1])
    assert result.item_ids == ["item-0002", "item-0000"]
    assert result.scores == [0.1234568, 0.1]


def test_item_without_a_score_shows_none():
    result = described([2, 0], [0.25, np.nan], {0: "Exploration"})
    assert result.scores == [0.25, None]
    assert result.reasons == {1: "Exploration"}


def test_recipes_without_scores_give_no_reasons():
    result = described([2, 0], [0.25, np.nan], {0: "Exploration"}, recipe="aws-ecomm-recommended-for-you")
    assert result.item_ids == ["item-0002", "item-0000"]
    assert result.scores == [None, None]
    assert result.reasons == {}


def test_ids_that_nobody_knows_come_last_without_scores():
    candidates = ItemList(np.array([1], np.int32), unknown_ids=["x", "y"])
    result = described([1], [1.0], candidates=candidates, columns={"GENRE": genre_of})
    assert result.item_ids == ["item-0001", "x", "y"]
    assert result.scores == [1.0, None, None]
    assert result.columns == {"GENRE": ["b", "new", ""]}


def test_columns_are_of_the_items_in_their_order():
    result = described([3, 1], [0.5, 0.5], columns={"GENRE": genre_of, "ID": str.upper})
    assert result.columns == {"GENRE": ["d", "b"], "ID": ["ITEM-0003", "ITEM-0001"]}


def test_items_that_came_after_the_model_have_names_and_columns():
    result = described([5, 0], [0.0, 0.0], new=["new-1", "new-2"], columns={"GENRE": lambda item_id: f"of {item_id}"})
    assert result.item_ids == ["new-2", "item-0000"]
    assert result.columns == {"GENRE": ["of new-2", "of item-0000"]}


def test_names_of_promotions_are_given_by_place():
    assert described([3, 1], [0.5, 0.5], promoted={1: "spring"}).promotions == {1: "spring"}
