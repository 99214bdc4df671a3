"""Regressions of every item on all others, or on those that it is most used together with.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019): with G the Gram matrix of users' items and P
the inverse of G plus penalties, the weights with a zero diagonal that predict items from items with the least squared
error are B = I - P / diag(P), column by column. Column j is the ridge regression of item j on all others, so for large
catalogues it is solved on candidates alone, which is the sparse approximation of Steck, "Markov Random Fields for
Collaborative Filtering" (NeurIPS 2019), with one neighbourhood for each item.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recipes.data.gram_matrix import GramMatrix, largest_of_rows
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.data.sparse import SparseRows

__all__ = ["ease_weights", "sparse_ease_weights"]

#: Items that are solved for from one dense block, and items that such a block may have.
_SEEDED = 32
_BLOCK = 2000


def ease_weights(gram_matrix: GramMatrix, penalties: FloatArray) -> SparseRows:
    """Solve exactly; needs a few arrays [n_items, n_items].

    Args:
        gram_matrix: The Gram matrix.
        penalties: float32 [n_items], added to its diagonal, above 0.

    Returns:
        Row i, column j: how much item i adds to the prediction of item j.
    """
    n_items = len(penalties)
    gram = np.zeros((n_items, n_items), np.float32)
    gram[gram_matrix.off_diagonal.rows(), gram_matrix.off_diagonal.columns] = gram_matrix.off_diagonal.values
    gram[np.diag_indices(n_items)] = gram_matrix.diagonal + penalties
    weights = np.linalg.inv(gram)
    weights /= -np.diag(weights).copy()
    weights[np.diag_indices(n_items)] = 0.0
    rows, columns = np.nonzero(weights)
    offsets = np.searchsorted(rows, np.arange(n_items + 1))
    return SparseRows(offsets.astype(np.int64), columns.astype(np.int32), weights[rows, columns])


def sparse_ease_weights(
    gram_matrix: GramMatrix, penalties: FloatArray, *, candidates: int, progress: Callable[[float], None]
) -> SparseRows:
    """Solve for each item on its candidates, those with the highest cosine.

    Args:
        gram_matrix: The Gram matrix, perhaps with its rows cut.
        penalties: float32 [n_items], above 0.
        candidates: Items that the regression of an item may use.
        progress: Called with the share of the items that are solved, 0 to 1.

    Returns:
        As `ease_weights`, zero for pairs that are no candidates.
    """
    n_items = len(penalties)
    pairs = gram_matrix.off_diagonal
    roots = np.sqrt(np.maximum(gram_matrix.diagonal, 1e-9))
    strengths = (pairs.values / roots[pairs.columns]).astype(np.float32)
    kept, offsets = largest_of_rows(pairs.offsets, strengths, limit=candidates)
    chosen = SparseRows(offsets, pairs.columns[kept], strengths[kept])
    solved = np.zeros(n_items, bool)
    values = np.zeros(len(chosen.columns), np.float32)
    places = np.full(n_items, -1, np.int32)
    # Popular items first: most others are among the candidates of one of them.
    for count, seed in enumerate(np.argsort(-gram_matrix.diagonal, kind="stable")):
        if not solved[seed]:
            members = _members(chosen, int(seed), solved)
            solved[members] = True
            _solve(gram_matrix, chosen, members, penalties=penalties, places=places, values=values)
        if count % 1000 == 0:
            progress(float(solved.mean()))
    return SparseRows(chosen.offsets, chosen.columns, values).transposed(n_items)


def _members(chosen: SparseRows, seed: int, solved: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Take an item, and those of its candidates that are left and nearest, as many as share a block."""
    span = chosen.span(seed)
    near = chosen.columns[span][np.argsort(-chosen.values[span], kind="stable")]
    members = [seed]
    block = set(chosen.columns[span].tolist())
    for item in near[~solved[near]].tolist():
        if len(members) == _SEEDED:
            break
        wider = block | set(chosen.columns[chosen.span(item)].tolist())
        if len(wider) <= _BLOCK:
            members.append(item)
            block = wider
    return np.array(members)


def _solve(
    gram_matrix: GramMatrix,
    chosen: SparseRows,
    members: NDArray[np.int64],
    *,
    penalties: FloatArray,
    places: ItemIndexes,
    values: FloatArray,
) -> None:
    """Solve for the members, from one dense block of the Gram matrix; fill in the values of their rows of `chosen`."""
    spans = [chosen.span(int(item)) for item in members]
    block = np.unique(np.concatenate([members.astype(np.int32), *(chosen.columns[span] for span in spans)]))
    gram = _gram(gram_matrix, block, places)
    diagonal = np.arange(len(block))
    gram[diagonal, diagonal] += penalties[block]
    for item, span in zip(members, spans, strict=True):
        if span.stop > span.start:
            inside = np.searchsorted(block, chosen.columns[span])
            target = gram[inside, np.searchsorted(block, item)]
            values[span] = np.linalg.solve(gram[np.ix_(inside, inside)], target[:, None])[:, 0]


def _gram(gram_matrix: GramMatrix, block: ItemIndexes, places: ItemIndexes) -> FloatArray:
    """Return the Gram matrix of some items; an entry that was cut from one row is taken from the other."""
    pairs = gram_matrix.off_diagonal
    places[block] = np.arange(len(block))
    at, lengths = pairs.entries_of(block), pairs.lengths()[block]
    columns = places[pairs.columns[at]]
    inside = columns >= 0
    gram = np.zeros((len(block), len(block)), np.float32)
    gram[np.repeat(np.arange(len(block)), lengths)[inside], columns[inside]] = pairs.values[at[inside]]
    places[block] = -1
    gram = np.maximum(gram, gram.T)
    gram[np.arange(len(block)), np.arange(len(block))] = gram_matrix.diagonal[block]
    return gram
