"""Features as they are now: a snapshot, and on top of it what the event log has brought since.

What was put lies in layers, each an indexed table of its own. A new put becomes a layer, and layers of like size are
joined, so that n puts make about log n layers and each is indexed about log n times: neither a put nor a look-up costs
more the larger the snapshot is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np

from common.avro import AvroField, AvroSchema
from common.features.columns import SEPARATOR, kind_of, split_categories, text_of
from common.features.snapshot import FeatureSnapshot, id_column
from common.filters import Column, NumberColumn, Rows, Table, TextColumn, rows_of
from common.filters.expression import Operator, Scalar
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureKind

__all__ = ["Features", "Put"]

_NO_ROWS: Final = rows_of(np.array([], np.uint32))
#: Types of numbers, as columns of tables have them.
_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "int": np.dtype(np.int32),
    "long": np.dtype(np.int64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
#: Kinds that filters cannot read.
_NOT_INDEXED: Final = (FeatureKind.FEATURE_KIND_TEXT, FeatureKind.FEATURE_KIND_BOOLEAN)


@dataclass(frozen=True, slots=True)
class Put:
    """An item, a user or an action as it was put: all of it, so that columns that are not here are null.

    Attributes:
        offset: In the event log.
        entity_id: Its id.
        values: By column of the schema, in the column's type; the column of the id need not be here.
    """

    offset: int
    entity_id: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Puts of different rows, indexed.

    Attributes:
        puts: By row.
        offset: Of the newest of them.
        rows: Those rows.
        numbers: uint32 [n], the row of each place in the columns.
        places: The place of each row.
        columns: What filters can read.
    """

    puts: Mapping[int, Put]
    offset: int
    rows: Rows
    numbers: np.ndarray[Any, np.dtype[np.uint32]]
    places: Mapping[int, int]
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, puts: Mapping[int, Put], fields: Sequence[AvroField]) -> Self:
        ordered = sorted(puts)
        numbers = np.array(ordered, np.uint32)
        values = {field.name: [puts[row].values.get(field.name) for row in ordered] for field in fields}
        columns = {field.name: _column(field, values[field.name]) for field in fields}
        places = {row: place for place, row in enumerate(ordered)}
        newest = max(put.offset for put in puts.values())
        return cls(puts, newest, rows_of(numbers), numbers, places, columns)


@dataclass(slots=True)
class _NewIds:
    """Ids that only puts have, in the order of their rows; only ever added to."""

    ids: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """All rows of a dataset; immutable.

    Rows of the snapshot keep their numbers, and ids that it does not have follow, in the order of their first puts.

    Attributes:
        schema: The dataset's as it is now; columns that a put or the snapshot do not have are null there.
        snapshot: None before there was one.
        offset: In the event log, up to which everything is contained.
        n_rows: Of the snapshot and of the puts together.
        table: What filters can read.
    """

    schema: AvroSchema
    snapshot: FeatureSnapshot | None
    offset: int
    n_rows: int
    table: Table
    _layers: tuple[_Layer, ...]
    _new: _NewIds

    @classmethod
    def of(cls, snapshot: FeatureSnapshot | None, schema: AvroSchema, *, offset: int) -> Features:
        """Begin with a snapshot.

        Args:
            snapshot: None for none, which is the same as one without rows.
            schema: The dataset's.
            offset: Up to which the snapshot has all puts of the log that more will come from. That of its position,
                unless this belongs to another log.
        """
        return _features(schema, snapshot, offset, layers=(), new=_NewIds(), n_new=0)

    def with_puts(self, puts: Sequence[Put]) -> Features:
        """Return the features with what came next.

        Args:
            puts: In the order of their offsets; those up to `offset` are contained and left out.
        """
        fresh = [put for put in puts if put.offset > self.offset]
        if not fresh:
            return self
        new, n_new = self._new, self.n_rows - self._n_base
        if len(new.ids) != n_new:
            # Another one was derived from the same features before: its ids are not these.
            kept = new.ids[:n_new]
            new = _NewIds(kept, {entity_id: place for place, entity_id in enumerate(kept)})
        by_row: dict[int, Put] = {}
        for put in fresh:
            row = self._base_row(put.entity_id)
            if row is None:
                place = new.places.setdefault(put.entity_id, len(new.ids))
                if place == len(new.ids):
                    new.ids.append(put.entity_id)
                row = self._n_base + place
            by_row[row] = put
        fields = _indexed_fields(self.schema)
        layers = [*self._layers]
        while layers and len(layers[-1].puts) < 2 * len(by_row):
            by_row = {**layers.pop().puts, **by_row}
        layers.append(_Layer.of(by_row, fields))
        return _features(self.schema, self.snapshot, fresh[-1].offset, layers=layers, new=new, n_new=len(new.ids))

    def extends(self, earlier: Features) -> bool:
        """Return whether these are earlier features with what came next, so that all rows of those are the same."""
        return self.snapshot is earlier.snapshot and self._new is earlier._new and self.n_rows >= earlier.n_rows

    def row(self, entity_id: str) -> int | None:
        """Return the row of an id; None for an unknown one."""
        row = self._base_row(entity_id)
        if row is not None:
            return row
        place = self._new.places.get(entity_id)
        # Ids may have been added for features that were derived from these.
        return self._n_base + place if place is not None and self._n_base + place < self.n_rows else None

    def id(self, row: int) -> str:
        """Return the id of a row."""
        if self.snapshot is not None and row < self._n_base:
            return self.snapshot.ids.id(row)
        return self._new.ids[row - self._n_base]

    def put(self, row: int) -> Put | None:
        """Return what was put last of a row since the snapshot; None for nothing."""
        return next((put for layer in reversed(self._layers) if (put := layer.puts.get(row)) is not None), None)

    def rows_put_after(self, offset: int) -> list[int]:
        """Return the rows of what was put after a place in the log, each once."""
        rows: set[int] = set()
        for layer in reversed(self._layers):
            if layer.offset <= offset:
                break  # older layers have older puts
            rows.update(row for row, put in layer.puts.items() if put.offset > offset)
        return sorted(rows)

    def text(self, row: int, name: str) -> str | None:
        """Return a value as metadata columns show it; None for null and for a column that there is not."""
        column = self.schema.field(name)
        if column is None:
            return None
        if name == id_column(self.schema):
            return self.id(row)
        if (put := self.put(row)) is not None:
            value = put.values.get(name)
            if column.categorical and isinstance(value, str):
                return SEPARATOR.join(split_categories(value)) or None
            return text_of(_typed(column, value))
        return None if self.snapshot is None or row >= self._n_base else self.snapshot.text(row, name)

    def values_of(self, row: int | None, name: str) -> tuple[Scalar, ...]:
        """Return the values of a row that filters compare; nothing for null, an unknown row or an absent column."""
        return self.table.values_of(row, name)

    @property
    def _n_base(self) -> int:
        return 0 if self.snapshot is None else self.snapshot.n_rows

    def _base_row(self, entity_id: str) -> int | None:
        return None if self.snapshot is None else self.snapshot.ids.index(entity_id)


