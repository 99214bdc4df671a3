"""Similar-Items with items that came after the training: they are what an item that nobody used is to a training."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.counts import users_per_item
from recipes.data.histories import History
from recipes.models.ease.score import load
from recipes.retrieval.top_k import top_k
from tests.recipes.models.test_ease_cold_items import COLD, GENRE, GENRES, fans, fit

N_ITEMS = GENRE * GENRES
#: Of the genres of the training, of one that it has not seen, and of none.
NAMES = ["war", "love", "western", ""]
WAR, LOVE, WESTERN, NOTHING = range(len(NAMES))


def columns(*names):
    return Columns(categorical={"GENRES": CategoricalColumn.of_values([(name,) if name else () for name in names])})


@pytest.fixture(scope="module")
def scorer():
    return fit(fans())


@pytest.fixture(scope="module")
def encoded(scorer):
    return scorer.new_item_encoder().encode(columns(*NAMES), n_rows=len(NAMES))


@pytest.fixture(scope="module")
def reading(scorer, encoded):
    return scorer.with_new_items(encoded.vectors, encoded.neighbours)


def dense(scorer):
    weights = np.zeros((N_ITEMS, N_ITEMS), np.float32)
    weights[scorer.neighbours.rows(), scorer.neighbours.columns] = scorer.neighbours.values
    return weights


def test_a_new_item_goes_with_what_an_item_of_its_columns_that_nobody_used_goes_with(scorer, encoded):
    weights, counts = dense(scorer), np.maximum(users_per_item(fans()), 1)
    for name, cold in ((WAR, COLD[0]), (LOVE, COLD[1])):
        both = (weights[cold] + weights[:, cold]) / 2 * (counts / counts.mean()) ** 0.25
        expected = np.maximum(np.delete(both, cold), 0.0)  # an item is not its own neighbour
        speaks, is_there = np.zeros(N_ITEMS), encoded.neighbours.items[name] >= 0
        speaks[encoded.neighbours.items[name][is_there]] = encoded.neighbours.weights[name][is_there]
        np.testing.assert_allclose(np.delete(speaks, cold), expected, rtol=1e-3, atol=1e-6)


def test_what_speaks_for_a_new_item_is_what_speaks_for_an_item_of_its_columns_that_nobody_used(
    scorer, encoded, reading
):
    weights, warm = dense(scorer), np.setdiff1d(np.arange(N_ITEMS), COLD)
    scores = np.array([encoded.vectors @ reading.embed_for_new_items(History.of_items([item])) for item in warm])
    np.testing.assert_allclose(scores[:, [WAR, LOVE]], weights[np.ix_(warm, COLD)], rtol=1e-3, atol=1e-6)


def test_new_items_that_are_asked_about_list_their_kind_and_each_other(encoded, reading):
    history = History.of_items([N_ITEMS + LOVE])
    delta = reading.score_deltas(history)
    scores = reading.item_vectors @ reading.embed_history(history)
    scores[delta.items] += delta.values
    assert set(top_k(scores, GENRE).tolist()) == set(range(GENRE, N_ITEMS))

    of_new = encoded.vectors @ reading.embed_for_new_items(history)
    assert of_new[LOVE] > 0.0 > of_new[WAR]


def test_a_history_adds_up(reading):
    alone = [reading.embed_for_new_items(History.of_items([item])) for item in (3, N_ITEMS + WAR)]
    both = History.of_items([N_ITEMS + WAR, 3, N_ITEMS + WAR])
    np.testing.assert_allclose(reading.embed_for_new_items(both), sum(alone), rtol=1e-5)
    assert len(reading.score_deltas(both).items) == len(np.unique(reading.score_deltas(both).items))
    # A model that has not been told of them passes them over.
    assert reading.score_deltas(History.of_items([N_ITEMS + len(NAMES)])).items.tolist() == []


def test_words_that_the_training_has_not_seen_and_no_words_say_nothing(encoded):
    assert encoded.described.tolist() == [True, True, False, False]
    assert (encoded.neighbours.items[[WESTERN, NOTHING]] == -1).all()
    assert not encoded.vectors[[WESTERN, NOTHING]].any()


def test_without_columns_nothing_is_known_of_new_items(tmp_path):
    plain = fit(fans().__class__(fans().interactions, fans().n_users, fans().n_items))
    plain.save(tmp_path)
    assert plain.new_item_encoder() is None
    assert load(tmp_path).new_item_encoder() is None
    assert plain.embed_for_new_items(History.of_items([1])).shape == (0,)


def test_what_was_saved_encodes_the_same(scorer, encoded, tmp_path):
    scorer.save(tmp_path)
    opened = load(tmp_path)
    again = opened.new_item_encoder().encode(columns(*NAMES), n_rows=len(NAMES))
    np.testing.assert_array_equal(again.vectors, encoded.vectors)
    np.testing.assert_array_equal(again.neighbours.items, encoded.neighbours.items)
    np.testing.assert_array_equal(opened.new_item_queries, scorer.new_item_queries)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("new_item_speaks", np.zeros((3, 2), np.float32)),
        ("new_item_heard", np.zeros((N_ITEMS, 1), np.float32)),
        ("new_item_likeness", np.zeros(2, np.float32)),
    ],
)
def test_files_of_another_model_are_corrupt(scorer, tmp_path, name, array):
    scorer.save(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(CorruptArtifact, match=name):
        load(tmp_path)
