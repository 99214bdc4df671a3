"""Putting a dataset's table in order, a bounded piece at a time: small files are joined, old ones removed.

Files are joined a few at a time, each group in one commit that changes no row. So a table with very many small files is
put in order by as many calls as it takes. A commit in between costs another attempt at committing, not at joining.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction
from polars.exceptions import PolarsError

from common.errors import ResourceNotFound, Unavailable
from common.table_files import StagedFile, join_table_files
from common.table_syncs import synced_commits
from common.tables import Table

__all__ = ["Maintained", "MaintainedTable", "MaintenanceBounds"]

#: Attempts at one commit: each fails only because somebody else's succeeded.
_ATTEMPTS: Final = 50


@dataclass(frozen=True, slots=True)
class MaintenanceBounds:
    """What one call does at most; the next goes on.

    Attributes:
        seconds: After so many no more files are joined; the group that is being joined is finished.
        bytes: Of the files that are joined, over all groups.
        group_bytes: Of the files that are joined into one; those of half the size stay as they are.
        group_rows: Their rows, likewise.
        group_files: How many they are.
        removed_files: Files that are removed.
    """

    seconds: float = 300.0
    bytes: int = 8 << 30
    group_bytes: int = 64 << 20
    group_rows: int = 4_000_000
    group_files: int = 1000
    removed_files: int = 10_000


@dataclass(frozen=True, slots=True)
class Maintained:
    """What a call has done.

    Attributes:
        version: The table's version by now.
        joined_files: Files whose rows others hold now.
        joined_bytes: Their bytes.
        removed_files: Files that were removed because no version of late needs them.
        is_complete: Whether nothing is left for the next call.
    """

    version: int
    joined_files: int
    joined_bytes: int
    removed_files: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class _SmallFile:
    name: str
    bytes: int
    rows: int


class MaintainedTable(Table):
    """A dataset's table that is put in order; as `Table` otherwise."""

    def current_files(self) -> tuple[int, frozenset[str]]:
        """Return the rows of the latest version and the names of its files; the errors of `read`."""
        added = pl.DataFrame(self._open().get_add_actions(flatten=True))
        return int(added["num_records"].sum()), frozenset(added["path"])

    def maintain(
        self,
        folder: Path,
        *,
        bounds: MaintenanceBounds,
        retention_hours: int | None,
        check: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Maintained:
        """Join small files into larger ones, then delete files that no version of late needs.

        Rows, and readers of these versions, are not affected; a table in order gets no new version. Files that another
        commit takes away meanwhile are left to the next call.

        Args:
            folder: Existing, for files of this call.
            bounds: What is done at most.
            retention_hours: How long files stay that no version needs any more, or that were never in one; None for
                ever.
            check: Called between two groups; what it raises ends the call, and what is committed stays.
            monotonic: A clock, seconds.

        Raises:
            ResourceNotFound: Nothing was ever written.
            CorruptArtifact: A file of the table is damaged or missing.
            StorageFull: The disk of a local store is full; nothing was changed by the group that failed.
            Unavailable: The store cannot be reached.
        """
        before = self.version()
        try:
            # With the checkpoint, before files are removed that earlier commits need.
            with synced_commits(self._store, self.location):
                joined, joined_bytes, is_complete = self._join_all(folder, bounds, check=check, monotonic=monotonic)
                table = self._open()
                if table.version() != before:
                    table.create_checkpoint()
            old = [] if retention_hours is None else self._old_files(table, retention_hours, bounds.removed_files + 1)
        except DeltaError as error:
            raise Unavailable(f"dataset {self.location}: cannot be put in order: {error}") from error
        removed = old[: bounds.removed_files]
        try:
            self._store.delete(removed)
        except ResourceNotFound:
            is_complete = False  # somebody else removes them as well
        is_complete = is_complete and len(removed) == len(old)
        return Maintained(table.version(), joined, joined_bytes, len(removed), is_complete)

    def _old_files(self, table: DeltaTable, retention_hours: int, most: int) -> list[str]:
        """Return the paths of files that no version of late needs, so many at most."""
        # Without `full` files stay for ever that were written for a commit which never came.
        names = table.vacuum(retention_hours, dry_run=True, enforce_retention_duration=False, full=True)
        # Files that are gone are named for as long as the log has their removal.
        old = {f"{self.location}/{name}" for name in names}
        paths = (item.path for item in self._store.list(self.location) if item.path in old)
        return list(islice(paths, most)) if old else []

    def _join_all(
        self,
        folder: Path,
        bounds: MaintenanceBounds,
        *,
        check: Callable[[], None],
        monotonic: Callable[[], float],
    ) -> tuple[int, int, bool]:
        """Join groups of files within the bounds; return how many files and bytes, and whether no group is left."""
        until, joined, joined_bytes = monotonic() + bounds.seconds, 0, 0
        small = self._small_files(bounds)
        is_complete = True
        # What is joined may be small itself.
        while groups := list(_groups(small, bounds)):
            small = []
            for group in groups:
                check()
                size = sum(file.bytes for file in group)
                if monotonic() >= until or joined_bytes + size > bounds.bytes:
                    return joined, joined_bytes, False
                joined_bytes += size
                result = self._join(group, folder)
                if result is None:
                    is_complete = False
                    continue
                joined += len(group)
                small += [result] if _is_small(result, bounds) else []
        return joined, joined_bytes, is_complete

    def _small_files(self, bounds: MaintenanceBounds) -> list[_SmallFile]:
        added = pl.DataFrame(self._open().get_add_actions(flatten=True))
        rows = added.select("path", "size_bytes", pl.col("num_records").fill_null(0)).iter_rows()
        return [file for file in (_SmallFile(*row) for row in rows) if _is_small(file, bounds)]

    def _join(self, group: Sequence[_SmallFile], folder: Path) -> _SmallFile | None:
        """Join files into one; return it, or None when another commit has taken one of them away."""
        try:
            with TemporaryDirectory(dir=folder) as name:
                files = [self.local_file(file.name, Path(name)) for file in group]
                schema = pl.Schema(self._open().schema().to_arrow())
                joined = join_table_files(files, Path(name) / "joined.parquet", schema=schema)
                staged = self.stage(joined, f"joined-{secrets.token_hex(16)}.parquet")
        except (PolarsError, OSError, ResourceNotFound) as error:
            table = self._open()
            if not _names(group) <= _current(table):
                return None
            self._raise_cause(error, table)
        if self._replace(staged, group):
            return _SmallFile(staged.name, staged.bytes, joined.rows)
        self._store.delete([f"{self.location}/{staged.name}"])
        return None

    def _replace(self, joined: StagedFile, group: Sequence[_SmallFile]) -> bool:
        """Commit a file in the place of others; return False when one of them is in the table no more.

        Raises:
            Unavailable: The store cannot be reached, or every attempt conflicted with another commit.
        """
        # Delta Lake's own retry does not see that another commit took a file away which this one replaces.
        properties = CommitProperties(max_commit_retries=0)
        now = int(time.time() * 1000)
        actions: list[AddAction | RemoveAction] = [
            AddAction(joined.name, joined.bytes, {}, now, False, joined.local.statistics),
            *(RemoveAction(file.name, False, now) for file in group),
        ]
        schema = Schema.from_arrow(joined.local.schema)
        for attempt in range(1, _ATTEMPTS + 1):
            table = self._open()
            names = _current(table)
            # A commit whose response got lost looks like a conflict with itself.
            if joined.name in names:
                return True
            if not _names(group) <= names:
                return False
            try:
                with synced_commits(self._store, self.location):
                    table.create_write_transaction(actions, "append", schema, commit_properties=properties)
                return True
            except (DeltaError, OSError) as error:
                if not isinstance(error, CommitFailedError) or attempt == _ATTEMPTS:
                    raise self._unavailable("put in order", error) from error
        raise AssertionError("the last attempt returns or raises")


def _current(table: DeltaTable) -> frozenset[str]:
    return frozenset(pl.DataFrame(table.get_add_actions(flatten=True))["path"])


def _names(group: Sequence[_SmallFile]) -> frozenset[str]:
    return frozenset(file.name for file in group)


def _is_small(file: _SmallFile, bounds: MaintenanceBounds) -> bool:
    return file.bytes < bounds.group_bytes / 2 and file.rows < bounds.group_rows / 2


def _groups(small: Sequence[_SmallFile], bounds: MaintenanceBounds) -> Iterator[list[_SmallFile]]:
    """Yield groups of two files or more, the smallest first; all but the last are as large as they may be."""
    group: list[_SmallFile] = []
    size = rows = 0
    for file in sorted(small, key=lambda file: (file.bytes, file.name)):
        size, rows = size + file.bytes, rows + file.rows
        if len(group) == bounds.group_files or size > bounds.group_bytes or rows > bounds.group_rows:
            if len(group) > 1:
                yield group
            group, size, rows = [], file.bytes, file.rows
        group.append(file)
    if len(group) > 1:
        yield group