class _LayeredColumn(Column):
    """A column of the snapshot under those of layers, the newest of which holds for a row."""

    def __init__(self, base: Column | None, layers: Sequence[_Layer], name: str, n_rows: int) -> None:
        self._base = base
        self._layers = [(layer, layer.columns[name]) for layer in layers]
        self._n_rows = n_rows

    def __len__(self) -> int:
        return self._n_rows

    def values_of(self, row: int) -> tuple[Scalar, ...]:
        """Return the values of a row; none for null."""
        for layer, column in reversed(self._layers):
            place = layer.places.get(row)
            if place is not None:
                return column.values_of(place)
        return self._base.values_of(row) if self._base is not None and row < len(self._base) else ()

    def matching(self, operator: Operator, value: Scalar) -> Rows:
        """Return the rows of which a value stands in a relation to another one."""
        rows = _NO_ROWS if self._base is None else self._base.matching(operator, value)
        for layer, column in self._layers:
            places = np.frombuffer(column.matching(operator, value).to_array(), np.uint32)
            rows = (rows - layer.rows) | rows_of(np.sort(layer.numbers[places]))
        return rows


class _AllIds(Column):
    """The ids as a column."""

    def __init__(self, row_of: Callable[[str], int | None], id_of: Callable[[int], str], n_rows: int) -> None:
        self._row_of = row_of
        self._id_of = id_of
        self._n_rows = n_rows

    def __len__(self) -> int:
        return self._n_rows

    def values_of(self, row: int) -> tuple[Scalar, ...]:
        """Return the id of a row."""
        return (self._id_of(row),)

    def matching(self, operator: Operator, value: Scalar) -> Rows:  # noqa: ARG002 -- only equality is asked of texts
        """Return the row of an id."""
        row = self._row_of(str(value))
        return rows_of(np.array([] if row is None else [row], np.uint32))


def _features(
    schema: AvroSchema,
    snapshot: FeatureSnapshot | None,
    offset: int,
    *,
    layers: Sequence[_Layer],
    new: _NewIds,
    n_new: int,
) -> Features:
    n_rows = n_new + (0 if snapshot is None else snapshot.n_rows)
    columns: dict[str, Column] = {}
    features = Features(schema, snapshot, offset, n_rows, Table(n_rows, columns), tuple(layers), new)
    base = {} if snapshot is None else snapshot.table.columns
    for item in _indexed_fields(schema):
        columns[item.name] = _LayeredColumn(base.get(item.name), layers, item.name, n_rows)
    columns[id_column(schema)] = _AllIds(features.row, features.id, n_rows)
    return features


def _indexed_fields(schema: AvroSchema) -> list[AvroField]:
    key = id_column(schema)
    return [item for item in schema.fields if item.name != key and kind_of(item) not in _NOT_INDEXED]


def _column(field: AvroField, values: Sequence[Any]) -> Column:
    kind = kind_of(field)
    if kind == FeatureKind.FEATURE_KIND_NUMBER:
        is_null = np.array([value is None for value in values], bool)
        dtype = _dtype(field)
        return NumberColumn.build(np.array([0 if value is None else value for value in values], dtype), is_null)
    if kind == FeatureKind.FEATURE_KIND_CATEGORIES:
        return TextColumn.of_values([[] if value is None else split_categories(value) for value in values])
    return TextColumn.of_values([[] if value is None else [value] for value in values])


def _typed(column: AvroField, value: Any) -> Any:
    """Return a number in the column's precision, so that it is shown like one of the snapshot."""
    if value is None or kind_of(column) != FeatureKind.FEATURE_KIND_NUMBER:
        return value
    return _dtype(column).type(value)


def _dtype(column: AvroField) -> np.dtype[Any]:
    return _DTYPES[column.type]
