"""SIMS and Similar-Items pass the contract suite, find what belongs together, and give the figures of sums by hand."""

import itertools

import numpy as np
import pytest

from common.errors import CorruptArtifact, InvalidInput
from recipes.components.item_neighbors import ItemNeighborsScorer, load, popularity_vectors
from recipes.components.item_regression.ease import ease_weights, sparse_ease_weights
from recipes.data.gram_matrix import (
    GramMatrix,
    build_gram_matrix,
    distinct_items,
    largest_of_rows,
    neighbours,
)
from recipes.data.histories import History
from recipes.data.sparse import SparseRows
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.cooccurrence.config import CooccurrenceConfig
from recipes.models.cooccurrence.fit import CooccurrenceFitter
from recipes.models.ease.config import EASEConfig
from recipes.models.ease.fit import EASEFitter
from recipes.retrieval.scoring import catalogue_scores
from recipes.retrieval.top_k import top_k
from tests.recipes.suite import RecipeSuite, make_data

#: Two groups of items that nobody mixes; item 6 is used by everybody, 7 by nobody.
GROUPS = [[0, 1, 2, 6], [1, 2, 0, 6], [0, 2, 6], [3, 4, 5, 6], [4, 5, 3, 6], [3, 5, 6]]
ALL_KEPT = {
    "min_cointeraction_count": 1,
    "min_user_history_length_percentile": 0.0,
    "max_user_history_length_percentile": 1.0,
    "min_item_interaction_count_percentile": 0.0,
    "max_item_interaction_count_percentile": 1.0,
}


class ItemToItemSuite(RecipeSuite):
    relates_items = True
    quality_floor = 0.0  # what is used together has no order; what is found is tested below
    uses_randomness = False


class TestSims(ItemToItemSuite):
    name = "aws-sims"


class TestSimilarItems(ItemToItemSuite):
    name = "aws-similar-items"


def fit_sims(data, **config):
    return CooccurrenceFitter(CooccurrenceConfig(**{**ALL_KEPT, **config}), seed=0).fit(data)


def fit_similar(data, **config):
    return EASEFitter(EASEConfig(**config), seed=0).fit(data)


def scores_of(scorer, items):
    history = History.of_items(items)
    values = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    values[delta.items] += delta.values
    return values


def weights_of(scorer, n_items):
    rows = scorer.neighbours
    dense = np.zeros((n_items, n_items), np.float32)
    dense[rows.rows(), rows.columns] = rows.values
    return dense


@pytest.mark.parametrize(
    ("factor", "expected"),
    # Items 0, 1, 2 have 3, 2 and 1 users; 0 and 1 have two in common, 0 and 2 one, 1 and 2 one.
    [(0.0, [0, 2, 1]), (0.5, [0, 2 / np.sqrt(6), 1 / np.sqrt(3)]), (1.0, [0, 2 / 6, 1 / 3])],
)
def test_sims_are_common_users_by_a_power_of_popularity(factor, expected):
    data = make_data([[0, 1, 2], [1, 0, 0], [0]], n_items=3)
    weights = weights_of(fit_sims(data, popularity_discount_factor=factor), 3)
    np.testing.assert_allclose(weights[0], expected, rtol=1e-6)
    np.testing.assert_array_equal(weights, weights.T)


def test_sims_need_the_minimum_of_common_users():
    data = make_data([[0, 1, 2], [1, 0], [0]], n_items=3)
    weights = weights_of(fit_sims(data, min_cointeraction_count=2), 3)
    assert np.argwhere(weights).tolist() == [[0, 1], [1, 0]]


def test_sims_leave_out_the_longest_histories_and_the_most_used_items():
    sequences = [[user % 20, 20 + user % 10] for user in range(99)] + [list(range(30))]
    data = make_data(sequences, n_items=30)
    shortest = weights_of(fit_sims(data, max_user_history_length_percentile=0.9), 30)
    assert not shortest[0, 1]
    assert weights_of(fit_sims(data), 30)[0, 1]
    assert not weights_of(fit_sims(data, max_item_interaction_count_percentile=0.5), 30)[:, 20:].any()


