"""Deleting rows from the tables of datasets for good: from the latest version, and with all versions before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
from deltalake import CommitProperties, Transaction
from deltalake.exceptions import DeltaError
from numpy.typing import NDArray

from common import columns
from common.errors import Unavailable
from common.tables import Table

__all__ = ["ErasableTable"]

#: Delta Lake's defaults.
_LOG_RETENTION: Final = "interval 30 days"
_FILE_RETENTION: Final = "interval 1 week"
_NONE: Final = "interval 0 seconds"


class ErasableTable(Table):
    """A dataset's table whose rows can be deleted; as `Table` otherwise."""

    def matching(self, column: str, chosen: Callable[[Sequence[str]], NDArray[np.bool_]]) -> pl.Series:
        """Return the distinct values of a text column that are chosen; none for a column that no row has.

        Args:
            column: The column.
            chosen: Says of values, of which none is null, which are meant: bool [n].

        Raises:
            CorruptArtifact: A file of the table is damaged or missing.
            Unavailable: The store cannot be reached.
        """
        values = pl.Series(column, [], pl.String)
        for batch in self.batches([column], version=self.version()) if self.exists() else ():
            if column in batch.columns:
                distinct = batch[column].drop_nulls().unique()
                values = pl.concat([values, distinct.filter(pl.Series(chosen(distinct.to_list())))])
        return values.unique()

    def delete_matching(self, values: pl.Series, *, up_to: int, app_id: str, only_without: str | None = None) -> int:
        """Delete the rows that have one of many values in a column, in one commit, and return how many there were.

        Args:
            values: Distinct; the name is the column's.
            up_to: Rows of records with a larger offset stay; those that were imported do not.
            app_id: Id of the application transaction, whose number is that of the deleted rows: a call after one that
                succeeded deletes nothing and returns the same.
            only_without: Only rows that are null in this column.

        Raises:
            Unavailable: The store cannot be reached, or every attempt conflicted with another commit.
        """
        if (done := self.transaction(app_id)) is not None:
            return done
        if not self.exists() or values.is_empty():
            return 0
        # Counted beforehand, because the commit carries the number.
        number = self._count_matching(values, up_to=up_to, only_without=only_without)
        conditions = [f"old.`{values.name}` = new.`{values.name}`"]
        if only_without:
            conditions.append(f"old.`{only_without}` IS NULL")
        if columns.LOG_OFFSET in {field.name for field in self._open().schema().fields}:
            conditions.append(
                f"(old.`{columns.SOURCE}` = '{columns.SOURCE_BULK}' OR old.`{columns.LOG_OFFSET}` IS NULL "
                f"OR old.`{columns.LOG_OFFSET}` <= {up_to:d})"
            )

        def write() -> int:
            merge = self._open().merge(
                values.to_frame(),
                predicate=" AND ".join(conditions),
                source_alias="new",
                target_alias="old",
                commit_properties=CommitProperties(app_transactions=[Transaction(app_id, number)]),
            )
            merge.when_matched_delete().execute()
            return number

        return self._retried(write)

    def _count_matching(self, values: pl.Series, *, up_to: int, only_without: str | None) -> int:
        names = [values.name, columns.SOURCE, columns.LOG_OFFSET, *([only_without] if only_without else [])]
        count = 0
        for batch in self.batches(names, version=self.version()):
            if values.name not in batch.columns:
                continue
            rows = batch.join(values.to_frame(), on=values.name, how="semi")
            if columns.LOG_OFFSET in rows.columns:
                rows = rows.filter(
                    (pl.col(columns.SOURCE) == columns.SOURCE_BULK) | (pl.col(columns.LOG_OFFSET).fill_null(0) <= up_to)
                )
            if only_without in rows.columns:
                rows = rows.filter(pl.col(only_without).is_null())
            count += len(rows)
        return count

    def erase_history(self) -> None:
        """Delete every file that only earlier versions need, and the log of those versions: no old version is left.

        Data files that a commit in progress has written already stay: nothing has removed those yet. The log has to go
        as well, since it holds the smallest and largest value of each column of each file.

        Raises:
            Unavailable: The store cannot be reached, or every attempt conflicted with another commit.
        """
        if not self.exists():
            return
        try:
            self._open().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
            self._set_retention(log=_NONE, files=_NONE)
            self._open().create_checkpoint()
            # Before what it takes the place of is removed.
            self.sync_newest()
            self._open().cleanup_metadata()
            self._set_retention(log=_LOG_RETENTION, files=_FILE_RETENTION)
        except DeltaError as error:
            raise Unavailable(f"dataset {self.location}: its history cannot be erased: {error}") from error

    def _set_retention(self, *, log: str, files: str) -> None:
        properties = {"delta.logRetentionDuration": log, "delta.deletedFileRetentionDuration": files}
        self._retried(lambda: self._open().alter.set_table_properties(properties))
