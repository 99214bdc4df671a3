"""User features: users' columns as context that no request has to give, besides what users did.

A table of codes and vectors of their own (`recipes.components.context.ContextTable`) is learnt for them, so that no
name of a request's context can stand for a user's column, nor the other way round. The codes of every user stand in the
artifact. The sum of their vectors, times a gate, is added to the state that the user's history ends with, whether or
not there is any history. A gate is learnt for each of a few lengths of histories, because a long history tells what the
columns do, and better: without gates, the many steps of long histories would teach that columns hardly matter. Scalar
gates on a side input are those of mixture models (Jacobs et al., "Adaptive Mixtures of Local Experts", 1991), here by
the length of the history alone. Users without columns, and users who are not known, add nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.components.context import CodedTexts, ContextCodes, ContextTable
from recipes.data.columns import CategoricalColumn, Columns

__all__ = ["UserFeatureTable", "encode_users", "first_gates", "gate_buckets", "learn_user_codes"]

#: Users that a category, or a range of numbers, has in common: fewer would tell who somebody is, not what.
_MIN_USERS = 5
#: Categories of one user in one column that count at most, the most frequent ones.
_MAX_OF_USER = 8
#: What the names of the saved arrays begin with, and the name of the gates.
_PREFIX, _GATES = "people", "people_gates"


@dataclass(frozen=True, slots=True)
class UserFeatureTable:
    """What a network has learnt of users' columns.

    Attributes:
        table: Codes and their vectors.
        gates: float32 [g], by `gate_buckets`; longer histories have the last one.
    """

    table: ContextTable
    gates: NDArray[np.float32]

    def encode(self, columns: Columns, *, n_users: int) -> NDArray[np.int32]:
        """Return the codes of users; see `encode_users`."""
        return encode_users(self.table.meaning, columns, n_users=n_users)

    def of_codes(self, codes: NDArray[np.int32], lengths: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return what columns add to states: float32 [m, d].

        Args:
            codes: int32 [m, k].
            lengths: int [m], steps of the histories.
        """
        gates = self.gates[np.minimum(gate_buckets(lengths), len(self.gates) - 1)]
        return self.table.of_codes(codes) * gates[:, None]

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        self.table.save(folder, prefix=_PREFIX)
        save_arrays(folder, {_GATES: self.gates})

    @classmethod
    def load(cls, folder: Path, *, width: int) -> Self | None:
        """Open what was saved; None where nothing was.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit.
        """
        table = ContextTable.load(folder, width=width, prefix=_PREFIX)
        if table is None:
            return None
        gates = map_arrays(folder, (_GATES,))[_GATES]
        if gates.ndim != 1 or not len(gates):
            raise CorruptArtifact(f"`{_GATES}.npy`: got shape {gates.shape}, want one dimension, not empty")
        return cls(table, gates)


def gate_buckets(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the bucket of each length: 0 for 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7, and so on."""
    buckets: NDArray[np.int64] = np.ceil(np.log2(lengths + 1.0)).astype(np.int64)
    return buckets


def first_gates(longest: int) -> NDArray[np.float32]:
    """Return the gates that a fit begins from, for histories up to `longest` steps: 1 / (1 + least length)."""
    begins = 2.0 ** np.arange(gate_buckets(np.array([longest]))[0])
    return (1.0 / np.concatenate([[1.0], begins + 1.0])).astype(np.float32)


def learn_user_codes(columns: Columns) -> ContextCodes | None:
    """Choose codes for users' categories and ranges of numbers; None where no column distinguishes users."""
    values: dict[str, CodedTexts | NDArray[np.float64]] = {
        name: CodedTexts(column.categories, column.codes) for name, column in sorted(columns.categorical.items())
    }
    values |= dict(sorted(columns.numeric.items()))
    meaning = ContextCodes.of(values, least=_MIN_USERS, least_in_range=_MIN_USERS)
    return meaning if len(meaning) > 1 else None


def encode_users(meaning: ContextCodes, columns: Columns, *, n_users: int) -> NDArray[np.int32]:
    """Return the codes of users, each at most once in a row.

    Args:
        meaning: From `learn_user_codes`, of these columns or of those of another day.
        columns: Of the users; a column that is gone, or of another type than it was, tells nothing.
        n_users: Number of users.

    Returns:
        int32 [n_users, k], filled up with 0; k depends on the data and may be 0.
    """
    parts = [np.empty((n_users, 0), np.int32)]
    for name in meaning.names:
        if name in columns.numeric:
            parts.append(meaning.encode_column(name, columns.numeric[name])[:, None])
        elif name in columns.categorical:
            parts.append(_encode_categories(meaning, name, columns.categorical[name]))
    return np.concatenate(parts, axis=1)


def _encode_categories(meaning: ContextCodes, name: str, column: CategoricalColumn) -> NDArray[np.int32]:
    """Return the codes of each user's categories in one column: int32 [n_users, up to 8], filled up with 0."""
    coded, rows = meaning.encode_column(name, column.categories)[column.codes], column.rows()
    coded, rows = coded[coded > 0], rows[coded > 0]
    # Within a column the more frequent categories have the lower codes.
    order = np.lexsort((coded, rows))
    coded, rows = coded[order], rows[order]
    counts = np.bincount(rows, minlength=len(column))
    places = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    kept = places < _MAX_OF_USER
    codes = np.zeros((len(column), min(_MAX_OF_USER, int(counts.max(initial=0)))), np.int32)
    codes[rows[kept], places[kept]] = coded[kept]
    return codes
