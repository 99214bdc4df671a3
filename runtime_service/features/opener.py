"""Opens snapshots of features: one worker of the host fetches at a time, and all of them share the copy."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from common.artifacts import remove_copies
from common.deletions import DeletedUsers, read_deletion
from common.errors import ResourceNotFound, Unavailable
from common.features import FeatureSnapshot, open_snapshot
from common.logs import get_logger
from common.private_files import private_folder
from common.process.file_lock import hold_lock
from common.storage import Store

__all__ = ["SnapshotOpener"]

#: How long a worker waits at most while another one of the host fetches the same snapshot.
_FETCH_SECONDS: Final = 600.0
_log = get_logger(__name__)


class SnapshotOpener:
    """Methods are called from any thread.

    Args:
        store: The shared store.
        cache: Local folder for copies from a store that is not local.
    """

    def __init__(self, store: Store, *, cache: Path) -> None:
        self._store = store
        self._cache = cache

    def open(self, location: str) -> FeatureSnapshot:
        """Fetch a snapshot, verify every byte and map it.

        Raises:
            ResourceNotFound: It is gone: there is a newer one.
            CorruptArtifact: Its files differ from the manifest or do not belong together.
            Unavailable: The store or the disk cannot be read.
        """
        try:
            if self._store.local_folder(location) is not None:
                return open_snapshot(self._store, location, cache=self._cache)
            private_folder(self._cache)
            name = hashlib.sha256(location.encode()).hexdigest()[:32]
            with hold_lock(self._cache / f".{name}.lock", seconds=_FETCH_SECONDS):
                return open_snapshot(self._store, location, cache=self._cache)
        except OSError as error:
            raise Unavailable(f"features {location}: {error}") from error

    def read_deletion(self, location: str) -> DeletedUsers | None:
        """Return a deletion of users; None when their dataset group is deleted, ledger and all.

        Raises:
            Unavailable: The store cannot be reached.
        """
        try:
            return read_deletion(self._store, location)
        except ResourceNotFound:
            return None

    def forget_others(self, locations: Collection[str]) -> None:
        """Remove the local copies of all snapshots but these."""
        gone = remove_copies(self._cache, keep=locations)
        if gone:
            _log.info("copies_removed", features=gone)
