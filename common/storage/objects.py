"""The artifact store over obstore: a local folder, S3, and services that speak S3.

This module adds our errors, atomic publication (put-if-absent), files of a local store that survive a power cut, and
memory-mapping of a local store in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    InvalidPathError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, MemoryStore, S3Store

from common.errors import PermissionDenied, ResourceAlreadyExists, ResourceNotFound, Unavailable, invalid
from common.settings import StoreSettings
from common.storage import StoredObject, store_folder
from common.storage.durable import remove_partial_files, write_durably
from common.storage.failures import unwritable

__all__ = ["ObjectStore", "open_store"]

#: No control characters, and none of the names that local files have while they are not written whole.
_STORABLE: Final = re.compile(r"(?!.*#\d+(/|$))[^\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A `Store` over obstore.

    Attributes:
        objects: The obstore backend.
        root: See `Store`.
        table_uri: See `Store`.
        table_options: See `Store`.
        part_bytes: What one request of a download asks for, hence what of it is in memory: enough that requests cost
            little beside the data, and little enough for one answer to arrive in time.
    """

    objects: LocalStore | MemoryStore | S3Store
    root: Path | None = None
    table_uri: str = ""
    table_options: dict[str, str] = field(default_factory=dict, repr=False)
    part_bytes: int = 16 * 1024 * 1024

    def put(self, path: str, content: bytes | Path, *, if_absent: bool = False) -> None:
        """Write an object atomically; see `Store`."""
        if self.root is not None:
            self._put_durably(self.root, path, content, if_absent=if_absent)
            return
        try:
            with _our_errors("writing", path):
                obstore.put(
                    self.objects, path, content, mode="create" if if_absent else "overwrite",
                    use_multipart=False if if_absent else None,
                )  # fmt: skip
        except AlreadyExistsError as error:
            raise _published(path) from error

    @staticmethod
    def _put_durably(root: Path, path: str, content: bytes | Path, *, if_absent: bool) -> None:
        target = root / _storable(path)
        try:
            write_durably(target, content, if_absent=if_absent)
        except OSError as error:
            if if_absent and target.is_file():
                raise _published(path) from error
            raise unwritable(f"store: writing {path} failed", error) from error

    def get(self, path: str) -> bytes:
        """Return an object; see `Store`."""
        with _our_errors("reading", path):
            return obstore.get(self.objects, path).bytes().to_bytes()

    def download(self, path: str, target: Path) -> None:
        """Copy an object into a local file; see `Store`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file, _our_errors("reading", path):
            answer = obstore.get(self.objects, path)
            size, tag = answer.meta["size"], answer.meta["e_tag"]
            if size <= self.part_bytes:
                file.write(answer.bytes())
                return
            # In parts, because the longest wait is for a whole answer: that of a large object would take longer. They
            # are parts of one object, also if it is replaced meanwhile.
            same: Any = {"if_match": tag} if tag else {}
            for begin in range(0, size, self.part_bytes):
                part: Any = {"range": (begin, min(begin + self.part_bytes, size)), **same}
                file.write(obstore.get(self.objects, path, options=part).bytes())

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a folder, in no order; see `Store`."""
        try:
            with _our_errors("listing", prefix):
                for batch in obstore.list(self.objects, prefix):
                    for item in batch:
                        yield StoredObject(item["path"], item["size"], item["last_modified"])
        except Unavailable:
            self._responds(prefix)
            raise

    def files(self, prefix: str) -> Sequence[StoredObject]:
        """Return the objects of a folder, not of the folders in it; see `Store`."""
        try:
            with _our_errors("listing", prefix):
                # The root of the store has no name.
                listed = obstore.list_with_delimiter(self.objects, prefix or None)["objects"]
        except Unavailable as error:
            if not self._responds(prefix):
                raise
            # The client has retried transient errors for long enough; a service that responds to everything else and
            # does not list has no such bucket.
            raise ResourceNotFound(f"`path`: got {prefix}, want a folder of a bucket that exists") from error
        files = (StoredObject(str(item["path"]), item["size"], item["last_modified"]) for item in listed)
        return sorted(files, key=lambda item: item.path)

    def _responds(self, prefix: str) -> bool:
        """Return whether the store, which failed to list a folder, responds to another request.

        Raises:
            PermissionDenied: It rejects the credentials; a listing that is rejected has no error class of its own.
        """
        try:
            self.get("_")
        except ResourceNotFound:
            return True
        except PermissionDenied as error:
            raise PermissionDenied(f"store: listing {prefix} was refused: {error.message}") from error
        except Unavailable:
            return False
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Delete objects; see `Store`."""
        for path in paths:
            _checked(path)
        if paths:
            with _our_errors("deleting", paths[0]):
                obstore.delete(self.objects, paths)

    def delete_folder(self, prefix: str) -> int:
        """Delete all objects below a folder and return how many there were; see `Store`."""
        paths = [item.path for item in self.list(prefix)]
        with _our_errors("deleting below", prefix):
            if paths:
                obstore.delete(self.objects, paths)
        if self.root is not None:
            _remove_empty(self.root / prefix)
        return len(paths)

    def local_folder(self, prefix: str) -> Path | None:
        """Return the folder itself when the store is local, else None; see `Store`."""
        return None if self.root is None else self.root / _checked(prefix)


def open_store(settings: StoreSettings) -> ObjectStore:
    """Open the store that the settings name; a local folder is created.

    Raises:
        InvalidInput: The URL is neither a folder nor `s3://BUCKET[/PREFIX]`.
    """
    url = settings.store_url
    if url.startswith("s3://"):
        return ObjectStore(
            S3Store.from_url(
                url,
                config=_s3_config(settings),
                client_options={
                    "allow_http": _plain_endpoint(settings),
                    "timeout": timedelta(seconds=settings.s3_timeout_seconds),
                },
                retry_config={"retry_timeout": timedelta(seconds=settings.s3_retry_seconds)},
            ),
            table_uri=url.rstrip("/"),
            table_options=_delta_options(settings),
        )
    root = store_folder(url)
    if root is None:
        raise invalid("store_url", got=url, want="a folder or s3://BUCKET/PREFIX")
    return ObjectStore(LocalStore(root, mkdir=True), root=root, table_uri=str(root))


def _s3_config(settings: StoreSettings) -> Any:
    config: dict[str, Any] = {"aws_region": settings.s3_region}
    if settings.s3_endpoint:
        config["aws_endpoint"] = settings.s3_endpoint
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        config["aws_access_key_id"] = settings.s3_access_key_id
        config["aws_secret_access_key"] = settings.s3_secret_access_key
        if settings.s3_session_token:
            config["aws_session_token"] = settings.s3_session_token
    return config


def _delta_options(settings: StoreSettings) -> dict[str, str]:
    options = {key.upper(): str(value) for key, value in _s3_config(settings).items()}
    if _plain_endpoint(settings):
        options["AWS_ALLOW_HTTP"] = "true"
    # Delta Lake needs put-if-absent for safe commits without a lock service; S3 supports it.
    options["AWS_CONDITIONAL_PUT"] = "etag"
    options["timeout"] = f"{round(settings.s3_timeout_seconds * 1000)}ms"
    options["retry_timeout"] = f"{round(settings.s3_retry_seconds * 1000)}ms"
    return options


def _plain_endpoint(settings: StoreSettings) -> bool:
    """Return whether the endpoint has no TLS, which clients accept only when configured to."""
    return settings.s3_endpoint is not None and settings.s3_endpoint.startswith("http://")


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise invalid("path", got=path, want="a path relative to the store's root, without `..`")
    return path


def _storable(path: str) -> str:
    """Check a path as the client does that reads it.

    Raises:
        InvalidInput: It would read another one, or none.
    """
    if PurePosixPath(_checked(path)).as_posix() != path or not _STORABLE.fullmatch(path):
        raise invalid("path", got=path, want="one that a store can have")
    return path


def _published(path: str) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"`path`: got {path}, which is already published, want a new one")


@contextmanager
def _our_errors(doing: str, path: str) -> Iterator[None]:
    """Check a path, and translate obstore's errors by their class: their text quotes the path."""
    _checked(path or "_")
    try:
        yield
    except AlreadyExistsError:
        raise
    except (FileNotFoundError, NotFoundError) as error:
        raise ResourceNotFound(f"`path`: got {path}, want an object that exists") from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionDenied(f"store: {doing} {path} was refused: {_first_line(error)}") from error
    except (ValueError, InvalidPathError) as error:
        raise invalid("path", got=path, want=f"one that a store can have ({_first_line(error)})") from error
    except BaseError as error:
        raise unwritable(f"store: {doing} {path} failed", error) from error


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text, which is for people; the rest shows internals of the client."""
    return str(error).split("\n", 1)[0]


def _remove_empty(folder: Path) -> None:
    if not folder.is_dir():
        return
    remove_partial_files(folder)
    for child in sorted((item for item in folder.rglob("*") if item.is_dir()), reverse=True):
        child.rmdir()
    folder.rmdir()
