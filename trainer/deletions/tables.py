"""Deletes users from a table of a dataset, and from every version of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

import polars as pl

from common import columns
from common.deletions import DeletedUsers, DigestSet, deletions_folder, id_digest, list_deletions, read_deletion
from common.feature_folders import features_folder
from common.storage import Store
from common.table_deletions import ErasableTable
from protos.tailorbird.internal.v1 import jobs_pb2

__all__ = ["delete_users", "obey_deletions", "reports_folder", "sessions_of"]


def reports_folder(table_location: str) -> str:
    """Return the folder of the reports of imports that failed, which quote rows.

    Delta Lake passes over names that begin with an underscore, and who deletes the dataset deletes its reports.
    """
    return f"{table_location}/_import_reports"


def sessions_of(table: ErasableTable, users: DigestSet, *, up_to: int) -> Iterator[bytes]:
    """Yield the digests of the sessions in which users are named, up to an offset of the log; they may repeat."""
    if not table.exists():
        return
    names = [columns.USER_ID, columns.SESSION_ID, columns.LOG_OFFSET]
    for batch in table.batches(names, version=table.version()):
        if columns.SESSION_ID not in batch.columns:
            continue
        named = batch.filter(
            pl.col(columns.SESSION_ID).is_not_null() & (pl.col(columns.LOG_OFFSET).fill_null(0) <= up_to)
        )
        theirs = users.holds_ids(named[columns.USER_ID].to_list())
        yield from map(id_digest, named[columns.SESSION_ID].filter(pl.Series(theirs)).unique())


def delete_users(store: Store, table: ErasableTable, deleted: DeletedUsers, *, number: str = "") -> int:
    """Delete users from a table, and erase its history and snapshots; return how many rows were deleted.

    Args:
        store: The shared store.
        table: The table.
        deleted: The users, and the offset of the log up to which they are gone.
        number: Tells deletions of the same users from one table apart.

    Raises:
        CorruptArtifact: A file of the table is damaged or missing.
        Unavailable: The store cannot be reached, or others committed in between again and again.
    """
    up_to, app_id = deleted.entry.up_to_offset, f"{deleted.location}{number}"
    # First the events from before they logged in: without those that name them, nobody knows whose they are.
    sessions = table.matching(columns.SESSION_ID, deleted.sessions.holds_ids)
    rows = table.delete_matching(sessions, up_to=up_to, app_id=f"{app_id}/sessions", only_without=columns.USER_ID)
    users = table.matching(columns.USER_ID, deleted.users.holds_ids)
    rows += table.delete_matching(users, up_to=up_to, app_id=app_id)
    table.erase_history()
    # After the versions that they are of: whoever publishes one later on finds that its version is gone.
    store.delete_folder(features_folder(table.location))
    return rows


def obey_deletions(store: Store, payload: jobs_pb2.DatasetImportPayload) -> int:
    """Delete from an imported table the users of the deletions that began after the import was asked for.

    For a deletion and an import at once: the deletion has looked at the table before the import wrote to it.

    Returns:
        How many rows were deleted.

    Raises:
        Unavailable: The store cannot be reached, or others committed in between again and again.
    """
    since = payload.requested_at.ToDatetime(tzinfo=UTC)
    table = ErasableTable(store, payload.table.location)
    return sum(
        delete_users(store, table, read_deletion(store, location), number=f"/{payload.import_id}")
        for location in list_deletions(store, deletions_folder(payload.table.location), since=since)
    )
