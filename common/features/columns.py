"""The columns of a snapshot: how each kind is stored, filtered by, and shown as text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays
from common.avro import AvroField
from common.errors import CorruptArtifact
from common.filters import Column, NumberColumn, TextColumn
from common.filters.expression import Scalar
from common.vocabulary import Vocabulary
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureKind

__all__ = [
    "SEPARATOR",
    "BooleansColumn",
    "CategoriesColumn",
    "FeatureColumn",
    "NumbersColumn",
    "TextsColumn",
    "column_name",
    "kind_of",
    "load_column",
    "split_categories",
    "text_of",
]

#: Stands between the categories of a row.
SEPARATOR: Final = "|"
_NUMERIC: Final = frozenset({"int", "long", "float", "double"})
_FALSE, _TRUE, _NO_BOOLEAN = 0, 1, -1


def kind_of(field: AvroField) -> FeatureKind.ValueType:
    """Return how a column of a schema is stored."""
    if field.type in _NUMERIC:
        return FeatureKind.FEATURE_KIND_NUMBER
    if field.type == "boolean":
        return FeatureKind.FEATURE_KIND_BOOLEAN
    if field.textual:
        return FeatureKind.FEATURE_KIND_TEXT
    return FeatureKind.FEATURE_KIND_CATEGORIES if field.categorical else FeatureKind.FEATURE_KIND_STRING


def split_categories(text: str) -> list[str]:
    """Return the categories of a value, in its order, each once; blanks around them and empty ones are dropped."""
    return list(dict.fromkeys(part for part in map(str.strip, text.split(SEPARATOR)) if part))


def text_of(value: Scalar | np.generic | bool | None) -> str | None:
    """Return how a value that is no list of categories is shown: numbers by the fewest digits that tell them apart."""
    if value is None:
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    return str(value)


def column_name(place: int) -> str:
    """Return how the names of a column's files begin.

    Args:
        place: Of the column in the manifest.
    """
    return f"column_{place}"


class FeatureColumn(ABC):
    """The values of all rows in one column, in mapped files; immutable."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def text(self, row: int) -> str | None:
        """Return the value of a row as text; None for null."""

    @property
    def indexed(self) -> Column | None:
        """The column as filters read it; None where they cannot."""
        return None


class CategoriesColumn(FeatureColumn):
    """Texts from a list of distinct ones, any number for each row: categories, and strings as one for each row.

    Args:
        values: Index and codes; the distinct texts are in ascending order.
    """

    def __init__(self, values: TextColumn) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def text(self, row: int) -> str | None:
        """Return the categories of a row, joined."""
        return SEPARATOR.join(values) if (values := self.values.values_of(row)) else None

    @property
    def indexed(self) -> Column:
        """The column as filters read it."""
        return self.values


class NumbersColumn(FeatureColumn):
    """A number for each row, or null, with the precision of the schema.

    Args:
        values: Index and values.
    """

    def __init__(self, values: NumberColumn) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def text(self, row: int) -> str | None:
        """Return the number of a row."""
        return text_of(next(iter(self.values.values_of(row)), None))

    @property
    def indexed(self) -> Column:
        """The column as filters read it."""
        return self.values


class TextsColumn(FeatureColumn):
    """Free text for each row, or null.

    Args:
        data: uint8 [total], the texts in UTF-8.
        offsets: int64 [n + 1], where each begins.
        is_null: bool [n].
    """

    def __init__(self, data: NDArray[np.uint8], *, offsets: NDArray[np.int64], is_null: NDArray[np.bool_]) -> None:
        self.data = data
        self.offsets = offsets
        self.is_null = is_null

    def __len__(self) -> int:
        return len(self.is_null)

    def text(self, row: int) -> str | None:
        """Return the text of a row."""
        if self.is_null[row]:
            return None
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes().decode()


class BooleansColumn(FeatureColumn):
    """True, false or null for each row.

    Args:
        values: int8 [n]: 1, 0 or -1.
    """

    def __init__(self, values: NDArray[np.int8]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def text(self, row: int) -> str | None:
        """Return `true`, `false` or None."""
        value = int(self.values[row])
        return None if value == _NO_BOOLEAN else text_of(value == _TRUE)


def load_column(folder: Path, place: int, kind: FeatureKind.ValueType, *, n_rows: int) -> FeatureColumn:
    """Map a column of a snapshot.

    Args:
        folder: Of the snapshot's files.
        place: Of the column in the manifest.
        kind: As the manifest has it.
        n_rows: Of the snapshot.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit the others, or the kind is unknown.
    """
    column = _load(folder, column_name(place), kind)
    if len(column) != n_rows:
        raise CorruptArtifact(f"`{column_name(place)}`: got {len(column)} rows, want {n_rows}")
    return column


def _load(folder: Path, name: str, kind: FeatureKind.ValueType) -> FeatureColumn:
    match kind:
        case FeatureKind.FEATURE_KIND_CATEGORIES | FeatureKind.FEATURE_KIND_STRING:
            arrays = _arrays(folder, name, "offsets", "codes", "ends", "rows")
            text = TextColumn(Vocabulary.load(folder, f"{name}.values"), **arrays)
            total = len(text.codes)
            if int(text.offsets[-1]) != total or len(text.rows) != total or len(text.ends) != len(text.values) + 1:
                raise CorruptArtifact(f"`{name}`: got arrays of different columns, want one's")
            return CategoriesColumn(text)
        case FeatureKind.FEATURE_KIND_NUMBER:
            numbers = NumberColumn(**_arrays(folder, name, "values", "is_null", "rows", "ordered"))
            if len(numbers.is_null) != len(numbers.values) or len(numbers.rows) != len(numbers.ordered):
                raise CorruptArtifact(f"`{name}`: got arrays of different columns, want one's")
            return NumbersColumn(numbers)
        case FeatureKind.FEATURE_KIND_TEXT:
            texts = TextsColumn(**_arrays(folder, name, "data", "offsets", "is_null"))
            if len(texts.offsets) != len(texts.is_null) + 1 or int(texts.offsets[-1]) != len(texts.data):
                raise CorruptArtifact(f"`{name}`: got arrays of different columns, want one's")
            return texts
        case FeatureKind.FEATURE_KIND_BOOLEAN:
            return BooleansColumn(_arrays(folder, name, "values")["values"])
    raise CorruptArtifact(f"`{name}`: got the kind {kind}, want one that is known here")


def _arrays(folder: Path, name: str, *parts: str) -> dict[str, NDArray[Any]]:
    arrays = map_arrays(folder, [f"{name}.{part}" for part in parts])
    return {part: arrays[f"{name}.{part}"] for part in parts}