def test_sims_leave_out_the_shortest_histories_and_the_least_used_items():
    data = make_data([[0, 1]] * 3 + [[0, 1, 2]] * 3 + [[2, 3]], n_items=4)
    assert not weights_of(fit_sims(data, min_user_history_length_percentile=0.9), 4)[2, 3]
    assert not weights_of(fit_sims(data, min_item_interaction_count_percentile=0.4), 4)[3].any()
    assert weights_of(fit_sims(data), 4)[2, 3]


@pytest.mark.parametrize("fit", [fit_sims, fit_similar])
def test_neighbours_come_first_then_what_is_popular_and_the_item_itself_last(fit):
    ranked = top_k(scores_of(fit(make_data(GROUPS, n_items=8)), [0]), 8).tolist()
    assert set(ranked[:3]) >= {2}
    assert ranked.index(2) < ranked.index(3)
    assert ranked[-1] == 0


@pytest.mark.parametrize("fit", [fit_sims, fit_similar])
def test_an_unknown_item_and_nothing_get_what_is_popular(fit):
    scorer = fit(make_data(GROUPS, n_items=8))
    assert top_k(scores_of(scorer, []), 1).tolist() == top_k(scores_of(scorer, [99]), 1).tolist() == [6]
    assert top_k(scores_of(scorer, [7]), 1).tolist() == [6]


def test_a_whole_history_adds_up_and_uses_count_once():
    near = SparseRows(np.array([0, 2, 4, 4, 4]), np.array([2, 3, 2, 3], np.int32), np.array([1, 2, 4, -3], np.float32))
    scorer = ItemNeighborsScorer(popularity_vectors(np.array([1, 4, 2, 2])), near)
    scores = scores_of(scorer, [0, 1, 1, 0])
    np.testing.assert_allclose(scores[[2, 3]], [5 + 2**-10, -1], rtol=1e-6)
    assert top_k(scores, 4).tolist() == [2, 3, 0, 1]


def test_large_catalogues_add_up_alike():
    scorer = fit_sims(make_data(GROUPS, n_items=8))
    large = ItemNeighborsScorer(scorer.item_vectors, scorer.neighbours, max_dense_items=0)
    np.testing.assert_allclose(scores_of(large, [0, 3, 5]), scores_of(scorer, [0, 3, 5]), rtol=1e-6)


def test_the_exact_solution_is_each_items_ridge_regression_on_the_others():
    random = np.random.default_rng(3)
    used = (random.random((40, 6)) < 0.4).astype(np.float32)
    gram, penalties = used.T @ used, np.array([1, 2, 3, 4, 5, 6], np.float32)
    weights = ease_weights(gram_matrix_of(gram), penalties)
    for item in range(6):
        others = np.delete(np.arange(6), item)
        by_hand = np.linalg.solve((gram + np.diag(penalties))[np.ix_(others, others)], gram[others, item])
        np.testing.assert_allclose(as_dense(weights)[others, item], by_hand, atol=1e-5)


def gram_matrix_of(gram):
    pairs = gram * (1 - np.eye(len(gram)))
    rows, columns = np.nonzero(pairs)
    offsets = np.searchsorted(rows, np.arange(len(gram) + 1))
    counted = SparseRows(offsets, columns.astype(np.int32), pairs[rows, columns].astype(np.float32))
    return GramMatrix(counted, np.diag(gram).astype(np.float32))


def as_dense(matrix):
    n_items = len(matrix.offsets) - 1
    dense = np.zeros((n_items, n_items), np.float32)
    dense[matrix.rows(), matrix.columns] = matrix.values
    return dense


