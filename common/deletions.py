"""The ledger of deletions: whose data were deleted from a dataset group, up to where, and for whom that holds.

Each deletion has a folder beside the group's datasets. Its entry is written first, and synced; from then on everybody
who writes or publishes data of the group obeys it. What a user does afterwards is new.

No ids are kept, since the ledger outlives the users' data by its purpose: it holds digests under a random key, one for
each deletion. So nobody recognises a user by a digest that is found elsewhere, or the same user in two deletions. Who
has the entry can still ask whether a given id is in it, which is what it is for, and could try all ids that are likely.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from numpy.typing import NDArray

from common.errors import CorruptArtifact, ResourceAlreadyExists, ResourceNotFound, TailorbirdError, Unavailable
from common.storage import Store
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry, DeletionReport

__all__ = [
    "DeletedUsers",
    "DeletionWatch",
    "DigestSet",
    "deletions_folder",
    "finished_deletions",
    "id_digest",
    "list_deletions",
    "read_deletion",
    "read_report",
    "write_deletion",
    "write_report",
]

_FOLDER: Final = "deletions"
_ENTRY: Final = "entry.json"
_REPORT: Final = "report.json"
_DIGEST_BYTES: Final = 16
#: Compared as bytes; all have the full length, so that zeros at the end count.
Parsed = TypeVar("Parsed", bound=Message)
_DIGEST: Final = np.dtype(f"S{_DIGEST_BYTES}")


def id_digest(identifier: str) -> bytes:
    """Return the 16 bytes by which runtimes store what belongs to a user or a session."""
    return hashlib.blake2b(identifier.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


class DigestSet:
    """A set of ids, as sorted digests under a key: 16 bytes for each id.

    Args:
        key: The key.
        digests: S16 [n], the keyed digests of the ids' digests, ascending.
    """

    def __init__(self, key: bytes, digests: NDArray[Any]) -> None:
        self.key = key
        self.digests = digests

    def __len__(self) -> int:
        return len(self.digests)

    @classmethod
    def of(cls, key: bytes, id_digests: Iterable[bytes]) -> DigestSet:
        """Build the set of ids from their digests, see `id_digest`; they may repeat."""
        return cls(key, np.unique(_array(_keyed(key, digest) for digest in id_digests)))

    def holds(self, id_digests: Iterable[bytes]) -> NDArray[np.bool_]:
        """Return for each digest of an id whether the id is in the set: bool [n]."""
        digests = _array(_keyed(self.key, digest) for digest in id_digests)
        if not len(self.digests):
            return np.zeros(len(digests), np.bool_)
        places = np.minimum(self.digests.searchsorted(digests), len(self.digests) - 1)
        held: NDArray[np.bool_] = self.digests[places] == digests
        return held

    def holds_ids(self, ids: Sequence[str | None]) -> NDArray[np.bool_]:
        """Return for each id whether it is in the set, false for None: bool [n]."""
        return self.holds(id_digest(identifier or "") for identifier in ids) & np.array(
            [identifier is not None for identifier in ids], np.bool_
        )


@dataclass(frozen=True, slots=True)
class DeletedUsers:
    """An entry of the ledger.

    Attributes:
        location: Folder of the deletion, relative to the store's root.
        entry: Its entry.
        users: The users.
        sessions: The sessions of those users: their events may lack the user.
    """

    location: str
    entry: DeletionEntry
    users: DigestSet
    sessions: DigestSet


def deletions_folder(table_location: str) -> str:
    """Return the folder of all deletions of the group that a table belongs to."""
    return str(PurePosixPath(table_location).parent / _FOLDER)


def write_deletion(
    store: Store, location: str, entry: DeletionEntry, *, users: DigestSet, sessions: DigestSet
) -> DeletedUsers:
    """Write an entry, unless there is one; return the one that is in force.

    Args:
        store: The shared store.
        location: Folder of the deletion.
        entry: All but the key and what the sets say.
        users: The users.
        sessions: Their sessions, under the same key.

    Raises:
        Unavailable: The store cannot be reached.
    """
    complete = DeletionEntry()
    complete.CopyFrom(entry)
    complete.key = users.key
    # Files of this attempt: one that is late must not change what the entry of another refers to.
    attempt = secrets.token_hex(8)
    complete.users_file, complete.users = f"users-{attempt}.bin", len(users)
    complete.sessions_file, complete.sessions = f"sessions-{attempt}.bin", len(sessions)
    for name, digest_set in ((complete.users_file, users), (complete.sessions_file, sessions)):
        _put(store, f"{location}/{name}", digest_set.digests.tobytes())
    text = json_format.MessageToJson(complete, preserving_proto_field_name=True)
    with suppress(ResourceAlreadyExists):  # an attempt that was thought dead was faster
        _put(store, f"{location}/{_ENTRY}", text.encode(), if_absent=True)
    return read_deletion(store, location)


def read_deletion(store: Store, location: str) -> DeletedUsers:
    """Return an entry of the ledger.

    Raises:
        ResourceNotFound: There is none.
        CorruptArtifact: It is damaged.
        Unavailable: The store cannot be reached.
    """
    entry = _parsed(location, store.get(f"{location}/{_ENTRY}"), DeletionEntry())
    users, sessions = (
        DigestSet(entry.key, _digests(store, f"{location}/{name}", count))
        for name, count in ((entry.users_file, entry.users), (entry.sessions_file, entry.sessions))
    )
    return DeletedUsers(location, entry, users, sessions)


def list_deletions(store: Store, folder: str, *, since: datetime | None = None) -> list[str]:
    """Return the folders of the deletions that are in force, by name.

    Args:
        store: The shared store.
        folder: See `deletions_folder`.
        since: Only those that did not begin before.

    Raises:
        CorruptArtifact: An entry is damaged.
        Unavailable: The store cannot be reached.
    """
    locations = [
        item.path.removesuffix(f"/{_ENTRY}") for item in store.list(folder) if item.path.endswith(f"/{_ENTRY}")
    ]
    if since is not None:
        locations = [location for location in locations if _began_at(store, location) >= since]
    return sorted(locations)


def finished_deletions(store: Store, folder: str) -> list[str]:
    """Return the names of the deletions that have ended.

    Args:
        store: The shared store.
        folder: See `deletions_folder`.

    Raises:
        Unavailable: The store cannot be reached.
    """
    paths = (PurePosixPath(item.path) for item in store.list(folder))
    return sorted(path.parent.name for path in paths if path.name == _REPORT)


def write_report(store: Store, location: str, report: DeletionReport) -> None:
    """Write the report of a deletion beside its entry."""
    text = json_format.MessageToJson(report, preserving_proto_field_name=True)
    store.put(f"{location}/{_REPORT}", text.encode())


def read_report(store: Store, location: str) -> DeletionReport:
    """Return the report of a deletion.

    Raises:
        ResourceNotFound: It is not finished.
        CorruptArtifact: It is damaged.
        Unavailable: The store cannot be reached.
    """
    return _parsed(location, store.get(f"{location}/{_REPORT}"), DeletionReport())


class DeletionWatch:
    """Notices deletions that come into force while a job reads data of a group and has not published yet.

    Args:
        store: The shared store.
        table_locations: The tables that are read.
    """

    def __init__(self, store: Store, table_locations: Iterable[str]) -> None:
        self._store = store
        self._folders = sorted({deletions_folder(location) for location in table_locations})
        self._deletions = self._in_force()

    @property
    def names(self) -> list[str]:
        """Names of the deletions that were in force when this watch began; unique within a group."""
        return [PurePosixPath(location).name for location in self._deletions]

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Watch while the block reads: a deletion takes away the versions of tables that are being read.

        Raises:
            Unavailable: A deletion came into force, and the block failed or was about to publish what it read.
        """
        try:
            yield
        except TailorbirdError:
            self.check()
            raise
        self.check()

    def check(self) -> None:
        """Return if no deletion came into force since this watch began.

        Raises:
            Unavailable: One did: what was read must not be published, and is to be read again.
        """
        if self._in_force() != self._deletions:
            raise Unavailable("users of the dataset group were deleted meanwhile; the job reads its data again")

    def _in_force(self) -> list[str]:
        return [location for folder in self._folders for location in list_deletions(self._store, folder)]


