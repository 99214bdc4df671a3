"""Which old objects of a dataset group may go: what killed work left, and what is used no more.

Each function yields paths of one kind. Only folders are looked into that the metadata store names, so that a control
plane which has lost its database empties nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath

from common.artifacts import MANIFEST, read_manifest
from common.deletions import deletions_folder, read_deletion
from common.errors import CorruptArtifact, ResourceNotFound
from common.logs import get_logger
from common.storage import Store
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.deletions.tables import reports_folder

__all__ = ["old_reports", "replaced_updates", "unfinished_deletions", "unpublished"]

_log = get_logger(__name__)


def unpublished(store: Store, location: str, *, before: datetime) -> Iterator[str]:
    """Yield what failed attempts left in the folder of an artifact; nothing of the artifact that was published.

    Args:
        store: The shared store.
        location: The folder.
        before: Only objects that were written before.
    """
    published = {MANIFEST}
    try:
        manifest = read_manifest(store, location)
        published |= {manifest.files_folder, manifest.measured_model}
    except ResourceNotFound:
        pass  # nothing was published
    except CorruptArtifact as error:
        _log.warning("artifact_not_maintained", location=location, cause=error.message)
        return
    for item in store.list(location):
        name = PurePosixPath(item.path).relative_to(location).parts[0]
        if name not in published and item.modified < before:
            yield item.path


def replaced_updates(store: Store, updates: jobs_pb2.ArtifactUpdates, *, before: datetime) -> Iterator[str]:
    """Yield the artifacts of updates that a later update has replaced, and what failed updates left.

    The one that is served stays, the newest one, and those whose successor is not old yet: runtimes may be loading it.

    Args:
        store: The shared store.
        updates: Where they are.
        before: Only artifacts that were replaced before, and objects that were written before.
    """
    manifests = {}
    folders = set()
    for item in store.list(updates.location):
        name, *rest = PurePosixPath(item.path).relative_to(updates.location).parts
        folders.add(name)
        if rest == [MANIFEST]:
            manifests[name] = item.modified
    by_age = sorted(manifests, key=lambda name: (manifests[name], name))
    replaced = {older for older, newer in pairwise(by_age) if manifests[newer] < before}
    replaced.discard(PurePosixPath(updates.served_location).name)
    for name in sorted(folders):
        location = f"{updates.location}/{name}"
        if name in replaced:
            # First, so that no folder looks like an artifact while it is removed.
            yield f"{location}/{MANIFEST}"
            yield from (item.path for item in store.list(location) if item.path != f"{location}/{MANIFEST}")
        else:
            yield from unpublished(store, location, before=before)


def old_reports(store: Store, table_location: str, *, before: datetime) -> Iterator[str]:
    """Yield the reports of failed imports into a table that were written before a time."""
    return (item.path for item in store.list(reports_folder(table_location)) if item.modified < before)


def unfinished_deletions(store: Store, group_folder: str, *, before: datetime) -> Iterator[str]:
    """Yield what attempts at data deletions left in the ledger, without the entries and all that these name.

    Args:
        store: The shared store.
        group_folder: Folder of the dataset group's tables.
        before: Only objects that were written before.
    """
    ledger = deletions_folder(f"{group_folder}/-")
    folders = {PurePosixPath(item.path).relative_to(ledger).parts[0] for item in store.list(ledger)}
    for location in sorted(f"{ledger}/{name}" for name in folders):
        kept: set[str] = set()
        try:
            entry = read_deletion(store, location).entry
            kept = {entry.users_file, entry.sessions_file}
        except ResourceNotFound:
            pass  # it is not in force
        except CorruptArtifact as error:
            _log.warning("deletion_not_maintained", location=location, cause=error.message)
            continue
        for item in store.list(location):
            name = PurePosixPath(item.path).name
            if name.endswith(".bin") and name not in kept and item.modified < before:
                yield item.path