def test_with_all_other_items_as_candidates_the_approximation_is_exact():
    random = np.random.default_rng(4)
    used = (random.random((200, 50)) < 0.2 + random.random(50) * 0.4).astype(np.float32)
    counted, penalties = gram_matrix_of(used.T @ used), np.full(50, 3.0, np.float32)
    shares = []
    weights = sparse_ease_weights(counted, penalties, candidates=50, progress=shares.append)
    np.testing.assert_allclose(as_dense(weights), as_dense(ease_weights(counted, penalties)), atol=1e-4)
    assert shares


def test_candidates_are_the_items_of_highest_cosine():
    gram = np.array([[4, 3, 3, 1], [3, 9, 0, 0], [3, 0, 4, 0], [1, 0, 0, 1]], np.float32)
    weights = as_dense(
        sparse_ease_weights(gram_matrix_of(gram), np.ones(4, np.float32), candidates=1, progress=lambda share: None)
    )
    # Of item 0's companions, 2 has cosine 3 / 4, 1 has 3 / 6 and 3 has 1 / 2: its only weight is 3 / (4 + 1).
    np.testing.assert_allclose(weights[:, 0], [0, 0, 0.6, 0], rtol=1e-6)


def test_a_catalogue_too_large_for_the_exact_solution_is_approximated():
    # Users of two items each are too few for a group, which the exact solution alone would add.
    data = make_data([*itertools.combinations(range(5), 2), [0, 1], [0, 2], [3, 1]], n_items=6)
    approximated = EASEFitter(EASEConfig(), seed=0, max_dense_items=0).fit(data)
    np.testing.assert_allclose(weights_of(approximated, 6), weights_of(fit_similar(data), 6), atol=1e-4)


def test_the_discount_divides_by_the_neighbours_popularity():
    data = make_data(GROUPS, n_items=8)
    plain, discounted = (weights_of(fit_similar(data, popularity_discount_factor=value), 8) for value in (0.0, 1.0))
    np.testing.assert_allclose(discounted, plain / np.array([3, 2, 3, 3, 2, 3, 6, 1]), rtol=1e-5)


def test_what_was_used_near_counts_more_only_where_times_are_known():
    sequences = [[0, 1, *range(2, 40), 40]] * 3
    timed = make_data(sequences, n_items=41)
    rows = timed.interactions
    without = Interactions(rows.user, rows.item, np.zeros_like(rows.timestamp), rows.event_type)
    untimed = weights_of(fit_similar(TrainingData(without, 3, 41)), 41)
    weights = weights_of(fit_similar(timed), 41)
    assert weights[0, 1] > weights[0, 40]
    assert untimed[0, 1] == pytest.approx(untimed[0, 40], rel=1e-3)


def test_nearness_falls_in_a_straight_line():
    histories = make_data([[0, 1, 2, 3]], n_items=4).histories()
    gram = build_gram_matrix(histories, n_items=4, nearness=0.5, width=2)
    np.testing.assert_allclose(as_dense(gram.off_diagonal)[0], [0, 0.75, 0.5, 0.5])
    assert gram.diagonal.tolist() == [1, 1, 1, 1]


def test_counting_a_few_rows_at_a_time_changes_nothing():
    random = np.random.default_rng(5)
    data = make_data([random.permutation(30)[: random.integers(1, 20)] for _ in range(60)], n_items=30)
    weights = random.random(60).astype(np.float32)
    counted, again = (
        build_gram_matrix(data.histories(), n_items=30, user_weights=weights, nearness=0.3, width=5, **sizes)
        for sizes in ({}, {"pairs_at_once": 50, "dense_cells": 0})
    )
    np.testing.assert_allclose(as_dense(again.off_diagonal), as_dense(counted.off_diagonal), rtol=1e-5)
    np.testing.assert_array_equal(again.off_diagonal.offsets, counted.off_diagonal.offsets)


def test_rows_are_cut_to_their_strongest():
    data = make_data([[0, 1, 2], [0, 1], [0, 1], [2], [0, 3]], n_items=4)
    weights = as_dense(build_gram_matrix(data.histories(), n_items=4, row_limit=1).off_diagonal)
    # By common users over the root of the companion's: 3 / sqrt(3) for 1, 1 / sqrt(2) for 2, 1 / sqrt(1) for 3.
    assert weights[0].tolist() == [0, 3, 0, 0]


