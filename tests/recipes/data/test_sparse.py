"""Sparse matrices: products, transposes and the eigenvectors that sum them up."""

import numpy as np
import pytest

from recipes.data.counts import count_successors
from recipes.data.sparse import SparseRows, leading_eigenvectors
from tests.recipes.suite import make_data


def successors(sequences, n_items, window, **options):
    return count_successors(make_data(sequences, n_items).histories(), n_items=n_items, window=window, **options)


def dense(matrix):
    n_items = len(matrix.offsets) - 1
    values = np.zeros((n_items, n_items), np.float32)
    values[matrix.rows(), matrix.columns] = matrix.values
    return values


def sparse(matrix):
    rows, columns = np.nonzero(matrix)
    offsets = np.searchsorted(rows, np.arange(len(matrix) + 1))
    return SparseRows(offsets, columns.astype(np.int32), matrix[rows, columns].astype(np.float32))


def random_symmetric(n_items=30, seed=0):
    random = np.random.default_rng(seed)
    drawn = np.triu(random.random((n_items, n_items)) * (random.random((n_items, n_items)) < 0.3))
    return (drawn + drawn.T).astype(np.float32)


def test_the_transpose_is_added_with_its_share():
    matrix = successors([[0, 1, 2, 0, 3]], n_items=5, window=3)
    np.testing.assert_allclose(dense(matrix.with_transpose(0.5)), dense(matrix) + 0.5 * dense(matrix).T)


def test_scaling_multiplies_by_both_items():
    matrix = successors([[0, 1, 2]], n_items=3, window=2)
    scale = np.array([2, 3, 5], np.float32)
    np.testing.assert_allclose(dense(matrix.scaled(scale)), dense(matrix) * np.outer(scale, scale))


@pytest.mark.parametrize("values_at_once", [1, 7, 1 << 24])
def test_products_are_those_of_the_dense_matrix(values_at_once):
    matrix = random_symmetric()
    matrix[[3, 4, 29]] = 0.0  # rows without entries, the last one among them
    right = np.random.default_rng(1).standard_normal((30, 4), np.float32)
    product = sparse(matrix).product(right, values_at_once=values_at_once)
    np.testing.assert_allclose(product, matrix @ right, rtol=1e-4, atol=1e-5)


def test_leading_eigenvectors_rebuild_the_matrix_as_well_as_can_be():
    matrix = np.zeros((12, 12), np.float32)
    matrix[:6, :6], matrix[6:, 6:] = 3.0, 1.0  # two blocks: eigenvalues 18 and 6, all others 0
    directions = leading_eigenvectors(sparse(matrix), count=2, seed=0)
    np.testing.assert_allclose(directions @ directions.T, matrix, atol=1e-3)
    assert np.linalg.norm(directions, axis=0) ** 2 == pytest.approx([18, 6], rel=1e-3)


def test_no_more_directions_than_items():
    assert leading_eigenvectors(sparse(random_symmetric(5)), count=64, seed=0).shape == (5, 5)


def test_the_same_seed_gives_the_same_directions():
    matrix = sparse(random_symmetric())
    first, second = (leading_eigenvectors(matrix, count=4, seed=3).tobytes() for _ in range(2))
    assert first == second
