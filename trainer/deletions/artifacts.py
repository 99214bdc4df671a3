"""Finds the artifacts that still have deleted users: their ids, and what models learnt of them, stand in files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.artifacts import MANIFEST, read_manifest
from common.deletions import DeletedUsers
from common.errors import CorruptArtifact, ResourceNotFound
from common.logs import get_logger
from common.storage import Store
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from protos.tailorbird.storage.v1.deletion_pb2 import ArtifactWithUsers

__all__ = ["artifacts_of_group", "artifacts_with_users"]

_log = get_logger(__name__)
#: Parts of the vocabulary of users, as `common.vocabulary` writes it.
_TEXT, _OFFSETS = "users.bytes.npy", "users.offsets.npy"
_BATCH: Final = 100_000


def artifacts_of_group(store: Store, table_location: str) -> Iterator[tuple[str, ArtifactManifest]]:
    """Yield location and manifest of each artifact that was trained on the datasets of a group.

    Args:
        store: The shared store.
        table_location: Folder of one of the group's tables: `datasets/ACCOUNT/GROUP/...`.
    """
    group = PurePosixPath(table_location).parent
    account = PurePosixPath("artifacts", *group.parts[1:-1])
    for item in store.list(str(account)):
        path = PurePosixPath(item.path)
        if path.name != MANIFEST:
            continue
        try:
            manifest = read_manifest(store, str(path.parent))
        except ResourceNotFound:
            continue  # deleted since it was listed
        except CorruptArtifact as error:
            # Nobody can serve it; whose it is cannot be told.
            _log.warning("artifact_unreadable", location=str(path.parent), message=error.message)
            continue
        if any(PurePosixPath(table.location).parent == group for table in manifest.snapshot.tables):
            yield str(path.parent), manifest


def artifacts_with_users(
    store: Store, table_location: str, deleted: DeletedUsers, *, folder: Path
) -> Iterator[ArtifactWithUsers]:
    """Yield the artifacts of a group that have deleted users.

    Args:
        store: The shared store.
        table_location: Folder of one of the group's tables.
        deleted: The users.
        folder: Existing, for copies of files.

    Raises:
        Unavailable: The store cannot be reached.
    """
    for location, manifest in artifacts_of_group(store, table_location):
        try:
            count = _count(store, location, manifest, deleted, folder=folder)
        except ResourceNotFound:
            continue  # deleted since it was listed
        if count:
            yield ArtifactWithUsers(solution_version_arn=manifest.solution_version_arn, location=location, users=count)


def _count(store: Store, location: str, manifest: ArtifactManifest, deleted: DeletedUsers, *, folder: Path) -> int:
    if not {_TEXT, _OFFSETS} <= {file.path for file in manifest.files}:
        return 0  # of a recipe that knows no users
    text, offsets = (
        _array(store, f"{location}/{manifest.files_folder}/{name}", folder / name) for name in (_TEXT, _OFFSETS)
    )
    count = 0
    for begin in range(0, len(offsets) - 1, _BATCH):
        bounds = offsets[begin : begin + _BATCH + 1]
        batch = text[bounds[0] : bounds[-1]].tobytes()
        places = (bounds - bounds[0]).tolist()
        ids = [batch[start:end].decode() for start, end in pairwise(places)]
        count += int(deleted.users.holds_ids(ids).sum())
    return count


def _array(store: Store, path: str, copy: Path) -> NDArray[Any]:
    local = store.local_folder(path)
    if local is None:
        copy.unlink(missing_ok=True)
        store.download(path, copy)
    elif not local.is_file():
        raise ResourceNotFound(f"`path`: got {path}, want an object that exists")
    array: NDArray[Any] = np.load(local or copy, mmap_mode="r", allow_pickle=False)
    return array
