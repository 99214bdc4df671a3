"""A snapshot of features, opened: ids, and columns by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from common import columns
from common.avro import AvroSchema
from common.errors import CorruptArtifact, InvalidInput
from common.features.columns import FeatureColumn, load_column
from common.filters import Column, Rows, Table, rows_of
from common.filters.expression import Operator, Scalar
from common.positions import Position
from common.vocabulary import Vocabulary
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

__all__ = ["ID_COLUMNS", "FeatureSnapshot", "IdsColumn", "id_column"]

#: The columns of ids that datasets with features have.
ID_COLUMNS: Final[Mapping[str, str]] = {
    "ITEMS": columns.ITEM_ID,
    "USERS": columns.USER_ID,
    "ACTIONS": columns.ACTION_ID,
}


def id_column(schema: AvroSchema) -> str:
    """Return the column of ids of a schema of items, users or actions.

    Raises:
        InvalidInput: The schema has none.
    """
    for name in ID_COLUMNS.values():
        if schema.field(name) is not None:
            return name
    raise InvalidInput(f"`schema`: got {schema.name}, want one with a column {' or '.join(ID_COLUMNS.values())}")


class IdsColumn(Column):
    """The ids themselves as a column.

    Args:
        ids: By row.
    """

    def __init__(self, ids: Vocabulary) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def values_of(self, row: int) -> tuple[Scalar, ...]:
        """Return the id of a row."""
        return (self._ids.id(row),)

    def matching(self, operator: Operator, value: Scalar) -> Rows:  # noqa: ARG002 -- only equality is asked of texts
        """Return the row of an id."""
        row = self._ids.index(str(value))
        return rows_of(np.array([] if row is None else [row], np.uint32))


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSnapshot:
    """All features of a dataset at a version of its table; rows are in no order that means anything.

    Attributes:
        manifest: What it says of itself.
        schema: What the columns were read by.
        ids: Ids and rows.
        columns: By name, without the ids.
        position: Place in the event log up to which all put records are contained.
        table: What filters can read.
    """

    manifest: FeatureManifest
    schema: AvroSchema
    ids: Vocabulary
    columns: Mapping[str, FeatureColumn]
    position: Position
    table: Table

    @classmethod
    def load(cls, folder: Path, manifest: FeatureManifest) -> FeatureSnapshot:
        """Map a snapshot's files; their pages are read when they are first needed.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit the others.
        """
        ids = Vocabulary.load(folder, "ids")
        if len(ids) != manifest.n_rows:
            raise CorruptArtifact(f"`ids`: got {len(ids)} ids, want {manifest.n_rows}")
        named = {
            column.name: load_column(folder, place, column.kind, n_rows=len(ids))
            for place, column in enumerate(manifest.columns)
        }
        schema = AvroSchema.parse(manifest.schema)
        indexed = {name: column.indexed for name, column in named.items() if column.indexed is not None}
        table = Table(len(ids), {id_column(schema): IdsColumn(ids), **indexed})
        position = Position(manifest.event_epoch, manifest.event_offset)
        return cls(manifest, schema, ids, named, position, table)

    @property
    def n_rows(self) -> int:
        """How many ids there are."""
        return len(self.ids)

    def text(self, row: int, name: str) -> str | None:
        """Return a value as text; None for null and for a column that the snapshot does not have."""
        column = self.columns.get(name)
        return None if column is None else column.text(row)