def _began_at(store: Store, location: str) -> datetime:
    entry = _parsed(location, store.get(f"{location}/{_ENTRY}"), DeletionEntry())
    return entry.began_at.ToDatetime(tzinfo=UTC)


def _parsed(location: str, text: bytes, message: Parsed) -> Parsed:
    try:
        json_format.Parse(text, message)
        return message
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptArtifact(f"deletion {location}: cannot be read: {error}") from error


def _digests(store: Store, path: str, count: int) -> NDArray[Any]:
    try:
        content = store.get(path)
    except ResourceNotFound as error:
        raise CorruptArtifact(f"deletion: {path} is missing, want {count} digests") from error
    if len(content) != count * _DIGEST_BYTES:
        raise CorruptArtifact(f"deletion: {path}: got {len(content)} bytes, want {count} digests of {_DIGEST_BYTES}")
    return np.frombuffer(content, _DIGEST)


def _keyed(key: bytes, digest: bytes) -> bytes:
    return hashlib.blake2b(digest, key=key, digest_size=_DIGEST_BYTES).digest()


def _array(digests: Iterable[bytes]) -> NDArray[Any]:
    # Joined at once, so that no array of Python objects is needed.
    return np.frombuffer(b"".join(digests), _DIGEST)


def _put(store: Store, path: str, content: bytes, *, if_absent: bool = False) -> None:
    """Write an object that survives a power cut: services do so by themselves, a local folder does not."""
    store.put(path, content, if_absent=if_absent)
    local = store.local_folder(path)
    for synced in () if local is None else (local, local.parent, local.parent.parent):
        descriptor = os.open(synced, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
