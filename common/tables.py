"""Datasets as Delta Lake tables: appended, replaced in part, read at a version, each in one commit.

A commit can carry an application transaction (an id and a number), which is how a repeated import and a repeated
sealing of events are recognised and change nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from common import columns
from common.errors import CorruptArtifact, ResourceNotFound, Unavailable
from common.storage import Store

__all__ = ["Table"]

_ATTEMPTS = 5
_LOG = "_delta_log"
_COMPACT_BYTES = 64 * 1024 * 1024
T = TypeVar("T")


class Table:
    """One dataset's table. It exists from its first commit on.

    Args:
        store: The shared store, local or S3.
        location: Folder of the table, relative to the store's root.
    """

    def __init__(self, store: Store, location: str) -> None:
        self._store = store
        self._uri = f"{store.table_uri}/{location}"
        self._options = store.table_options or None
        self.location = location

    def exists(self) -> bool:
        """Tell whether there was a first commit."""
        return DeltaTable.is_deltatable(self._uri, self._options)

    def version(self) -> int:
        """Return the number of the latest commit; the errors of `read`."""
        return self._open().version()

    def transaction(self, app_id: str) -> int | None:
        """Return the number that the last commit of an application carried; None when it never wrote here."""
        if not self.exists():
            return None
        return self._open().transaction_version(app_id)

    def read(self, *, version: int | None = None) -> pl.DataFrame:
        """Return the rows at a version, the latest by default.

        Raises:
            ResourceNotFound: Nothing was ever written, or not that version.
            CorruptArtifact: A file of the table is damaged or gone.
            Unavailable: The store cannot be reached.
        """
        table = self._open(version)
        try:
            # The Arrow stream needs neither pyarrow nor a second reader.
            return pl.DataFrame(table.scan())
        except BaseException as error:  # noqa: BLE001 - panics of Rust code are no Exception; all are raised again
            self._explain(error, table)

    def append(self, rows: pl.DataFrame, *, app_id: str | None = None, number: int = 0) -> int:
        """Add rows, new columns included, and return the version; with `app_id`, in a transaction of that number.

        Raises:
            Unavailable: The store cannot be reached, or others committed in between again and again.
        """
        return self._commit(rows, "append", predicate=None, app_id=app_id, number=number)

    def replace_bulk(self, rows: pl.DataFrame, *, app_id: str, number: int) -> int:
        """Replace the rows of earlier bulk imports, keep those of streamed events; errors of `append`."""
        if not self.exists():
            return self.append(rows, app_id=app_id, number=number)
        predicate = f"{columns.SOURCE} = '{columns.SOURCE_BULK}'"
        return self._commit(rows, "overwrite", predicate=predicate, app_id=app_id, number=number)

    def compact(self, *, target_bytes: int = _COMPACT_BYTES) -> int:
        """Join small files into large ones, forget what no version of the last week needs, return the version.

        Rows, and readers of earlier versions, notice nothing. A commit of somebody else in between that removes rows
        makes the attempt void: it is left to the next one.

        Raises:
            ResourceNotFound: Nothing was ever written.
            Unavailable: The store cannot be reached.
        """
        table = self._open()
        try:
            table.optimize.compact(target_size=target_bytes)
            table.vacuum(dry_run=False)
        except CommitFailedError:
            return self.version()
        except DeltaError as error:
            raise Unavailable(f"dataset {self.location}: cannot be compacted: {error}") from error
        return self.version()

    def upsert(self, rows: pl.DataFrame, *, keys: Sequence[str], app_id: str, number: int) -> int:
        """Add rows, each in the place of those with the same keys if there are any; errors of `append`.

        Args:
            rows: Each combination of keys once.
            keys: Columns that identify a row.
            app_id: Id of the application transaction.
            number: Its number.
        """
        if not self.exists():
            return self.append(rows, app_id=app_id, number=number)

        def write() -> int:
            merge = self._open().merge(
                rows,
                predicate=" AND ".join(f"old.`{key}` = new.`{key}`" for key in keys),
                source_alias="new",
                target_alias="old",
                merge_schema=True,
                commit_properties=CommitProperties(app_transactions=[Transaction(app_id, number)]),
            )
            merge.when_matched_update_all().when_not_matched_insert_all().execute()
            return self.version()

        return self._retried(write)

    def _open(self, version: int | None = None) -> DeltaTable:
        try:
            return DeltaTable(self._uri, version=version, storage_options=self._options)
        except TableNotFoundError as error:
            raise ResourceNotFound(
                f"`dataset`: got {self.location}, which holds no data yet; import some first"
            ) from error
        except DeltaError as error:
            self._explain(error, None)

    def _explain(self, error: BaseException, table: DeltaTable | None) -> NoReturn:
        """Raise what an error in reading means: damage, named by its file, or trouble that passes.

        Neither Delta Lake nor Polars tell the two apart by class, and what their inside throws need not even be an
        Exception; so the files are looked at one by one.

        Args:
            error: What was thrown.
            table: As it was opened; None when it cannot be.
        """
        if isinstance(error, MemoryError) or type(error) in (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise error
        # One file at a time is in memory; the listing of the log is as long as the table has versions.
        log = [item.path for item in self._store.list(f"{self.location}/{_LOG}") if item.path.endswith(".json")]
        data = [] if table is None else pl.DataFrame(table.get_add_actions())["path"].to_list()
        for path in [*sorted(log), *(f"{self.location}/{name}" for name in data)]:
            if (damage := self._damage(path)) is not None:
                raise CorruptArtifact(
                    f"dataset {self.location}: the file {path} {damage}; restore it, or delete the dataset and import "
                    "its data again"
                ) from error
        told = str(error).split("\n", 1)[0]
        raise Unavailable(f"dataset {self.location}: cannot be read: {told}") from error

    def _damage(self, path: str) -> str | None:
        """Say what is wrong with a file of the table, None when it can be read.

        Raises:
            Unavailable: The store cannot be reached.
        """
        try:
            content = self._store.get(path)
        except ResourceNotFound:
            return "is gone"
        try:
            if path.endswith(".json"):
                for line in content.splitlines():
                    json.loads(line)
            else:
                pl.read_parquet(io.BytesIO(content))
        except (MemoryError, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a parser throws at it, the file is what is told
            return f"is damaged ({str(error).split(chr(10), 1)[0][:200]})"
        return None

    def _commit(self, rows: pl.DataFrame, mode: Any, *, predicate: str | None, app_id: str | None, number: int) -> int:
        marks = [Transaction(app_id, number)] if app_id else None
        attempts = 0

        def write() -> int:
            nonlocal attempts
            attempts += 1
            # A commit whose answer got lost looks like a conflict with ourselves.
            if app_id and attempts > 1 and self.transaction(app_id) == number:
                return self.version()
            write_deltalake(
                self._uri, rows, mode=mode, predicate=predicate, schema_mode="merge",
                storage_options=self._options, commit_properties=CommitProperties(app_transactions=marks),
            )  # fmt: skip
            return self.version()

        return self._retried(write)

    def _retried(self, write: Callable[[], T]) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                return write()
            except CommitFailedError:
                continue  # somebody else committed in between: read the new state and try again
        try:
            return write()
        except DeltaError as error:
            told = str(error).split("\n", 1)[0]
            raise Unavailable(f"dataset {self.location}: cannot be written: {told}") from error
