"""Similar-Items with items' columns: what nobody used finds its like, and what many used is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import History
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import top_items
from recipes.models.ease.cold_items import ContentWeights, with_content
from recipes.models.ease.config import EASEConfig
from recipes.models.ease.fit import EASEFitter
from recipes.retrieval.scoring import catalogue_scores
from recipes.retrieval.top_k import top_k
from tests.recipes.models.test_item_neighbors import ItemToItemSuite
from tests.recipes.suite import N_ITEMS, RING, make_data, ring_walks

#: Twelve items of each of two genres; nobody used the last of each.
GENRE, GENRES = 12, 2
COLD = [11, 23]


def genres(n_items: int, size: int) -> Columns:
    names = ["war", "love", "space", "crime", "door"]
    rows = [(names[item // size],) for item in range(n_items)]
    return Columns(categorical={"GENRES": CategoricalColumn.of_values(rows)})


def fans() -> TrainingData:
    """Let everybody use some items of one genre, but never the cold ones."""
    random = np.random.default_rng(5)
    sequences = [random.permutation(GENRE - 1)[:5] + GENRE * (user % GENRES) for user in range(200)]
    return replace(make_data(sequences, GENRE * GENRES), items=genres(GENRE * GENRES, GENRE))


def fit(data, **config):
    return EASEFitter(EASEConfig(**config), seed=0).fit(data)


def related(scorer, items, limit):
    history = History.of_items(items)
    scores = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    scores[delta.items] += delta.values
    return top_k(scores, limit)


class TestSimilarItemsWithColumns(ItemToItemSuite):
    name = "aws-similar-items"
    # No item on the rings is cold: the model is that without columns, to the byte.

    @classmethod
    def ring_data(cls):
        return replace(ring_walks(), items=genres(N_ITEMS, RING))


def test_an_item_that_nobody_used_has_neighbours_of_its_kind():
    scorer = fit(fans())
    assert set(related(scorer, COLD[:1], 11).tolist()) == set(range(11))


def test_an_item_that_nobody_used_is_found_by_those_who_like_its_kind():
    scorer = fit(fans())
    lists = top_items(catalogue_scores(scorer, fans().histories()), n_items=24, histories=fans().histories(), limit=7)
    assert all(COLD[user % GENRES] in items for user, items in enumerate(lists))


def test_items_with_many_users_keep_their_weights():
    weights = SparseRows(np.array([0, 1, 2, 2]), np.array([1, 0], np.int32), np.array([0.5, 0.25], np.float32))
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [1.0, 0.1]], np.float32)
    data = make_data([[0, 1], [1, 0]], 3)
    learnt = ContentWeights.learn(weights, vectors, users=np.array([90, 90, 0]), histories=data.histories(), seed=0)
    completed = with_content(weights, learnt)
    dense = np.zeros((3, 3), np.float32)
    dense[completed.rows(), completed.columns] = completed.values
    assert (dense[0, 1], dense[1, 0]) == (0.5, 0.25)
    assert dense[0, 2] > 0 < dense[2, 0]
    assert np.diag(dense).tolist() == [0, 0, 0]


def test_without_content_nothing_is_learnt_of_it():
    weights = SparseRows(np.array([0, 1, 2]), np.array([1, 0], np.int32), np.array([0.5, 0.25], np.float32))
    nothing = make_data([[0, 1]], 2).histories()
    for vectors, users in ((np.zeros((2, 3), np.float32), [1, 1]), (np.ones((2, 3), np.float32), [0, 0])):
        assert ContentWeights.learn(weights, vectors, users=np.array(users), histories=nothing, seed=0) is None


def test_the_width_of_content_is_the_hyperparameters():
    rows = [(f"c{item % 40}", f"d{item % 56}") for item in range(400)]
    wide = replace(
        make_data([[0, 1], [1, 2]] * 5, 400), items=Columns(categorical={"C": CategoricalColumn.of_values(rows)})
    )
    widths = []
    for width in (30, 60):
        made = EASEFitter(EASEConfig(item_metadata_hidden_dim=width), seed=0)
        made.fit(wide)
        widths.append(made.content(wide).vectors.shape[1])
    assert widths == [30, 60]


def test_a_catalogue_without_cold_items_is_solved_as_without_columns():
    with_columns, without = (fit(replace(ring_walks(), items=items)) for items in (genres(N_ITEMS, RING), Columns()))
    assert with_columns.neighbours.values.tobytes() == without.neighbours.values.tobytes()
    assert with_columns.neighbours.columns.tobytes() == without.neighbours.columns.tobytes()
