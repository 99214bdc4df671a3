"""Datasets as Delta Lake tables: appended, replaced in part, read at a version, each in one commit.

A commit can carry an application transaction (an id and a number), by which a repeated import and a repeated flush of
events are recognised, and change nothing.

Rows that are more than memory should hold come as files, see `common.table_files`: `stage` copies them into the table's
folder, where no reader sees them, and `replace_files` makes all of them visible in one commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NoReturn, TypeVar

import polars as pl
from deltalake import CommitProperties, DeltaTable, Field, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from common import columns
from common.errors import CorruptArtifact, ResourceNotFound, Unavailable
from common.positions import LEGACY_EPOCH, START, Position
from common.storage import Store
from common.storage.failures import unwritable
from common.table_damage import damage_of
from common.table_files import StagedFile, StoredFile, TableFile, TableSnapshot
from common.table_syncs import sync_newest, sync_table_files, synced_commits

__all__ = ["NO_VERSION", "Table", "TableChanged"]

#: The version of a table that does not exist yet.
NO_VERSION: Final = -1

_ATTEMPTS = 5
#: What Delta Lake says, by a class that it has for other errors as well, of a table that was made in between.
_ALREADY_THERE = "A table already exists"
_LOG = "_delta_log"
_FIRST_COMMIT = f"{0:020}.json"
T = TypeVar("T")


class TableChanged(Exception):
    """Another commit came first, so that what was read of the table no longer holds."""


class Table:
    """One dataset's table, which exists from its first commit on.

    Args:
        store: The shared store, local or S3.
        location: Folder of the table, relative to the store's root.
    """

    def __init__(self, store: Store, location: str) -> None:
        self._store = store
        self._uri = f"{store.table_uri}/{location}"
        self._options = dict(store.table_options) or None
        self.location = location

    def exists(self) -> bool:
        """Return whether there was a first commit."""
        try:
            return DeltaTable.is_deltatable(self._uri, self._options)
        except OSError as error:
            raise self._unavailable("read", error) from error

    def version(self) -> int:
        """Return the number of the latest commit; the errors of `read`."""
        return self._open().version()

    def oldest_version(self) -> int:
        """Return the number of the oldest version whose files can be named: a deletion erases all before it.

        Raises:
            Unavailable: The store cannot be reached.
        """
        names = [PurePosixPath(item.path).name for item in self._store.list(f"{self.location}/{_LOG}")]
        if _FIRST_COMMIT in names:
            return 0
        # What is left of the log begins with a checkpoint.
        return min((int(name.split(".")[0]) for name in names if ".checkpoint." in name), default=0)

    def transaction(self, app_id: str) -> int | None:
        """Return the number of an application's last transaction; None when it never committed to the table."""
        if not self.exists():
            return None
        return self._open().transaction_version(app_id)

    def event_position(self) -> Position:
        """Return the position in the event log up to which the table holds all its events; `START` without events."""
        return self.version_and_position()[1] if self.exists() else START

    def version_and_position(self, version: int | None = None) -> tuple[int, Position]:
        """Return a version, the latest by default, and its `event_position`, read together; the errors of `read`."""
        table = self._open(version)
        return table.version(), _position(table)

    def streamed_ids(self, *, after: int, up_to: int) -> Iterator[pl.Series]:
        """Yield the ids of the streamed events between two offsets, in batches.

        Args:
            after: The offset before the first.
            up_to: The last offset.
        """
        if not self.exists():
            return
        predicate = f"`{columns.LOG_OFFSET}` > {after:d} AND `{columns.LOG_OFFSET}` <= {up_to:d}"
        for batch in self._open().scan(columns=[columns.EVENT_ID], predicate=predicate):
            yield pl.DataFrame(batch)[columns.EVENT_ID]

    def offset_of_import(self) -> int:
        """Return the offset for rows of an import: no smaller than any that the table has, or has all records up to."""
        return max(self.event_position().offset, self.largest_offset())

    def largest_offset(self) -> int:
        """Return the largest offset of all rows, of records from any log and of imports; 0 for none."""
        table = self._open() if self.exists() else None
        if table is None or columns.LOG_OFFSET not in {field.name for field in table.schema().fields}:
            return 0
        batches = table.scan(columns=[columns.LOG_OFFSET])
        offsets = (pl.DataFrame(batch)[columns.LOG_OFFSET].drop_nulls().to_numpy() for batch in batches)
        return max((int(batch_offsets.max(initial=0)) for batch_offsets in offsets), default=0)

    def read(self, *, version: int | None = None) -> pl.DataFrame:
        """Return the rows at a version, the latest by default.

        Raises:
            ResourceNotFound: Nothing was ever written, or not that version.
            CorruptArtifact: A file of the table is damaged or missing.
            Unavailable: The store cannot be reached.
        """
        table = self._open(version)
        try:
            # The Arrow stream needs neither pyarrow nor a second reader.
            return pl.DataFrame(table.scan())
        except BaseException as error:  # noqa: BLE001 - panics of Rust code are no Exception; all are raised again
            self._raise_cause(error, table)

    def batches(self, names: Sequence[str], *, version: int, source: str | None = None) -> Iterator[pl.DataFrame]:
        """Yield the rows at a version in batches, so that memory does not depend on how many there are.

        Args:
            names: The columns to return; those that no commit has written yet are left out.
            version: The version.
            source: Only rows of this `columns.SOURCE`.

        Raises:
            ResourceNotFound: Nothing was ever written, or not that version.
            CorruptArtifact: A file of the table is damaged or missing.
            Unavailable: The store cannot be reached.
        """
        predicate = None if source is None else f"`{columns.SOURCE}` = '{source}'"
        yield from self._scan(names, version, predicate)

    def put_batches(
        self, names: Sequence[str], *, version: int, after: int = 0, up_to: int | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the streamed rows behind an offset and up to another, None for the last; otherwise as `batches`."""
        predicate = f"`{columns.SOURCE}` = '{columns.SOURCE_PUT}' AND `{columns.LOG_OFFSET}` > {after:d}"
        if up_to is not None:
            predicate += f" AND `{columns.LOG_OFFSET}` <= {up_to:d}"
        yield from self._scan(names, version, predicate)

    def _scan(self, names: Sequence[str], version: int, predicate: str | None) -> Iterator[pl.DataFrame]:
        table = self._open(version)
        written = {field.name for field in table.schema().fields}
        try:
            for batch in table.scan(columns=[name for name in names if name in written], predicate=predicate):
                yield pl.DataFrame(batch)
        except BaseException as error:  # noqa: BLE001 - panics of Rust code are no Exception; all are raised again
            self._raise_cause(error, table)

    def append(self, rows: pl.DataFrame, *, app_id: str | None = None, number: int = 0) -> int:
        """Append rows, which may have new columns, and return the version.

        With `app_id` the commit carries an application transaction of that number.

        Raises:
            StorageFull: The disk of a local store is full; nothing was appended.
            Unavailable: The store cannot be reached, or every attempt conflicted with another commit.
        """
        return self._append(rows, {} if app_id is None else {app_id: number})

    def append_events(self, rows: pl.DataFrame, position: Position, *, after: Position) -> int:
        """Append rows of streamed events together with the position of the last one, and return the version.

        Args:
            rows: Without those up to `after`.
            position: In the event log, of the last event.
            after: The `event_position` that the table must have, so that of two writers one commits.

        Raises:
            TableChanged: It has another one; nothing was appended.
            StorageFull: The disk of a local store is full; nothing was appended.
            Unavailable: The store cannot be reached, or every attempt conflicted with another commit.
        """

        def append(table: DeltaTable, properties: CommitProperties) -> None:
            write_deltalake(table, rows, mode="append", schema_mode="merge", commit_properties=properties)

        return self._stream(rows, append, position, after)

    def upsert_records(self, rows: pl.DataFrame, position: Position, *, key: str, after: Position) -> int:
        """Write rows of put records, each in the place of the put row with the same key; otherwise as `append_events`.

        Rows of imports stay beside them: `common.newest` says which of the two holds.

        Args:
            rows: Each key at most once.
            position: In the event log, of the last record.
            key: The column that identifies a row.
            after: The `event_position` that the table must have.
        """
        if rows.is_empty():  # a merge of nothing commits nothing, not even the position
            return self.append_events(rows, position, after=after)

        def upsert(table: DeltaTable, properties: CommitProperties) -> None:
            predicate = f"old.`{key}` = new.`{key}` AND old.`{columns.SOURCE}` = '{columns.SOURCE_PUT}'"
            merge = table.merge(
                rows, predicate=predicate, source_alias="new", target_alias="old", merge_schema=True,
                commit_properties=properties,
            )  # fmt: skip
            merge.when_matched_update_all().when_not_matched_insert_all().execute()

        return self._stream(rows, upsert, position, after)

    def snapshot(self) -> TableSnapshot:
        """Return the latest version and its files; the errors of `read`, but no table is one without files."""
        if not self.exists():
            return TableSnapshot(NO_VERSION, ())
        table = self._open()
        added = pl.DataFrame(table.get_add_actions(flatten=True)).sort("path")
        bounds = [f"{bound}.{columns.SOURCE}" for bound in ("min", "max")]
        if not set(bounds) <= set(added.columns):
            return TableSnapshot(table.version(), tuple(StoredFile(name, None) for name in added["path"]))
        files = (
            # Of two values the least and the greatest are all there are.
            StoredFile(name, None if least is None or greatest is None else frozenset({least, greatest}))
            for name, least, greatest in added.select("path", *bounds).iter_rows()
        )
        return TableSnapshot(table.version(), tuple(files))

    def local_file(self, name: str, folder: Path) -> Path:
        """Return a file of the table on this machine; that of a store elsewhere is copied.

        Args:
            name: As in `StoredFile`.
            folder: Existing, for the copy.

        Raises:
            ResourceNotFound: It is gone: no version has it any more.
            Unavailable: The store cannot be reached.
        """
        local = self._store.local_folder(self.location)
        if local is not None:
            return local / name
        target = folder / name.replace("/", "-")
        self._store.download(f"{self.location}/{name}", target)
        return target

    def stage(self, file: TableFile, name: str) -> StagedFile:
        """Put a file into the table's folder; no reader sees it before `replace_files`.

        Args:
            file: Written by `write_table_file`.
            name: Relative to the table's location, never used before: a writer that is late must not overwrite it.

        Raises:
            Unavailable: The store cannot be reached.
        """
        if not self._link(file.path, name):
            self._store.put(f"{self.location}/{name}", file.path)
        return StagedFile(name, file.path.stat().st_size, file)

    def staged_folders(self, folder: str) -> set[str]:
        """Return the names of the folders in a folder, relative to the table's location.

        Raises:
            Unavailable: The store cannot be reached.
        """
        prefix = f"{self.location}/{folder}"
        return {item.path.removeprefix(f"{prefix}/").split("/")[0] for item in self._store.list(prefix)}

    def remove_staged(self, folder: str) -> None:
        """Delete a folder whose files were staged and are not, and can never be, in any version.

        Raises:
            Unavailable: The store cannot be reached.
        """
        self._store.delete_folder(f"{self.location}/{folder}")

    def replace_files(
        self,
        added: Sequence[StagedFile],
        *,
        removed: Collection[str],
        after: int,
        app_id: str,
        number: int,
    ) -> int:
        """Add files and remove others in one commit, and return the version.

        New columns of the files become columns of the table, by a commit before that changes no row.

        Args:
            added: From `stage`, at least one.
            removed: Names of files of the version `after`.
            after: The version that the commit must follow, `NO_VERSION` for the first.
            app_id: Id of the application transaction of the commit.
            number: Its number.

        Raises:
            TableChanged: The table has another version by now; nothing was changed.
            Unavailable: The store cannot be reached.
        """
        # Delta Lake's own retry does not see that a compaction took a file away which this commit removes.
        properties = CommitProperties(max_commit_retries=0, app_transactions=[Transaction(app_id, number)])
        now = int(time.time() * 1000)
        additions = [AddAction(file.name, file.bytes, {}, now, True, file.local.statistics) for file in added]
        fields: dict[str, Field] = {}
        for file in added:
            fields |= {field.name: field for field in Schema.from_arrow(file.local.schema).fields}
        with synced_commits(self._store, self.location):
            try:
                if after == NO_VERSION:
                    create_table_with_add_actions(
                        self._uri, Schema(list(fields.values())), additions,
                        storage_options=self._options, commit_properties=properties,
                    )  # fmt: skip
                    return 0
                table = self._open()
                if table.version() != after:
                    raise TableChanged
                present = {field.name for field in table.schema().fields}
                if new := [field for name, field in fields.items() if name not in present]:
                    table.alter.add_columns(new)
                removals = [RemoveAction(name, True, now) for name in removed]
                table.create_write_transaction(
                    [*additions, *removals], "append", Schema(list(fields.values())), commit_properties=properties
                )
            except (CommitFailedError, DeltaError, OSError) as error:
                now_there = self.snapshot()
                # A commit whose response got lost looks like a conflict with itself.
                if added[0].name in {file.name for file in now_there.files}:
                    return now_there.version
                if isinstance(error, CommitFailedError) or (after == NO_VERSION and now_there.version != NO_VERSION):
                    raise TableChanged from error
                raise self._unavailable("written", error) from error
            return self.version()

    def sync_newest(self) -> None:
        """Sync the newest commits of a local store, whose writer may have died before that, and read them back.

        Raises:
            CorruptArtifact: The disk does not have what was committed.
            Unavailable: The disk failed.
        """
        sync_newest(self._store, self.location)

    def _link(self, path: Path, name: str) -> bool:
        """Link a file into the table's folder instead of copying it; False where that cannot be."""
        folder = self._store.local_folder(self.location)
        if folder is None:
            return False
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.hardlink_to(path)
        except OSError:
            return False  # on another file system, or on one without links
        sync_table_files(self._store, self.location, [name])
        return True

    def _open(self, version: int | None = None) -> DeltaTable:
        try:
            return DeltaTable(self._uri, version=version, storage_options=self._options)
        except TableNotFoundError as error:
            raise ResourceNotFound(
                f"`dataset`: got {self.location}, which holds no data yet; import some first"
            ) from error
        except (DeltaError, OSError) as error:
            if version is not None and (latest := self.version()) < version:
                raise ResourceNotFound(
                    f"`version`: got {version} of {self.location}, want at most {latest}, the latest"
                ) from error
            self._raise_cause(error, None)

    def _raise_cause(self, error: BaseException, table: DeltaTable | None) -> NoReturn:
        """Raise the cause of a failed read: CorruptArtifact with the damaged file's name, or Unavailable.

        Neither Delta Lake nor Polars distinguish the two by class, and what they raise need not even be an Exception;
        so the files are read one by one.

        Args:
            error: What was raised.
            table: The opened table; None when it cannot be opened.
        """
        if isinstance(error, MemoryError) or type(error) in (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise error
        # One file at a time is in memory; the listing of the log is as long as the table has versions.
        log = [item.path for item in self._store.list(f"{self.location}/{_LOG}") if item.path.endswith(".json")]
        data = [] if table is None else pl.DataFrame(table.get_add_actions())["path"].to_list()
        for path in [*sorted(log), *(f"{self.location}/{name}" for name in data)]:
            if (damage := damage_of(self._store, path)) is not None:
                raise CorruptArtifact(
                    f"dataset {self.location}: the file {path} {damage}; restore it, or delete the dataset and import "
                    "its data again"
                ) from error
        raise self._unavailable("read", error) from error

    def _unavailable(self, done: str, error: BaseException) -> Unavailable:
        """Build the error for a store that cannot be reached or is full: an OSError or one of Delta Lake's own."""
        return unwritable(f"dataset {self.location}: cannot be {done}", error)

    def _append(self, rows: pl.DataFrame, transactions: Mapping[str, int]) -> int:
        properties = CommitProperties(app_transactions=[Transaction(*mark) for mark in transactions.items()] or None)
        attempts = 0

        def write() -> int:
            nonlocal attempts
            attempts += 1
            # A commit whose response got lost looks like a conflict with itself.
            if transactions and attempts > 1 and self._transactions(transactions) == transactions:
                return self.version()
            write_deltalake(
                self._uri, rows, mode="append", schema_mode="merge",
                storage_options=self._options, commit_properties=properties,
            )  # fmt: skip
            return self.version()

        return self._retried(write)

    def _stream(
        self,
        rows: pl.DataFrame,
        write: Callable[[DeltaTable, CommitProperties], None],
        position: Position,
        after: Position,
    ) -> int:
        """Commit to the version that was looked at: Delta Lake refuses it behind one with the same transactions."""
        marks = {columns.EVENTS_APP_ID: position.offset, columns.EVENTS_EPOCH_APP_ID: position.epoch}
        transactions = [Transaction(*mark) for mark in marks.items()]
        attempts = 0

        def attempt() -> int:
            nonlocal attempts
            attempts += 1
            table = self._open() if self.exists() else None
            present = START if table is None else _position(table)
            # A commit whose response got lost looks like a conflict with itself.
            if table is not None and attempts > 1 and present == position:
                return table.version()
            if present != after:
                raise TableChanged
            if table is not None:
                write(table, CommitProperties(app_transactions=transactions))
            else:
                # Without retries: they would append to a table that another one has made.
                write_deltalake(
                    self._uri, rows, mode="error", storage_options=self._options,
                    commit_properties=CommitProperties(app_transactions=transactions, max_commit_retries=0),
                )  # fmt: skip
            return self.version()

        return self._retried(attempt)

    def _transactions(self, app_ids: Collection[str]) -> dict[str, int | None]:
        table = self._open()
        return {app_id: table.transaction_version(app_id) for app_id in app_ids}

    def _retried(self, write: Callable[[], T]) -> T:
        attempts = 0
        while True:
            attempts += 1
            try:
                with synced_commits(self._store, self.location):
                    return write()
            except (DeltaError, OSError) as error:
                # Another commit came first: read the new state and try again.
                is_conflict = isinstance(error, CommitFailedError) or _ALREADY_THERE in str(error)
                if not is_conflict or attempts == _ATTEMPTS:
                    raise self._unavailable("written", error) from error


def _position(table: DeltaTable) -> Position:
    offset = table.transaction_version(columns.EVENTS_APP_ID)
    epoch = table.transaction_version(columns.EVENTS_EPOCH_APP_ID)
    return START if offset is None else Position(epoch or LEGACY_EPOCH, offset)
