"""Finds the artifacts that have users: their ids, and what models learnt of them, stand in files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import compress, pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Final

from numpy.typing import NDArray

from common.arrays import map_array
from common.artifacts import MANIFEST, read_manifest
from common.deletions import DeletedUsers, DigestSet
from common.errors import CorruptArtifact, ResourceNotFound
from common.logs import get_logger
from common.storage import Store
from inference.past_events import PAST_ACTIONS, PAST_ITEMS
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from protos.tailorbird.storage.v1.deletion_pb2 import ArtifactWithUsers

__all__ = ["StoredModel", "artifacts_with_users", "feature_snapshots", "models_of_group"]

_log = get_logger(__name__)
#: The vocabulary of users, and its parts, as `common.vocabulary` writes it.
_USERS, _TEXT, _OFFSETS = "users", "bytes", "offsets"
#: Vocabularies of users whom a model does not know, and of whom filters do.
_OTHER_USERS: Final = (f"{PAST_ITEMS}_{_USERS}", f"{PAST_ACTIONS}_{_USERS}")
_VOCABULARIES: Final = frozenset(f"{name}.{_TEXT}.npy" for name in (_USERS, *_OTHER_USERS))
#: The ids of a snapshot of features.
_IDS: Final = "ids"
_BATCH: Final = 100_000


@dataclass(frozen=True, slots=True)
class StoredModel:
    """Files of a model, or of a snapshot of users' features, in the store.

    Attributes:
        location: Folder of the artifact; of the files of a training that has not published them.
        manifest: The artifact's; None where there is none.
        files: Folder of the files.
        paths: The files, relative to their folder.
        vocabulary: What the names of the files with the users' ids begin with.
    """

    location: str
    manifest: ArtifactManifest | None
    files: str
    paths: frozenset[str]
    vocabulary: str = _USERS

    def count(self, store: Store, users: DigestSet, *, folder: Path) -> int:
        """Return how many of some users are in the files: of the model, or beside it for filters.

        Args:
            store: The shared store.
            users: The users.
            folder: Existing, for copies of files.

        Raises:
            ResourceNotFound: It was deleted.
            CorruptArtifact: Its vocabulary of users is damaged.
            Unavailable: The store cannot be reached.
        """
        contained = set[str]()
        try:
            for vocabulary in (self.vocabulary, *_OTHER_USERS):
                names = [f"{vocabulary}.{part}.npy" for part in (_TEXT, _OFFSETS)]
                if self.paths.intersection(names):  # a recipe may know no users
                    text, offsets = (_array(store, f"{self.files}/{name}", folder / name) for name in names)
                    for ids in _batches(text, offsets):
                        contained.update(compress(ids, users.holds_ids(ids)))
            return len(contained)
        except ValueError as error:
            raise CorruptArtifact(f"artifact {self.location}: its users cannot be read: {error}") from error


def models_of_group(store: Store, group_location: str) -> Iterator[StoredModel]:
    """Yield the models that were trained on the datasets of a group, and vocabularies of users that are in no artifact.

    The latter are of trainings that were killed: their group stands nowhere.

    Args:
        store: The shared store.
        group_location: Folder of the group's tables: `datasets/ACCOUNT/GROUP`.
    """
    group = PurePosixPath(group_location)
    account = PurePosixPath("artifacts", *group.parts[1:-1])
    claimed, vocabularies = set[str](), defaultdict[str, set[str]](set)
    for item in store.list(str(account)):
        path = PurePosixPath(item.path)
        if path.name in _VOCABULARIES:
            vocabularies[str(path.parent)].add(path.name)
        if path.name != MANIFEST:
            continue
        location = str(path.parent)
        try:
            manifest = read_manifest(store, location)
        except ResourceNotFound:
            continue  # deleted since it was listed
        except CorruptArtifact as error:
            # Nobody can serve it; whose it is cannot be told, so that its files are in no artifact.
            _log.warning("artifact_unreadable", location=location, message=error.message)
            continue
        files = f"{location}/{manifest.files_folder}"
        claimed.add(files)
        if any(PurePosixPath(table.location).parent == group for table in manifest.snapshot.tables):
            yield StoredModel(location, manifest, files, frozenset(file.path for file in manifest.files))
    for files in sorted(vocabularies.keys() - claimed):
        yield StoredModel(files, None, files, frozenset(vocabularies[files]))


def feature_snapshots(paths: Iterable[str]) -> Iterator[StoredModel]:
    """Yield the snapshots of features, published or not, that some objects belong to."""
    name = f"{_IDS}.{_TEXT}.npy"
    for path in map(PurePosixPath, paths):
        if path.name == name:
            location = str(path.parent)
            yield StoredModel(location, None, location, frozenset({name}), vocabulary=_IDS)


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
        CorruptArtifact: The vocabulary of an artifact is damaged.
        Unavailable: The store cannot be reached.
    """
    for model in models_of_group(store, str(PurePosixPath(table_location).parent)):
        if model.manifest is None:
            continue  # storage maintenance removes it
        try:
            count = model.count(store, deleted.users, folder=folder)
        except ResourceNotFound:
            continue  # deleted since it was listed
        if count:
            arn = model.manifest.solution_version_arn
            yield ArtifactWithUsers(solution_version_arn=arn, location=model.location, users=count)


def _batches(text: NDArray[Any], offsets: NDArray[Any]) -> Iterator[list[str]]:
    """Yield the ids of a vocabulary."""
    for begin in range(0, len(offsets) - 1, _BATCH):
        bounds = offsets[begin : begin + _BATCH + 1]
        batch = text[bounds[0] : bounds[-1]].tobytes()
        places = (bounds - bounds[0]).tolist()
        yield [batch[start:end].decode() for start, end in pairwise(places)]


def _array(store: Store, path: str, copy: Path) -> NDArray[Any]:
    local = store.local_folder(path)
    if local is None:
        copy.unlink(missing_ok=True)
        store.download(path, copy)
    elif not local.is_file():
        raise ResourceNotFound(f"`path`: got {path}, want an object that exists")
    return map_array(local or copy)