def test_different_items_are_in_the_order_of_first_use_and_the_newest_of_long_histories():
    data = make_data([[3, 1, 3, 1, 2], [0, 1, 2, 3]], n_items=4)
    distinct = distinct_items(data, limit=3)
    assert [distinct.of(user).items.tolist() for user in range(2)] == [[3, 1, 2], [1, 2, 3]]


def test_the_largest_of_each_row():
    kept, offsets = largest_of_rows(np.array([0, 3, 3, 5]), np.array([1, 5, 3, 2, 9], np.float32), limit=2)
    assert (kept.tolist(), offsets.tolist()) == ([1, 2, 3, 4], [0, 2, 2, 4])


def test_neighbours_that_speak_against_an_item_are_kept_too():
    weights = SparseRows(np.array([0, 3]), np.array([0, 1, 2], np.int32), np.array([0.1, -0.5, 0.3], np.float32))
    assert neighbours(weights, limit=2).columns.tolist() == [1, 2]


def test_nobody_and_nothing_are_no_error():
    nothing = np.empty(0, np.int64)
    data = TrainingData(Interactions.sort(nothing, item=nothing, timestamp=nothing), 2, 3)
    for fit in (fit_sims, fit_similar):
        assert scores_of(fit(data), [1])[[0, 2]].tolist() == [0.0, 0.0]


def test_files_that_do_not_fit_are_corrupt(tmp_path):
    fit_sims(make_data(GROUPS, n_items=8)).save(tmp_path)
    np.save(tmp_path / "neighbour_offsets.npy", np.zeros(3, np.int64))
    with pytest.raises(CorruptArtifact, match="want 9 places"):
        load(tmp_path)
    np.save(tmp_path / "item_vectors.npy", np.zeros((8, 2), np.float32))
    with pytest.raises(CorruptArtifact, match="one column"):
        load(tmp_path)


def test_defaults_are_those_of_personalize():
    assert CooccurrenceConfig().model_dump() == {
        "popularity_discount_factor": 0.5,
        "min_cointeraction_count": 3,
        "min_user_history_length_percentile": 0.005,
        "max_user_history_length_percentile": 0.995,
        "min_item_interaction_count_percentile": 0.01,
        "max_item_interaction_count_percentile": 0.9,
    }
    assert EASEConfig().model_dump() == {
        "popularity_discount_factor": 0.0, "item_id_hidden_dim": 100, "item_metadata_hidden_dim": 100,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (CooccurrenceConfig, {"min_cointeraction_count": "11"}),
        (CooccurrenceConfig, {"popularity_discount_factor": "1.1"}),
        (CooccurrenceConfig, {"min_user_history_length_percentile": "-0.1"}),
        (EASEConfig, {"item_id_hidden_dim": "29"}),
        (EASEConfig, {"min_cointeraction_count": "3"}),
    ],
)
def test_values_out_of_range_and_names_of_others_are_refused(config, values):
    (name,) = values
    with pytest.raises(InvalidInput, match=name):
        config.from_hyperparameters(values)


def test_errors_name_the_place_that_a_solution_gives_a_value_at():
    with pytest.raises(InvalidInput, match=r"`featureTransformationParameters\.min_user_history_length_percentile`"):
        CooccurrenceConfig.from_hyperparameters({"min_user_history_length_percentile": "-0.1"})
    with pytest.raises(InvalidInput, match=r"`algorithmHyperParameters\.min_cointeraction_count`"):
        CooccurrenceConfig.from_hyperparameters({"min_cointeraction_count": "11"})


def test_catalogue_scores_are_those_of_single_histories():
    data = make_data(GROUPS, n_items=8)
    scorer = fit_similar(data)
    scores = catalogue_scores(scorer, data.histories())(slice(0, 2))
    np.testing.assert_allclose(scores[1], scores_of(scorer, [1, 2, 0, 6]), rtol=1e-6)
