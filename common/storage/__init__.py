"""The shared artifact store: the interface; `objects` implements it over a local folder, S3 and what speaks S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

__all__ = ["Store", "StoredObject", "store_folder"]


def store_folder(url: str) -> Path | None:
    """Return the folder that the URL of a store names, absolute and with links followed; None for one of a service."""
    if "://" in url and not url.startswith("file://"):
        return None
    return Path(url.removeprefix("file://")).resolve()


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An entry of a listing.

    Attributes:
        path: Relative to the store's root.
        bytes: Size.
        modified: When it was written, UTC.
    """

    path: str
    bytes: int
    modified: datetime


class Store(Protocol):
    """Objects by path; paths are relative, with slashes.

    Every method raises Unavailable when the store cannot be reached, PermissionDenied when it rejects the credentials,
    and InvalidInput for a path that no store can have.
    """

    @property
    def root(self) -> Path | None:
        """The folder of a local store, else None."""

    @property
    def table_uri(self) -> str:
        """The root as Delta Lake expects it, e.g. `s3://bucket/prefix`."""

    @property
    def table_options(self) -> Mapping[str, str]:
        """Credentials and endpoint as Delta Lake expects them."""

    def put(self, path: str, content: bytes | Path, *, if_absent: bool = False) -> None:
        """Write an object atomically: readers see all of it or nothing.

        Args:
            path: The object's path.
            content: Bytes, or a file to upload.
            if_absent: Write only if there is no object at the path.

        Raises:
            ResourceAlreadyExists: `if_absent`, and there is one.
        """

    def get(self, path: str) -> bytes:
        """Return an object.

        Raises:
            ResourceNotFound: There is none at the path.
        """

    def download(self, path: str, target: Path) -> None:
        """Copy an object into a local file, in bounded memory.

        Raises:
            ResourceNotFound: There is none at the path.
            Unavailable: The store cannot be reached, or the object was replaced meanwhile.
            OSError: The file cannot be written.
        """

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a folder, in no order."""

    def files(self, prefix: str) -> Sequence[StoredObject]:
        """Return the objects of a folder, not of the folders in it, by path.

        Args:
            prefix: The folder; empty for the root.

        Raises:
            ResourceNotFound: The store responds and has no such bucket.
        """

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects that exist."""

    def delete_folder(self, prefix: str) -> int:
        """Delete all objects below a folder and return how many there were."""

    def local_folder(self, prefix: str) -> Path | None:
        """Return the folder itself when the store is local, so that it can be mapped into memory; else None."""
