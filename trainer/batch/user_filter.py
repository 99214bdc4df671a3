"""Evaluates the filters of segment jobs: who of a model's users passes, as the datasets are when the job begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pyroaring import BitMap, FrozenBitMap

from common import columns
from common.avro import AvroSchema
from common.features import FeatureSnapshot
from common.features.publishing import open_or_make_snapshot
from common.filters import (
    MAX_LENGTH,
    Dataset,
    Filter,
    RequestContext,
    Rows,
    Table,
    compile_filter,
    parse_filter,
    parse_filter_values,
    rows_of,
)
from common.storage import Store
from common.tables import Table as DatasetTable
from common.vocabulary import Vocabulary
from protos.tailorbird.internal.v1 import jobs_pb2

__all__ = ["UserFilter"]

_DATASETS: Final = {"USERS": Dataset.USERS, "INTERACTIONS": Dataset.INTERACTIONS}
#: What is read of events.
_EVENT_COLUMNS: Final[dict[str, pl.DataType]] = {
    columns.USER_ID: pl.String(),
    columns.SESSION_ID: pl.String(),
    columns.EVENT_TYPE: pl.String(),
    columns.LOG_OFFSET: pl.Int64(),
}
#: What events without a type are of: no filter can name it, and the wildcard means it as well.
_NO_TYPE: Final = "\0"
#: Sets of values whose users are kept: most jobs have one.
_KEPT: Final = 16


class UserFilter:
    """A filter of users, bound to the users of a model.

    Args:
        definition: The filter.
        table: Rows that it chooses from.
        row_of_user: int32 [n_users], the row of each.
        events: Rows of the users with events of each type; see `RequestContext`.
    """

    def __init__(
        self, definition: Filter, table: Table, row_of_user: NDArray[np.int32], events: Mapping[str, Rows]
    ) -> None:
        self._definition = definition
        self._table = table
        self._row_of_user = row_of_user
        self._events = events
        self._passing: dict[frozenset[tuple[str, str]], bytes] = {}

    @classmethod
    def open(
        cls,
        expression: str,
        tables: Mapping[str, jobs_pb2.DatasetTable],
        users: Vocabulary,
        store: Store,
        *,
        folder: Path,
        check: Callable[[], None],
    ) -> UserFilter:
        """Read what a filter needs of the datasets as they are now.

        Args:
            expression: Of a filter of users.
            tables: Of the dataset group, by type.
            users: Of the model.
            store: The shared store.
            folder: Existing, empty, for files that stay as long as the filter.
            check: Called again and again; raises when the job must end.

        Raises:
            InvalidInput: The expression does not fit the schemas any more.
            CorruptArtifact: A file of a table is damaged or missing.
            Unavailable: The store cannot be reached.
        """
        schemas = {
            dataset: AvroSchema.parse(tables[kind].schema) for kind, dataset in _DATASETS.items() if kind in tables
        }
        # How many fields a filter may read was checked by the quota when it was created.
        definition = parse_filter(expression, schemas, max_fields=MAX_LENGTH)
        snapshot = _snapshot(tables.get("USERS"), store, folder, check)
        n_rows = 0 if snapshot is None else snapshot.n_rows
        rows = np.full(len(users), -1, np.int32) if snapshot is None else snapshot.ids.indexes_of(users)
        # Users of whom nothing is said are rows of their own, without values.
        missing = np.flatnonzero(rows < 0)
        rows[missing] = np.arange(n_rows, n_rows + len(missing), dtype=np.int32)
        table = Table(n_rows + len(missing), {} if snapshot is None else snapshot.table.columns)
        needs_events = any(field.dataset is Dataset.INTERACTIONS for field in definition.fields)
        events = _events(tables["INTERACTIONS"], store, users, rows, check) if needs_events else {}
        return cls(definition, table, rows, events)

    def passing(self, values: Mapping[str, str]) -> bytes:
        """Return who passes with some values of the parameters: a serialized bitmap of indexes of users.

        Raises:
            InvalidInput: The values are wrong.
        """
        key = frozenset(values.items())
        kept = self._passing.get(key)
        if kept is None:
            compiled = compile_filter(self._definition, self._table, parse_filter_values(self._definition, values))
            mask = np.zeros(self._table.n_rows, bool)
            mask[np.frombuffer(compiled.rows(RequestContext(events=self._events)).to_array(), np.uint32)] = True
            kept = rows_of(np.flatnonzero(mask[self._row_of_user]).astype(np.uint32)).serialize()
            while len(self._passing) >= _KEPT:
                self._passing.pop(next(iter(self._passing)))
            self._passing[key] = kept
        return kept


def _snapshot(
    table: jobs_pb2.DatasetTable | None, store: Store, folder: Path, check: Callable[[], None]
) -> FeatureSnapshot | None:
    if table is None or not (stored := DatasetTable(store, table.location)).exists():
        return None
    return open_or_make_snapshot(
        store,
        table.location,
        table.schema,
        dataset_type=table.dataset_type,
        version=stored.version(),
        folder=folder,
        check=check,
    )


def _events(
    table: jobs_pb2.DatasetTable,
    store: Store,
    users: Vocabulary,
    row_of_user: NDArray[np.int32],
    check: Callable[[], None],
) -> dict[str, FrozenBitMap]:
    """Return the rows of the users with events of each type.

    What was done in a session before its user was known counts for that user, as in trainings (see
    `trainer.training.loading.with_users`). Memory is that of one batch of rows, of the result, and of the sessions in
    which nobody was known.
    """
    stored = DatasetTable(store, table.location)
    gathered: defaultdict[str, BitMap] = defaultdict(BitMap)
    if not stored.exists():
        return {}
    version = stored.version()

    def batches() -> Iterator[pl.DataFrame]:
        for batch in stored.batches(list(_EVENT_COLUMNS), version=version):
            check()
            missing = [pl.lit(None, kind).alias(name) for name, kind in _EVENT_COLUMNS.items() if name not in batch]
            yield batch.with_columns(missing).select(pl.col(name).cast(kind) for name, kind in _EVENT_COLUMNS.items())

    def gather(events: pl.DataFrame) -> None:
        done = events.select(columns.USER_ID, pl.col(columns.EVENT_TYPE).fill_null(_NO_TYPE)).unique()
        for (name,), rows in done.group_by(columns.EVENT_TYPE):
            indexes = users.indexes(rows[columns.USER_ID].to_list())
            gathered[str(name)].update(BitMap(row_of_user[indexes[indexes >= 0]].astype(np.uint32)))

    anonymous = pl.DataFrame(schema={name: _EVENT_COLUMNS[name] for name in (columns.SESSION_ID, columns.EVENT_TYPE)})
    for batch in batches():
        gather(batch.filter(pl.col(columns.USER_ID).is_not_null()))
        unknown = batch.filter(pl.col(columns.USER_ID).is_null() & (pl.col(columns.SESSION_ID) != ""))
        if len(unknown):
            anonymous = pl.concat([anonymous, unknown.select(anonymous.columns)]).unique()
    if len(anonymous):
        gather(anonymous.join(_users_of_sessions(batches(), anonymous), on=columns.SESSION_ID))
    return {name: FrozenBitMap(rows) for name, rows in gathered.items()}


def _users_of_sessions(batches: Iterable[pl.DataFrame], sessions: pl.DataFrame) -> pl.DataFrame:
    """Return the users of those sessions that have one; one that several users shared belongs to its last one."""
    names = [columns.SESSION_ID, columns.USER_ID, columns.LOG_OFFSET]
    tied = pl.DataFrame(schema={name: _EVENT_COLUMNS[name] for name in names})
    for batch in batches:
        rows = batch.filter(pl.col(columns.USER_ID).is_not_null()).join(sessions, on=columns.SESSION_ID, how="semi")
        if len(rows):
            tied = (
                pl.concat([tied, rows.select(names)])
                .sort(columns.LOG_OFFSET, columns.USER_ID, nulls_last=False)
                .unique(columns.SESSION_ID, keep="last", maintain_order=True)
            )
    return tied
