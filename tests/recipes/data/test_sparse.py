"""Sparse matrices: products, and the eigenvectors that sum them up."""

import numpy as np
import pytest

from recipes.data.sparse import SparseRows, leading_subspace


def sparse(matrix):
    rows, columns = np.nonzero(matrix)
    offsets = np.searchsorted(rows, np.arange(len(matrix) + 1))
    return SparseRows(offsets, columns.astype(np.int32), matrix[rows, columns].astype(np.float32))


def random_symmetric(n_items=30, seed=0):
    random = np.random.default_rng(seed)
    drawn = np.triu(random.random((n_items, n_items)) * (random.random((n_items, n_items)) < 0.3))
    return (drawn + drawn.T).astype(np.float32)


@pytest.mark.parametrize("values_at_once", [1, 7, 1 << 24])
def test_products_are_those_of_the_dense_matrix(values_at_once):
    matrix = random_symmetric()
    matrix[[3, 4, 29]] = 0.0  # rows without entries, the last one among them
    right = np.random.default_rng(1).standard_normal((30, 4), np.float32)
    product = sparse(matrix).product(right, values_at_once=values_at_once)
    np.testing.assert_allclose(product, matrix @ right, rtol=1e-4, atol=1e-5)


def directions(matrix, *, count, seed):
    values, vectors = leading_subspace(lambda right: matrix @ right, size=len(matrix), count=count, passes=4, seed=seed)
    return vectors * np.sqrt(np.abs(values))


def test_leading_eigenvectors_rebuild_the_matrix_as_well_as_can_be():
    matrix = np.zeros((12, 12), np.float32)
    matrix[:6, :6], matrix[6:, 6:] = 3.0, 1.0  # two blocks: eigenvalues 18 and 6, all others 0
    found = directions(sparse(matrix), count=2, seed=0)
    np.testing.assert_allclose(found @ found.T, matrix, atol=1e-3)
    assert np.linalg.norm(found, axis=0) ** 2 == pytest.approx([18, 6], rel=1e-3)


def test_the_same_seed_gives_the_same_directions():
    matrix = sparse(random_symmetric())
    first, second = (directions(matrix, count=4, seed=3).tobytes() for _ in range(2))
    assert first == second
