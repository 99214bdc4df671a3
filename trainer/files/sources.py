"""Finds the files that a job reads, and copies those of a service, one request after the other, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from common.data_files import is_data_file
from common.errors import Unavailable
from common.files.locations import (
    DATA_LOCATION,
    BucketLocation,
    FileLocation,
    LocationField,
    path_inside,
    service_errors,
)
from common.settings import StoreSettings
from common.storage import StoredObject
from common.storage.objects import ObjectStore, open_store

__all__ = ["SourceFile", "Sources"]

_CSV: Final = "a CSV file"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A local file to read.

    Attributes:
        name: As the owner of the job knows it: below the folder that was named.
        path: Where it is now.
    """

    name: str
    path: Path


class Sources:
    """Finds the files of a location.

    Args:
        settings: Endpoint and credentials of the S3-compatible service, if there is one.
        buckets: Folder whose folders stand for buckets where no endpoint is set.
        roots: Folders that `file://` may read below.
        field: That of requests that locations stand in; errors name it.
        content: What should be at a location, for errors.
        max_files: Files at most that one location may mean; None for any number.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        buckets: Path,
        roots: Sequence[Path],
        field: LocationField = DATA_LOCATION,
        content: str = _CSV,
        max_files: int | None = None,
    ) -> None:
        self._settings = settings
        self._buckets = buckets
        self._roots = tuple(roots)
        self._field = field
        self._content = content
        self._max_files = max_files

    def fetch(
        self, location: str, *, folder: Path, sub_folders: bool = False, check: Callable[[], None] = lambda: None
    ) -> list[SourceFile]:
        """Return the files of a location, by name; those of a service are copied first.

        Args:
            location: `s3://BUCKET/KEY` or `file:///PATH`; one that ends in `/` means the files of that folder.
            folder: Existing, for copies.
            sub_folders: Whether the files of the folders in a folder are meant as well, and of all those `*.csv` alone:
                Personalize reads so for data deletion jobs, imports read the first level.
            check: Called before each copy; raises when the job must end.

        Raises:
            InvalidInput: The location is malformed, forbidden, or there is nothing, or too much.
            Unavailable: The service cannot be reached, or there is no room for the copies.
        """
        parsed = self._field.parse(location)
        if isinstance(parsed, FileLocation):
            path, roots = Path(parsed.path), self._roots
        elif self._settings.s3_endpoint:
            return self._download(parsed, folder, location=location, sub_folders=sub_folders, check=check)
        else:
            path, roots = self._buckets / parsed.bucket / parsed.key, (self._buckets,)
        try:
            inside = partial(
                path_inside, roots=roots, field=self._field, location=location, store_url=self._settings.store_url
            )
            return self._files_at(path, inside, location=location, is_folder=parsed.is_folder, sub_folders=sub_folders)
        except (OSError, RuntimeError) as error:
            # A loop of links, which older versions of Python raise as a RuntimeError; a name that is too long; a folder
            # that only others may read. None of these passes.
            if not any(path.is_relative_to(root) for root in roots):
                raise self._field.outside(location) from error
            cause = error.strerror if isinstance(error, OSError) and error.strerror else "it is a loop of links"
            raise self._field.invalid(location, f"which cannot be read ({cause}): {path}") from error

    def _download(
        self,
        parsed: BucketLocation,
        folder: Path,
        *,
        location: str,
        sub_folders: bool,
        check: Callable[[], None],
    ) -> list[SourceFile]:
        self._field.require_apart(location, parsed, store_url=self._settings.store_url)
        bucket = open_store(self._settings.model_copy(update={"store_url": f"s3://{parsed.bucket}"}))
        nothing = f"{self._content}{' or more' * parsed.is_folder} in the bucket {parsed.bucket}"
        endpoint = self._settings.s3_endpoint or ""
        copies = []
        with service_errors(self._field, location, endpoint=endpoint, nothing=nothing):
            keys = _keys(bucket, parsed, sub_folders=sub_folders)
            self._check_count(len(keys), location)
            for place, key in enumerate(keys):
                check()
                target = folder / f"source-{place}"
                try:
                    bucket.download(key, target)
                except OSError as error:
                    raise Unavailable(f"the trainer's work folder cannot be written ({error.strerror})") from error
                name = key.removeprefix(parsed.key) if parsed.is_folder else key.rpartition("/")[2]
                copies.append(SourceFile(name, target))
        if not copies:
            raise self._field.invalid(location, f"where nothing is, want {nothing} of {endpoint}")
        return copies

    def _files_at(
        self, path: Path, inside: Callable[[Path], Path], *, location: str, is_folder: bool, sub_folders: bool
    ) -> list[SourceFile]:
        """Return the file at a path, or those of a folder; `inside` follows links, and refuses what is elsewhere."""
        resolved = inside(path)
        if resolved.is_dir():
            if not is_folder:
                raise self._field.invalid(location, "which is a folder; want its name to end in `/`")
            entries = resolved.rglob("*") if sub_folders else resolved.iterdir()
            names = sorted(
                str(entry.relative_to(resolved)) for entry in entries if _is_meant(entry.name, sub_folders=sub_folders)
            )
            # Links in the folder may lead anywhere, so each file is judged by itself.
            judged = [(name, inside(resolved / name)) for name in names]
            files = [SourceFile(name, entry) for name, entry in judged if entry.is_file() and entry.stat().st_size]
            self._check_count(len(files), location)
        elif resolved.is_file() and not is_folder:
            files = [SourceFile(path.name, resolved)]
        else:
            files = []
        if not files:
            raise self._field.invalid(
                location, f"where nothing is, want {self._content}{' or more' * is_folder}; looked into {resolved}"
            )
        return files

    def _check_count(self, count: int, location: str) -> None:
        if self._max_files is not None and count > self._max_files:
            raise self._field.invalid(location, f"which means {count:,} files, want at most {self._max_files:,}")


def _keys(bucket: ObjectStore, parsed: BucketLocation, *, sub_folders: bool) -> list[str]:
    """Return the keys of the objects that a location means, by name."""
    if not parsed.is_folder:
        return [parsed.key]
    prefix = parsed.key.removesuffix("/")
    listed: Iterable[StoredObject] = bucket.list(prefix) if sub_folders else bucket.files(prefix)
    # Folders may have objects of their own, which are empty.
    return sorted(item.path for item in listed if item.bytes and _is_meant(item.path, sub_folders=sub_folders))


def _is_meant(path: str, *, sub_folders: bool) -> bool:
    name = path.rpartition("/")[2]
    return is_data_file(name) and (not sub_folders or name.endswith(".csv"))
