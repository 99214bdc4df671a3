"""Opens snapshots of features: one worker of the host fetches at a time, and all of them share the copy."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from common.deletions import DeletedUsers, read_deletion
from common.errors import ResourceNotFound, Unavailable
from common.features import FeatureSnapshot
from common.host_copies import HostCopies
from common.logs import get_logger
from common.storage import Store
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

__all__ = ["SnapshotOpener"]

_log = get_logger(__name__)


class SnapshotOpener:
    """Methods are called from any thread.

    Args:
        store: The shared store.
        cache: Local folder for copies from a store that is not local.
    """

    def __init__(self, store: Store, *, cache: Path) -> None:
        self._store = store
        self._copies = HostCopies(store, cache)

    def open(self, location: str) -> FeatureSnapshot:
        """Fetch a snapshot, verify every byte once for all workers of the host, and map it.

        Raises:
            ResourceNotFound: It is gone: there is a newer one.
            CorruptArtifact: Its files differ from the manifest or do not belong together.
            Unavailable: The store or the disk cannot be read.
        """
        try:
            published = self._copies.open(location, FeatureManifest)
        except OSError as error:
            raise Unavailable(f"features {location}: {error}") from error
        return FeatureSnapshot.load(published.folder, published.manifest)

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
        gone = self._copies.forget_others(locations)
        if gone:
            _log.info("copies_removed", features=gone)
