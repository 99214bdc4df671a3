"""Columns to sparse features: one block of features for each column, each block of an item at most of length one.

Texts become terms for the languages that Personalize names: Chinese, Japanese, and those that put blanks between words.
Chinese and Japanese have no blanks, so each two neighbouring signs are a term there: pairs of signs find most of what a
dictionary would, without one (Nie, Gao, Zhang and Zhou, "On the Use of Words and N-grams for Chinese Information
Retrieval", IRAL 2000).

Categories and terms weigh by how rare they are (Salton and Buckley, "Term-Weighting Approaches in Automatic Text
Retrieval", 1988): idf = log(1 + n / df), term counts by 1 + log(count). Numbers are spread over knots at their
quantiles, so that any smooth function of a number is a weighted sum of its features.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import FloatArray
from recipes.data.sparse import SparseRows

__all__ = ["FeatureSpace", "Numbers", "Words", "split_terms"]

#: Rows that a category or a term must occur in: what occurs once says nothing of other items.
_MIN_ROWS = 2
#: Share of rows beyond which a term is a stop word.
_MAX_SHARE = 0.5
#: Categories of a column and terms of a text that get a feature each, the most frequent ones.
_MAX_CATEGORIES = 5_000
_MAX_TERMS = 50_000
#: Knots of a numeric column, at most.
_KNOTS = 7
#: Length of a number's block; one number says less than a text or a set of categories.
_NUMBER_LENGTH = 0.5
#: Han, Hiragana and Katakana, with the sign of repetition and the long vowel.
_UNSPACED = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
#: Not the marks of voiced kana, which are combining signs too but change the word.
_ACCENTS = re.compile("[\u0300-\u036f]")
_PARTS = re.compile(rf"([{_UNSPACED}]+)|([^\W_{_UNSPACED}]{{2,}})")


@dataclass(frozen=True, slots=True)
class Words:
    """Features of a column of categories or texts.

    Attributes:
        column: Its name.
        places: Place of each word among the features; rare categories share the one of `None`.
        weights: float32 [words], idf by place within the column.
        first: Place of the column's first feature.
    """

    column: str
    places: Mapping[str | None, int]
    weights: FloatArray
    first: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """Features of a column of numbers: one for each knot, and one for a missing value.

    Attributes:
        column: Its name.
        knots: float64 [knots], ascending, all different.
        first: Place of the column's first feature.
    """

    column: str
    knots: NDArray[np.float64]
    first: int


@dataclass(frozen=True, slots=True)
class FeatureSpace:
    """What columns are turned into: learnt from some rows, applied to any.

    Attributes:
        categories: One for each categorical column.
        texts: One for each textual column.
        numbers: One for each numeric column.
        size: Number of features.
    """

    categories: tuple[Words, ...]
    texts: tuple[Words, ...]
    numbers: tuple[Numbers, ...]
    size: int

    @classmethod
    def learn(cls, columns: Columns, *, n_rows: int) -> tuple[FeatureSpace, SparseRows]:
        """Decide which features there are, and return those of the rows too: [n_rows, size]."""
        size = 0
        categories, texts, numbers, blocks = [], [], [], []
        for name, column in sorted(columns.categorical.items()):
            documents = list(_documents(column))
            categories.append(_learn_words(name, documents, first=size, most=_MAX_CATEGORIES, fold=True))
            blocks.append(_weigh(categories[-1], documents))
            size += len(categories[-1].weights)
        for name, values in sorted(columns.textual.items()):
            documents = list(_tokenised(values))
            texts.append(_learn_words(name, documents, first=size, most=_MAX_TERMS, fold=False))
            blocks.append(_weigh(texts[-1], documents))
            size += len(texts[-1].weights)
        for name, array in sorted(columns.numeric.items()):
            numbers.append(_learn_numbers(name, array, first=size))
            blocks.append(_spread(numbers[-1], array))
            size += len(numbers[-1].knots) + 1
        space = cls(tuple(categories), tuple(texts), tuple(numbers), size)
        return space, _side_by_side(blocks, n_rows=n_rows)

    def features(self, columns: Columns, *, n_rows: int) -> SparseRows:
        """Return the features of any rows: [n_rows, size]. Columns and words that were not learnt are passed over."""
        categorical, textual, numeric = columns.categorical, columns.textual, columns.numeric
        blocks = [
            *(
                _weigh(item, _documents(categorical[item.column]))
                for item in self.categories
                if item.column in categorical
            ),
            *(_weigh(item, _tokenised(textual[item.column])) for item in self.texts if item.column in textual),
            *(_spread(item, numeric[item.column]) for item in self.numbers if item.column in numeric),
        ]
        return _side_by_side(blocks, n_rows=n_rows)


#: Rows, features and values of a column.
_Block = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _documents(column: CategoricalColumn) -> Iterable[Sequence[str]]:
    """Return the categories of each row as words of a document."""
    names, codes, offsets = column.categories, column.codes.tolist(), column.offsets.tolist()
    for begin, end in pairwise(offsets):
        yield [names[code] for code in codes[begin:end]]


def _tokenised(values: Sequence[str | None]) -> Iterable[Sequence[str]]:
    """Return the terms of each text; none for a missing one."""
    return (split_terms(text) if text else () for text in values)


def _learn_words(name: str, documents: Iterable[Sequence[str]], *, first: int, most: int, fold: bool) -> Words:
    """Keep the most frequent words; `fold` is for categories: the rare ones become one, and none is a stop word."""
    counts: Counter[str] = Counter()
    filled = 0
    for document in documents:
        counts.update(set(document))
        filled += len(document) > 0
    # Most frequent first, equally frequent ones by name.
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    kept = [entry for entry in ranked if entry[1] >= _MIN_ROWS and (fold or entry[1] <= _MAX_SHARE * filled)][:most]
    places: dict[str | None, int] = {word: place for place, (word, _) in enumerate(kept)}
    rows = [count for _, count in kept]
    if fold and len(kept) < len(ranked):
        places[None] = len(rows)
        rows.append(sum(count for _, count in ranked) - sum(rows))
    weights = np.log1p(max(1, filled) / np.maximum(np.array(rows, np.float64), 1.0)).astype(np.float32)
    return Words(name, places, weights, first)


def _learn_numbers(name: str, values: NDArray[np.float64], *, first: int) -> Numbers:
    """Place knots at the quantiles of float64 [n] that are numbers; one at 0 where none is."""
    finite = values[np.isfinite(values)]
    knots = np.unique(np.quantile(finite, np.linspace(0.0, 1.0, _KNOTS))) if len(finite) else np.zeros(1)
    return Numbers(name, knots, first)


def _weigh(words: Words, documents: Iterable[Sequence[str]]) -> _Block:
    """Weigh the words of each document by idf and their number, each document to length one."""
    rows: list[int] = []
    places: list[int] = []
    counts: list[int] = []
    other = words.places.get(None)
    for row, document in enumerate(documents):
        learnt = (words.places.get(word, other) for word in document)
        occurrences = Counter(place for place in learnt if place is not None)
        rows += [row] * len(occurrences)
        places += occurrences.keys()
        counts += occurrences.values()
    at, owners = np.array(places, np.int64), np.array(rows, np.int64)
    values = words.weights[at].astype(np.float64) * (1.0 + np.log(np.array(counts, np.float64)))
    lengths = np.sqrt(np.bincount(owners, weights=values**2, minlength=1))
    return owners, at + words.first, values / lengths[owners]


def _spread(numbers: Numbers, values: NDArray[np.float64]) -> _Block:
    """Divide each value between the two knots around it, by nearness."""
    knots, rows = numbers.knots, np.arange(len(values))
    finite = np.isfinite(values)
    place = np.interp(values[finite], knots, np.arange(len(knots)))
    low = np.minimum(place.astype(np.int64), max(0, len(knots) - 2))
    share = place - low
    high = np.minimum(low + 1, len(knots) - 1)
    length = _NUMBER_LENGTH / np.hypot(share, 1.0 - share)
    missing = rows[~finite]
    return (
        np.concatenate([rows[finite], rows[finite], missing]),
        np.concatenate([low, high, np.full(len(missing), len(knots))]) + numbers.first,
        np.concatenate([(1.0 - share) * length, share * length, np.full(len(missing), _NUMBER_LENGTH)]),
    )


def _side_by_side(blocks: Sequence[_Block], *, n_rows: int) -> SparseRows:
    """Put blocks of columns together to [n_rows, features], columns ascending within a row."""
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
    rows, places, values = (np.concatenate(parts) for parts in zip(nothing, *blocks, strict=True))
    order = np.lexsort((places, rows))
    offsets = np.searchsorted(rows[order], np.arange(n_rows + 1))
    return SparseRows(offsets.astype(np.int64), places[order].astype(np.int32), values[order].astype(np.float32))


def split_terms(text: str) -> list[str]:
    """Return the terms of a text in their order, repetitions included.

    Case, accents and width of letters make no difference; words of one letter say nothing and are left out.
    """
    terms: list[str] = []
    for signs, word in _PARTS.findall(_fold(text)):
        terms += [word] if word else [signs[place : place + 2] for place in range(max(1, len(signs) - 1))]
    return terms


def _fold(text: str) -> str:
    """Return a text without case, accents and differences of width."""
    if text.isascii():
        return text.lower()
    # Compatibility forms first, then accents as signs of their own, which are dropped.
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))
