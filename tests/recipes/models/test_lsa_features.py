"""Columns and texts become features, and features vectors in which like items point alike."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.data.columns import CategoricalColumn, Columns
from recipes.models.lsa.decomposition import learn_vectors
from recipes.models.lsa.features import FeatureSpace, split_terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The QUICK fox's 2 tails, x_ray", ["the", "quick", "fox", "tails", "ray"]),
        ("L'été à Málaga, weiß", ["ete", "malaga", "weiss"]),
        ("東京タワー no 海", ["東京", "京タ", "タワ", "ワー", "no", "海"]),
        ("ﾃﾚﾋﾞ", ["テレ", "レビ"]),
        ("", []),
    ],
)
def test_terms_are_words_and_pairs_of_signs(text, terms):
    assert split_terms(text) == terms


def features_of(columns, n_rows):
    space, features = FeatureSpace.learn(columns, n_rows=n_rows)
    dense = np.zeros((n_rows, space.size), np.float32)
    dense[features.rows(), features.columns] = features.values
    return space, dense


def test_categories_weigh_by_how_rare_they_are_and_rare_ones_share_a_feature():
    column = CategoricalColumn.of_values([("a", "b"), ("a", "b"), ("a",), ("a", "x"), ("y",), ()])
    _, dense = features_of(Columns(categorical={"GENRES": column}), 6)

    common, rarer = np.log1p(5 / 4), np.log1p(5 / 2)  # a is in four of five rows, b in two, x and y together in two
    length = np.hypot(common, rarer)
    np.testing.assert_allclose(dense[0], [common / length, rarer / length, 0], rtol=1e-6)
    np.testing.assert_allclose(dense[3], [common / length, 0, rarer / length], rtol=1e-6)
    np.testing.assert_allclose(dense[2], [1, 0, 0])
    assert (dense[5] == 0).all()


def test_terms_of_one_row_and_of_most_rows_are_no_features():
    texts = ("the red car", "the red bus", "the blue car", "the one", None)
    space, dense = features_of(Columns(textual={"PLOT": texts}), 5)

    assert set(space.texts[0].places) == {"red", "car"}
    assert (dense[[3, 4]] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(dense[:3], axis=1), 1, rtol=1e-6)


def test_numbers_lie_between_knots_and_missing_ones_apart():
    space, dense = features_of(Columns(numeric={"YEAR": np.array([0.0, 6.0, 3.0, 1.5, np.nan, 9.0])}), 6)

    knots = space.numbers[0].knots
    assert knots[[0, -1]].tolist() == [0, 9]
    np.testing.assert_allclose(np.linalg.norm(dense, axis=1), 0.5, rtol=1e-6)
    assert np.count_nonzero(dense[4]) == 1
    assert np.flatnonzero(dense[4]) == [len(knots)]
    np.testing.assert_allclose(dense[3] @ np.append(knots, 0) / dense[3].sum(), 1.5)
    assert dense[0] @ dense[1] == 0


def test_one_number_for_all_and_no_number_at_all_are_no_error():
    columns = Columns(numeric={"A": np.full(3, 7.0), "B": np.full(3, np.nan)})
    assert np.isfinite(features_of(columns, 3)[1]).all()


def shelves():
    """Return items on two shelves with texts of their own words, and a number that says the same."""
    words = [["dragon", "sword", "magic", "castle"], ["engine", "rocket", "planet", "laser"]]
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(words[row % 2], 3)) for row in range(40)]
    shelf = CategoricalColumn.of_values([(f"shelf{row % 2}",) for row in range(40)])
    year = np.array([1900.0 + 100 * (row % 2) + row / 40 for row in range(40)])
    return Columns(categorical={"SHELF": shelf}, textual={"PLOT": tuple(texts)}, numeric={"YEAR": year})


def test_like_items_point_alike():
    _, vectors = learn_vectors(shelves(), n_rows=40, size=8, seed=0)

    assert (vectors.shape, vectors.dtype) == ((40, 8), np.float32)
    cosines = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    alike = np.arange(40)[:, None] % 2 == np.arange(40)[None] % 2
    assert cosines[alike].min() > 0 > cosines[~alike].max()


def test_vectors_keep_the_products_of_features_when_there_are_coordinates_enough():
    columns = shelves()
    _, features = features_of(columns, 40)
    map_, vectors = learn_vectors(columns, n_rows=40, size=40, seed=0)
    centred = features - features.mean(axis=0)
    np.testing.assert_allclose(vectors @ vectors.T, centred @ centred.T, atol=1e-4)
    np.testing.assert_array_equal(map_.of(columns, n_rows=40), vectors)


def test_items_that_come_later_are_put_beside_those_like_them():
    map_, vectors = learn_vectors(shelves(), n_rows=40, size=8, seed=0)
    later = Columns(textual={"PLOT": ("a dragon with a sword and a drill", None)})

    later_vectors = map_.of(later, n_rows=2)

    assert later_vectors[0] @ vectors[0] > 0 > later_vectors[0] @ vectors[1]
    assert (later_vectors[1] == 0).all()


def test_same_seed_same_bytes():
    first, second = (learn_vectors(shelves(), n_rows=40, size=8, seed=5)[1] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_columns_without_any_value_tell_nothing():
    columns = Columns(categorical={"GENRES": CategoricalColumn.of_values([(), ()])}, textual={"PLOT": (None, None)})
    assert learn_vectors(columns, n_rows=2, size=8, seed=0)[1].shape == (2, 0)
