"""Opens snapshots of features."""

from __future__ import annotations

from pathlib import Path

from common.artifacts import open_published
from common.features.snapshot import FeatureSnapshot
from common.storage import Store
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

__all__ = ["open_snapshot"]


def open_snapshot(store: Store, location: str, *, cache: Path) -> FeatureSnapshot:
    """Copy a snapshot to this machine's disk (a local store is used in place), verify every byte, and map it.

    Args:
        store: The shared store.
        location: Of the snapshot, see `publishing.features_location`.
        cache: Local folder for copies from a store that is not local.

    Raises:
        ResourceNotFound: Nothing is published there, or it has been removed: there is a newer one.
        CorruptArtifact: Its files differ from the manifest or do not belong together.
        Unavailable: The store cannot be reached.
    """
    published = open_published(store, location, cache=cache, kind=FeatureManifest)
    return FeatureSnapshot.load(published.folder, published.manifest)
