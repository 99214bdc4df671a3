"""Looks for a user in everything that the store has of a table: present rows, older files, and the table's log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import polars as pl

from common import columns
from common.deletions import DeletedUsers, DigestSet, id_digest
from common.errors import TailorbirdError
from common.storage import Store
from common.table_deletions import ErasableTable
from protos.tailorbird.control.v1 import user_search_service_pb2 as api
from trainer.deletions.tables import reports_folder

__all__ = ["search_table"]

_LOG: Final = "_delta_log/"
_DATA: Final = ".parquet"
#: Longer texts are cut off in the statistics of files.
_CUT: Final = 64


def search_table(
    store: Store,
    location: str,
    name: str,
    user: DigestSet,
    deletions: Sequence[DeletedUsers],
    *,
    paths: Sequence[str],
    folder: Path,
) -> Iterator[api.UserFinding]:
    """Yield what was found of a user in a table's folder.

    Args:
        store: The shared store.
        location: Folder of the table.
        name: Type of the dataset.
        user: The user, as a set of one.
        deletions: Those that reach the user: events of their sessions that name nobody count, too.
        paths: The objects of the folder, listed before this call: what a compaction writes meanwhile is in one of them.
        folder: Existing, for copies of files.
    """
    table = ErasableTable(store, location)
    try:
        present = {unquote(file.name) for file in table.snapshot().files}
    except TailorbirdError as error:
        yield api.UserFinding(place=api.USER_PLACE_DATASET, name=name, location=location, reason=error.message)
        return
    names = [path.removeprefix(f"{location}/") for path in paths]
    older = [item for item in names if item.endswith(_DATA) and not item.startswith(_LOG) and item not in present]
    log = [item for item in names if item.startswith(_LOG)]
    reports = f"{reports_folder(location).removeprefix(f'{location}/')}/"
    quoting = [item for item in names if item.startswith(reports)]
    recognised = {*present, *older, *log, *quoting}

    def finding(place: api.UserPlace.ValueType, rows: int | None, reason: str = "") -> api.UserFinding:
        return api.UserFinding(place=place, name=name, location=location, rows=rows, reason=reason or None)

    def counted(place: api.UserPlace.ValueType, count: Any) -> api.UserFinding:
        try:
            return finding(place, count())
        except (TailorbirdError, OSError, pl.exceptions.PolarsError) as error:
            return finding(place, None, f"{error}; ask again")

    yield counted(api.USER_PLACE_DATASET, lambda: _present_rows(table, user, deletions))
    yield counted(
        api.USER_PLACE_DATASET_HISTORY,
        lambda: (
            sum(_rows_of_file(table, item, user, folder) for item in older)
            + sum(_named_in_log(table, item, user, present, folder) for item in log)
        ),
    )
    quoted = f"{len(quoting)} reports of failed imports quote rows; delete users once more, or read them" * bool(
        quoting
    )
    yield finding(api.USER_PLACE_IMPORT_REPORTS, None if quoting else 0, quoted)
    if others := sorted(set(names) - recognised):
        yield finding(
            api.USER_PLACE_OTHER_FILES, None, f"{len(others)} files of unknown content, {others[0]} among them"
        )


def _present_rows(table: ErasableTable, user: DigestSet, deletions: Sequence[DeletedUsers]) -> int:
    """Count rows of the user, and those without a user of sessions of the user."""
    if not table.exists():
        return 0
    version, count, sessions = table.version(), 0, set[str]()
    names = [columns.USER_ID, columns.SESSION_ID, columns.LOG_OFFSET]
    for batch in table.batches(names, version=version):
        theirs = batch.filter(pl.Series(user.holds_ids(batch[columns.USER_ID].to_list()), dtype=pl.Boolean))
        count += len(theirs)
        if columns.SESSION_ID in theirs.columns:
            sessions.update(theirs[columns.SESSION_ID].drop_nulls())
    for batch in table.batches(names, version=version):
        if columns.SESSION_ID in batch.columns:
            count += _of_sessions(batch, sessions, deletions)
    return count


def _of_sessions(batch: pl.DataFrame, sessions: set[str], deletions: Sequence[DeletedUsers]) -> int:
    """Count rows that name no user: of sessions of the user, or of those that a deletion reaches."""
    anonymous = batch.filter(pl.col(columns.USER_ID).is_null() & pl.col(columns.SESSION_ID).is_not_null())
    ids = anonymous[columns.SESSION_ID].to_list()
    offsets = anonymous[columns.LOG_OFFSET].fill_null(0).to_numpy()
    held = pl.Series([session in sessions for session in ids], dtype=pl.Boolean).to_numpy()
    for deleted in deletions:
        held = held | (deleted.sessions.holds(map(id_digest, ids)) & (offsets <= deleted.entry.up_to_offset))
    return int(held.sum())


def _rows_of_file(table: ErasableTable, name: str, user: DigestSet, folder: Path) -> int:
    """Count the user's rows of a file that the present version does not have."""
    path = table.local_file(name, folder)
    try:
        rows = pl.scan_parquet(path, glob=False)
        if columns.USER_ID not in rows.collect_schema():
            return 0
        return int(user.holds_ids(rows.select(columns.USER_ID).collect()[columns.USER_ID].to_list()).sum())
    finally:
        _remove_copy(path, folder)


def _named_in_log(table: ErasableTable, name: str, user: DigestSet, present: set[str], folder: Path) -> int:
    """Count the statistics of files that the present version does not have, and that name the user.

    The least and the greatest id of each file stand there.
    """
    path = table.local_file(name, folder)
    try:
        count = 0
        for added in _additions(path):
            if unquote(added["path"]) in present:
                continue
            statistics = json.loads(added.get("stats") or "{}")
            ids = [(statistics.get(bound) or {}).get(columns.USER_ID) for bound in ("minValues", "maxValues")]
            if any(isinstance(item, str) and len(item.encode()) >= _CUT for item in ids):
                raise OSError(f"{name} has an id of {_CUT} bytes or more, which may be cut off")
            count += bool(user.holds_ids(ids).any())
        return count
    finally:
        _remove_copy(path, folder)


def _additions(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the actions of a file of the log that add a file."""
    if path.suffix == ".json":
        for line in path.read_text().splitlines():
            if added := json.loads(line).get("add"):
                yield added
    elif path.suffix == _DATA:
        yield from (added for added in pl.read_parquet(path, glob=False, columns=["add"])["add"].to_list() if added)


def _remove_copy(path: Path, folder: Path) -> None:
    if path.parent == folder:
        path.unlink(missing_ok=True)
