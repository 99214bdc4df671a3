"""Context: in which circumstances somebody interacts, e.g. by which device, and what that adds to a history's vector.

Metadata columns of the interactions become codes: one for each category, one for each of a few ranges of a number. Code
0 stands for everything that the model does not know, and adds nothing. A network learns a vector for each code; the sum
of the vectors of a context's codes is added to the state that a history ends with, so the context of the *next*
interaction is known when that is predicted, as a request's context is. Beutel et al., "Latent Cross:
Making Use of Context in Recurrent Recommender Systems" (WSDM 2018), multiply the state by 1 + such a sum; here it is
added, so that a saved state serves every context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact

__all__ = ["CodedTexts", "Context", "ContextCodes", "ContextTable"]

#: Categories of a column that are told apart, the most frequent, each seen at least so often.
_MAX_CATEGORIES = 1000
_MIN_USES = 2
#: Ranges that a number is cut into, with equally many interactions each.
_RANGES = 16
_ARRAYS = ("names", "columns", "values", "lower", "vectors")


class CodedTexts(NamedTuple):
    """A column of texts, each text once: a column of millions of rows takes four bytes for a row.

    Attributes:
        texts: All different, ascending; some may be in no row.
        codes: int32 [n], places in `texts`, -1 for no text.
    """

    texts: Sequence[str]
    codes: NDArray[np.int32]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Self:
        """Code texts, of which None and the empty one are none."""
        present = np.fromiter(map(bool, values), bool, len(values))
        codes = np.full(len(values), -1, np.int32)
        texts, codes[present] = np.unique(np.array([value for value in values if value], str), return_inverse=True)
        return cls(texts.tolist(), codes)


Column = CodedTexts | Sequence[str | None] | NDArray[np.float64]
Values = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class ContextCodes:
    """What the codes of some columns stand for.

    Attributes:
        names: Names of the columns.
        columns: int32 [n_codes], the place of each code's column in `names`, ascending; -1 for code 0.
        values: The category of each code; empty for ranges and code 0.
        lower: float64 [n_codes], where the range of each code begins; NaN for categories and code 0.
    """

    names: tuple[str, ...]
    columns: NDArray[np.int32]
    values: tuple[str, ...]
    lower: NDArray[np.float64]
    _categories: dict[tuple[int, str], int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        named = {
            (column, value): code
            for code, (column, value) in enumerate(zip(self.columns.tolist(), self.values, strict=True))
            if value
        }
        object.__setattr__(self, "_categories", named)

    def __len__(self) -> int:
        return len(self.columns)

    @classmethod
    def of(cls, columns: Values, *, least: int = _MIN_USES, least_in_range: int = 1) -> Self:
        """Choose codes for columns, each of categories, coded or not, or an array of numbers.

        Args:
            columns: By name; they need not be equally long.
            least: Values of a category that has a code.
            least_in_range: Values of a range of numbers; where they are fewer than 16 times that, ranges are fewer.
        """
        places, values, lower = [-1], [""], [math.nan]
        for place, column in enumerate(columns.values()):
            if isinstance(column, np.ndarray):
                begins = _ranges(column, least=least_in_range)
                values += [""] * len(begins)
            else:
                categories = _frequent(_coded(column), least=least)
                values += categories
                begins = [math.nan] * len(categories)
            lower += begins
            places += [place] * len(begins)
        return cls(tuple(columns), np.array(places, np.int32), tuple(values), np.array(lower))

    def encode(self, columns: Values) -> NDArray[np.int32]:
        """Return the codes of rows: int32 [n, len(names)]."""
        coded = [self.encode_column(name, columns[name]) for name in self.names]
        return np.stack(coded, axis=1) if coded else np.empty((0, 0), np.int32)

    def encode_column(self, name: str, column: Column) -> NDArray[np.int32]:
        """Return the codes of values of the column `name`: int32 [n]."""
        place = self.names.index(name)
        if isinstance(column, np.ndarray):
            return self._encode_numbers(place, column)
        texts, codes = _coded(column)
        # The last one is for no text.
        meanings = np.array([*(self._categories.get((place, text), 0) for text in texts), 0], np.int32)
        return meanings[codes]

    def encode_request(self, values: Mapping[str, str]) -> list[int]:
        """Return the codes of one context, those of the values that have one; anything else is passed over."""
        return [code for code in self.encode_row(values) if code]

    def encode_row(self, values: Mapping[str, str]) -> list[int]:
        """Return the code of each column in one context, 0 for values without a code."""
        return [self._encode_value(place, values.get(name)) for place, name in enumerate(self.names)]

    def describe(self, codes: NDArray[np.int32]) -> dict[str, str]:
        """Return the context of some codes, int32 [columns], as a request would give it; of a range where it begins."""
        return {
            self.names[self.columns[code]]: self.values[code] or str(self.lower[code])
            for code in codes.tolist()
            if code
        }

    def _encode_value(self, place: int, value: str | None) -> int:
        if value is None:
            return 0
        if (code := self._categories.get((place, value))) is not None:
            return code
        try:
            return int(self._encode_numbers(place, np.array([float(value)]))[0])
        except ValueError:
            return 0

    def _encode_numbers(self, place: int, numbers: NDArray[np.float64]) -> NDArray[np.int32]:
        ranges = np.flatnonzero((self.columns == place) & ~np.isnan(self.lower))
        if not len(ranges):
            return np.zeros(len(numbers), np.int32)
        # The first range begins at minus infinity, so every number lies in one.
        codes = ranges[np.maximum(np.searchsorted(self.lower[ranges], numbers, side="right") - 1, 0)]
        return np.where(np.isnan(numbers), 0, codes).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Context:
    """The context of interactions.

    Attributes:
        meaning: What the codes stand for.
        codes: int32 [interactions, columns], in the order of the interactions.
    """

    meaning: ContextCodes
    codes: NDArray[np.int32]

    def where(self, kept: NDArray[np.bool_]) -> Context:
        """Return the context of the interactions where `kept`, bool [interactions], is true."""
        return Context(self.meaning, self.codes[kept])


@dataclass(frozen=True, slots=True)
class ContextTable:
    """What a network has learnt of context, or of users' columns.

    Attributes:
        meaning: What the codes stand for.
        vectors: float32 [n_codes, d], one for each code; that of code 0 adds nothing.
    """

    meaning: ContextCodes
    vectors: NDArray[np.float32]

    def of_codes(self, codes: NDArray[np.int32]) -> NDArray[np.float32]:
        """Add up the vectors of m contexts, int32 [m, columns]: float32 [m, d]."""
        sums: NDArray[np.float32] = (self.vectors[codes] * (codes > 0)[..., None]).sum(axis=1, dtype=np.float32)
        return sums

    def of_request(self, values: Mapping[str, str]) -> NDArray[np.float32] | None:
        """Return what a request's context adds to a state, float32 [d]; None where no value has a code."""
        codes = self.meaning.encode_request(values)
        return self.vectors[codes].sum(axis=0, dtype=np.float32) if codes else None

    def save(self, folder: Path, *, prefix: str = "context") -> None:
        """Write the arrays, under names that begin with `prefix`."""
        arrays: tuple[NDArray[Any], ...] = (
            np.array(self.meaning.names, dtype=str), self.meaning.columns, np.array(self.meaning.values, dtype=str),
            self.meaning.lower, self.vectors,
        )  # fmt: skip
        save_arrays(folder, dict(zip(_names(prefix), arrays, strict=True)))

    @classmethod
    def load(cls, folder: Path, *, width: int, prefix: str = "context") -> Self | None:
        """Open what was saved under names that begin with `prefix`; None where nothing was.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit.
        """
        array_names = _names(prefix)
        if not (folder / f"{array_names[-1]}.npy").is_file():
            return None
        names, columns, values, lower, vectors = map_arrays(folder, array_names).values()
        if vectors.shape != (len(columns), width) or not len(columns) == len(values) == len(lower):
            raise CorruptArtifact(f"`{array_names[-1]}.npy`: got shape {vectors.shape}, want {len(columns)} x {width}")
        return cls(ContextCodes(tuple(names.tolist()), columns, tuple(values.tolist()), lower), vectors)


def _names(prefix: str) -> tuple[str, ...]:
    return tuple(f"{prefix}_{name}" for name in _ARRAYS)


def _coded(column: CodedTexts | Sequence[str | None]) -> CodedTexts:
    return column if isinstance(column, CodedTexts) else CodedTexts.of(column)


def _frequent(column: CodedTexts, *, least: int) -> list[str]:
    """Return the categories that occur `least` times or more, the most frequent first."""
    uses = np.bincount(column.codes[column.codes >= 0], minlength=len(column.texts))
    order = np.argsort(-uses, kind="stable")[:_MAX_CATEGORIES]
    return [column.texts[place] for place in order.tolist() if uses[place] >= least and column.texts[place]]


def _ranges(column: NDArray[np.float64], *, least: int) -> list[float]:
    """Return where ranges with equally many numbers begin, ascending from minus infinity; none without numbers."""
    numbers = column[np.isfinite(column)]
    if not len(numbers):
        return []
    count = min(_RANGES, max(1, len(numbers) // least))
    begins = np.unique(np.quantile(numbers, np.arange(1, count) / count, method="higher"))
    # A range that begins with the smallest number would leave nothing below it.
    return [-math.inf, *begins[begins > numbers.min()].tolist()]
