"""Neighbours for items that few users used: what the weights of all items say of items of such content.

The weights B that were learnt from interactions are regressed on content in both directions. With E the content of the
items as vectors of length one, and D how far each item can be trusted as an example, count / (count + 20):

    columns: m_i = argmin sum_j D_j (B_ij - m_i . e_j)^2 + penalty |m_i - a e_i|^2, and i says m_i . e_j of item j;
    rows: r_j = argmin sum_i D_i (B_ij - r_j . e_i)^2 + penalty |r_j - b e_j|^2, and item i says r_j . e_i of j.

`a` is the least-squares factor between content and weights, so where nothing else is known, items of like content are
neighbours; `b` is four times that, as a list is made of the nearest few. With s the share that an item of few users
lacks, from 1 without any to 0 with five: m_i and r_j are mixed with a e_i and b e_j by s, as they are regressions on
zeros for want of users, and the weight of a pair gains s_j m_i . e_j + s_i r_j . e_i. Conditional means vary less than
what they are means of, so they are stretched until scores of users vary between items as the learnt ones do; else no
list would ever name a new item.

An item that comes after the training is one that nobody used: s is 1, m and r are a e and b e. So what it says of an
item j is its content by r_j + s_j a e_j, and what an item i says of it is its content by m_i + s_i b e_i: two vectors
of each item of the training are all that the model needs (`recipes.models.ease.new_items`). Where it is asked about,
both directions count alike, times a power of an item's users: that something goes together is known from either side,
and what is used more goes with more. That was chosen on the tenth of MovieLens 1M before the newest, and on Beauty.

The rest was chosen on the newest tenth of MovieLens 1M's items as if nobody had used them. Adding content to the Gram
matrix instead (Jeunen, Van Balen and Goethals, "Closed-Form Models for Collaborative Filtering with Side-Information",
RecSys 2020) found less than half as many of them there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recipes.components.cold_start import ItemEvidence, draw_compared, stretch
from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import SparseRows
from recipes.models.ease.new_items import NewItemWeights

__all__ = ["ContentWeights", "with_content"]

#: Penalties of the two regressions, as shares of the trusted items.
_COLUMN_PENALTY, _ROW_PENALTY = 0.01, 0.003
#: How much likeness of content counts in each, by what least squares says.
_COLUMN_LIKENESS, _ROW_LIKENESS = 1.0, 4.0
#: Power of an item's users that it counts by among the neighbours of an item that came after the training.
_NEW_ITEM_POPULARITY = 0.25
#: Neighbours by content added to a row; small catalogues keep so many more that they have this many entries in all.
_ADDED = 200
_ENTRIES = 1 << 22
#: Scores worked out at once, 64 MiB of them.
_SCORES = 1 << 24


class ContentWeights(NamedTuple):
    """What content says of weights.

    Attributes:
        evidence: What is known of the items.
        columns: float32 [n_items, c]: how much an item speaks for another one is its row by the other one's content.
        rows: float32 [n_items, c]: how much an item is spoken for by another one, likewise.
        column_likeness: What likeness of content counts in `columns`.
        row_likeness: The same in `rows`.
        stretch: By how much what is predicted is stretched.
    """

    evidence: ItemEvidence
    columns: FloatArray
    rows: FloatArray
    column_likeness: np.float32
    row_likeness: np.float32
    stretch: np.float32

    @classmethod
    def learn(
        cls,
        weights: SparseRows,
        vectors: FloatArray,
        *,
        users: NDArray[np.integer],
        histories: Histories,
        seed: int,
    ) -> Self | None:
        """Regress weights on content, and mix the regressions of items of few users with likeness.

        Args:
            weights: As learnt; row i, column j: how much item i speaks for item j.
            vectors: float32 [n_items, c], the items' content; zero where nothing is known of an item.
            users: int [n_items], different users of each item.
            histories: Different items of each user.
            seed: Decides which users' scores are compared.

        Returns:
            None where there is no item to learn from.
        """
        evidence = ItemEvidence.of(vectors, users)
        content, trust, share = evidence
        if not trust.any():
            return None
        trusting: FloatArray = trust[:, None] * content
        plain = _matrix(weights)
        columns, column_likeness = _regress(
            plain @ trusting, content, trusting, penalty=_COLUMN_PENALTY, likeness=_COLUMN_LIKENESS
        )
        columns += share[:, None] * (column_likeness * content - columns)
        rows, row_likeness = _regress(
            plain.T @ trusting, content, trusting, penalty=_ROW_PENALTY, likeness=_ROW_LIKENESS
        )
        rows += share[:, None] * (row_likeness * content - rows)
        factor = _stretch(plain, columns, content, trusted=evidence.trusted(), histories=histories, seed=seed)
        return cls(evidence, columns, rows, column_likeness, row_likeness, factor)

    def of_new_items(self, users: NDArray[np.integer]) -> NewItemWeights:
        """Return what is said of items that come later, as of those that nobody used.

        Args:
            users: int [n_items], different users of each item.
        """
        content, lack = self.evidence.content, self.evidence.lack[:, None]
        speaks = self.stretch * (self.columns + self.row_likeness * lack * content)
        spoken_for = self.stretch * (self.rows + self.column_likeness * lack * content)
        counts = np.maximum(users, 1).astype(np.float32)
        scale = (counts / counts.mean()) ** np.float32(_NEW_ITEM_POPULARITY)
        return NewItemWeights(
            speaks,
            scale[:, None] * np.float32(0.5) * (spoken_for + speaks),
            self.stretch * (self.column_likeness + self.row_likeness),
        )


def with_content(weights: SparseRows, learnt: ContentWeights) -> SparseRows:
    """Add content to the weights of items with few users.

    Args:
        weights: As learnt; row i, column j: how much item i speaks for item j.
        learnt: What content says of them.

    Returns:
        The weights, with entries added in rows and columns of such items; the others are as they were.
    """
    content, _, share = learnt.evidence
    cold = np.flatnonzero(share)
    if not len(cold):
        return weights
    by_row = np.hstack([learnt.stretch * share[:, None] * content, learnt.stretch * learnt.columns])
    by_column = np.hstack([learnt.rows, share[:, None] * content])
    everything = np.arange(len(content))
    others = np.setdiff1d(everything, cold)
    added = [
        *_strongest(by_row, by_column, rows=others, columns=cold),
        *_strongest(by_row, by_column, rows=cold, columns=everything),
    ]
    completed = sum(added, _matrix(weights))
    completed.sort_indices()
    return SparseRows(
        completed.indptr.astype(np.int64), completed.indices.astype(np.int32), completed.data.astype(np.float32)
    )


def _matrix(weights: SparseRows) -> sparse.csr_array:
    return sparse.csr_array((weights.values, weights.columns, weights.offsets), shape=(len(weights), len(weights)))


def _regress(
    products: FloatArray, content: FloatArray, trusting: FloatArray, *, penalty: float, likeness: float
) -> tuple[FloatArray, np.float32]:
    """Regress weights on content, shrunk to content itself.

    Args:
        products: float32 [n_items, c], of the weights with `trusting`.
        content: float32 [n_items, c].
        trusting: float32 [n_items, c], content times trust.
        penalty: Of what differs from content, as a share of the trusts' sum.
        likeness: What content counts, by what least squares over all pairs, weighted by both trusts, says.

    Returns:
        The coefficients, float32 [n_items, c], and what content counts.
    """
    gram: FloatArray = content.T @ trusting
    factor = np.float32(likeness * float((products * trusting).sum()) / float(np.square(gram).sum()))
    rest = products - factor * (content @ gram)
    # Content is of length 1, so the trace is the sum of the trusts.
    gram[np.diag_indices(len(gram))] += np.float32(penalty) * np.trace(gram)
    solved: FloatArray = np.linalg.solve(gram, rest.T).T.astype(np.float32) + factor * content
    return solved, factor


def _stretch(
    weights: sparse.csr_array,
    column_vectors: FloatArray,
    content: FloatArray,
    *,
    trusted: NDArray[np.bool_],
    histories: Histories,
    seed: int,
) -> np.float32:
    """Return by how much more the learnt scores of users vary between trusted items than those by content."""
    chosen = draw_compared(histories, seed=seed)
    compared = histories.take(chosen)
    used = np.zeros((len(content), len(chosen)), np.float32)
    used[compared.items, compared.owners()] = 1.0
    learnt = (weights.T @ used)[trusted]
    predicted = content[trusted] @ (column_vectors.T @ used)
    return stretch(float(learnt.std(axis=0).sum()), float(predicted.std(axis=0).sum()))


def _strongest(
    by_row: FloatArray, by_column: FloatArray, *, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> Iterator[sparse.csr_array]:
    """Keep the largest products of some rows and columns, a few hundred of each row, as matrices of all items."""
    n_items = len(by_row)
    most = max(_ADDED, _ENTRIES // n_items)
    size = max(1, _SCORES // max(1, len(columns)))
    for begin in range(0, len(rows), size):
        part = rows[begin : begin + size]
        scores: FloatArray = by_row[part] @ by_column[columns].T
        scores[part[:, None] == columns] = 0.0
        if len(columns) > most:
            bounds = np.partition(scores, -most, axis=1)[:, -most]
            scores = np.where(scores >= bounds[:, None], scores, np.float32(0.0))
        at, places = np.nonzero(scores)
        yield sparse.csr_array((scores[at, places], (part[at], columns[places])), shape=(n_items, n_items))
