"""The shared store: one small interface over a local folder, S3 and everything that speaks it.

obstore is the implementation of all of them; this module adds our errors, atomic publication (put-if-absent) and
the short cut that a local folder can be memory-mapped where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from common.errors import ResourceAlreadyExists, ResourceNotFound, Unavailable, invalid
from common.settings import StoreSettings

__all__ = ["Store", "StoredObject", "open_store"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing shows: the path relative to the store's root and the size in bytes."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Store:
    """Objects by path; paths are relative, with slashes.

    Attributes:
        objects: The obstore backend.
        root: The folder when the store is local, else None.
        table_uri: Root as Delta Lake wants it, e.g. `s3://bucket/prefix`.
        table_options: Credentials and endpoint as Delta Lake wants them.
    """

    objects: LocalStore | MemoryStore | S3Store
    root: Path | None = None
    table_uri: str = ""
    table_options: dict[str, str] = field(default_factory=dict, repr=False)

    def put(self, path: str, content: bytes | Path, *, if_absent: bool = False) -> None:
        """Write an object whole; readers see all of it or nothing.

        Args:
            path: Where.
            content: Bytes, or a file to upload.
            if_absent: Write only if nothing is there.

        Raises:
            ResourceAlreadyExists: `if_absent`, and something is there.
            Unavailable: The store cannot be reached.
        """
        _check(path)
        try:
            obstore.put(
                self.objects, path, content, mode="create" if if_absent else "overwrite",
                use_multipart=False if if_absent else None,
            )  # fmt: skip
        except AlreadyExistsError as error:
            raise ResourceAlreadyExists(f"`path`: got {path}, which is already published, want a new one") from error
        except BaseError as error:
            raise Unavailable(f"store: writing {path} failed: {error}") from error

    def get(self, path: str) -> bytes:
        """Return an object.

        Raises:
            ResourceNotFound: Nothing is there.
            Unavailable: The store cannot be reached.
        """
        _check(path)
        try:
            return obstore.get(self.objects, path).bytes().to_bytes()
        except FileNotFoundError as error:
            raise ResourceNotFound(f"`path`: got {path}, want an object that exists") from error
        except BaseError as error:
            raise Unavailable(f"store: reading {path} failed: {error}") from error

    def download(self, path: str, target: Path) -> None:
        """Copy an object into a local file; the errors of `get`."""
        _check(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                for chunk in obstore.get(self.objects, path).stream(min_chunk_size=8 * 1024 * 1024):
                    file.write(chunk)
        except FileNotFoundError as error:
            raise ResourceNotFound(f"`path`: got {path}, want an object that exists") from error
        except BaseError as error:
            raise Unavailable(f"store: reading {path} failed: {error}") from error

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects below a folder, in no order."""
        _check(prefix)
        try:
            for batch in obstore.list(self.objects, prefix):
                for item in batch:
                    yield StoredObject(item["path"], item["size"])
        except BaseError as error:
            raise Unavailable(f"store: listing {prefix} failed: {error}") from error

    def delete_folder(self, prefix: str) -> int:
        """Delete all objects below a folder and return how many there were."""
        paths = [item.path for item in self.list(prefix)]
        try:
            if paths:
                obstore.delete(self.objects, paths)
        except BaseError as error:
            raise Unavailable(f"store: deleting below {prefix} failed: {error}") from error
        if self.root is not None:
            _remove_empty(self.root / prefix)
        return len(paths)

    def local_folder(self, prefix: str) -> Path | None:
        """Return the folder itself when the store is local (to be mapped into memory), else None."""
        _check(prefix)
        return None if self.root is None else self.root / prefix


def open_store(settings: StoreSettings) -> Store:
    """Open the store that the settings name, making the folder if it is local.

    Raises:
        InvalidInput: The URL is neither a folder nor `s3://BUCKET[/PREFIX]`.
    """
    url = settings.store_url
    if url.startswith("s3://"):
        return Store(
            S3Store.from_url(
                url, config=_s3_config(settings), client_options={"allow_http": _plain_endpoint(settings)}
            ),
            table_uri=url.rstrip("/"),
            table_options=_delta_options(settings),
        )
    if "://" in url and not url.startswith("file://"):
        raise invalid("store_url", got=url, want="a folder or s3://BUCKET/PREFIX")
    root = Path(url.removeprefix("file://")).resolve()
    return Store(LocalStore(root, mkdir=True), root=root, table_uri=str(root))


def _s3_config(settings: StoreSettings) -> Any:
    config: dict[str, Any] = {"aws_region": settings.s3_region}
    if settings.s3_endpoint:
        config["aws_endpoint"] = settings.s3_endpoint
    if settings.s3_access_key_id and settings.s3_secret_access_key:
        config["aws_access_key_id"] = settings.s3_access_key_id
        config["aws_secret_access_key"] = settings.s3_secret_access_key
    return config


def _delta_options(settings: StoreSettings) -> dict[str, str]:
    options = {key.upper(): str(value) for key, value in _s3_config(settings).items()}
    if _plain_endpoint(settings):
        options["AWS_ALLOW_HTTP"] = "true"
    # Delta needs put-if-absent for safe commits without a lock service; S3 has it by now.
    options["AWS_CONDITIONAL_PUT"] = "etag"
    return options


def _plain_endpoint(settings: StoreSettings) -> bool:
    """Tell whether the service is reached without TLS, which its clients refuse unless told."""
    return settings.s3_endpoint is not None and settings.s3_endpoint.startswith("http://")


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise invalid("path", got=path, want="a path relative to the store's root, without `..`")


def _remove_empty(folder: Path) -> None:
    if not folder.is_dir():
        return
    for child in sorted((item for item in folder.rglob("*") if item.is_dir()), reverse=True):
        child.rmdir()
    folder.rmdir()
