"""Where the files of an import come from: an S3-compatible service, folders that stand for buckets, local files.

Whoever may create an import chooses the location, so local files are read below a few folders only, judged by where
a path really leads once every symbolic link is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from common.errors import InvalidInput, PermissionDenied, ResourceNotFound, Unavailable
from common.settings import StoreSettings
from common.storage.objects import open_store

__all__ = [
    "BucketLocation",
    "FileLocation",
    "SourceFile",
    "Sources",
    "invalid_location",
    "is_data_file",
    "parse_location",
]


@dataclass(frozen=True, slots=True)
class BucketLocation:
    """`s3://BUCKET/KEY`; a key that ends in `/`, or is empty, is a folder."""

    bucket: str
    key: str

    @property
    def is_folder(self) -> bool:
        """Whether all files of a folder are meant."""
        return not self.key or self.key.endswith("/")


@dataclass(frozen=True, slots=True)
class FileLocation:
    """`file:///PATH`; a path that ends in `/` is a folder."""

    path: PurePosixPath
    is_folder: bool


def invalid_location(location: str, problem: str) -> InvalidInput:
    """Build the error for a location, beginning with Personalize's words."""
    return InvalidInput(f"Invalid Data location. `dataLocation`: got {location}, {problem}")


def parse_location(location: str) -> BucketLocation | FileLocation:
    """Read a location.

    Keys of S3 are taken as they are; paths of `file://` are URLs, where `%20` is a blank.

    Raises:
        InvalidInput: It is neither, climbs by `..`, or is a key that S3 clients cannot name.
    """
    want = "want s3://BUCKET/KEY or file:///PATH, without `..`; a folder ends in `/`"
    if location.startswith("s3://"):
        bucket, _, key = location.removeprefix("s3://").partition("/")
        parts = key.removesuffix("/").split("/")
        if not bucket or bucket.startswith(".") or ".." in parts or "\0" in key:
            raise invalid_location(location, want)
        if key and ("" in parts or "." in parts):
            raise invalid_location(
                location, "want a key without `//` and `/./`: empty parts and `.` cannot be read; rename the object"
            )
        return BucketLocation(bucket, key)
    if location.startswith("file:///"):
        path = unquote(urlsplit(location).path)
        if ".." in PurePosixPath(path).parts or "\0" in path:
            raise invalid_location(location, want)
        return FileLocation(PurePosixPath(path), path.endswith("/"))
    raise invalid_location(location, want)


def is_data_file(name: str) -> bool:
    """Tell whether a file of a folder holds rows; programs that write folders leave markers like `_SUCCESS` there."""
    return bool(name) and not name.startswith((".", "_"))


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A local file to read.

    Attributes:
        name: As the owner of the import knows it.
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
    """

    def __init__(self, settings: StoreSettings, *, buckets: Path, roots: Sequence[Path]) -> None:
        self._settings = settings
        self._buckets = buckets
        self._roots = tuple(roots)

    def fetch(self, location: str, *, folder: Path) -> list[SourceFile]:
        """Return the files of a location, by name; those of a service are copied first.

        Args:
            location: `s3://BUCKET/KEY` or `file:///PATH`; one that ends in `/` means the files of that folder, not of
                the folders in it.
            folder: Existing, for copies.

        Raises:
            InvalidInput: The location is malformed, forbidden, or there is nothing.
            Unavailable: The service cannot be reached.
        """
        parsed = parse_location(location)
        if isinstance(parsed, FileLocation):
            return self._local(Path(parsed.path), parsed.is_folder, roots=self._roots, location=location)
        if self._settings.s3_endpoint:
            return self._download(parsed, folder=folder, location=location)
        path = self._buckets / parsed.bucket / parsed.key
        return self._local(path, parsed.is_folder, roots=(self._buckets,), location=location)

    def _local(self, path: Path, is_folder: bool, *, roots: Sequence[Path], location: str) -> list[SourceFile]:
        try:
            return _files_at(path, is_folder, roots=roots, location=location)
        except (OSError, RuntimeError) as error:
            # A loop of links, which older versions of Python raise as a RuntimeError; a name that is too long; a folder
            # that only others may read. None of these passes.
            if not any(path.is_relative_to(root) for root in roots):
                raise _outside(location) from error
            cause = error.strerror if isinstance(error, OSError) and error.strerror else "it is a loop of links"
            raise invalid_location(location, f"which cannot be read ({cause}): {path}") from error

    def _download(self, parsed: BucketLocation, *, folder: Path, location: str) -> list[SourceFile]:
        bucket = open_store(self._settings.model_copy(update={"store_url": f"s3://{parsed.bucket}"}))
        try:
            keys = [parsed.key]
            if parsed.is_folder:
                listed = [item.path for item in bucket.files(parsed.key.removesuffix("/")) if item.bytes]
                keys = [key for key in listed if is_data_file(key.rpartition("/")[2])]
            copies = []
            for place, key in enumerate(keys):
                target = folder / f"source-{place}"
                bucket.download(key, target)
                copies.append(SourceFile(key.rpartition("/")[2], target))
        except ResourceNotFound as error:
            raise self._nothing(parsed, location=location) from error
        except PermissionDenied as error:
            raise invalid_location(
                location, f"Insufficient privileges for accessing data in Amazon S3. ({self._settings.s3_endpoint})"
            ) from error
        except InvalidInput as error:
            raise invalid_location(location, error.message) from error
        except Unavailable as error:
            raise Unavailable(f"`dataLocation`: got {location}, which cannot be read now: {error.message}") from error
        if not copies:
            raise self._nothing(parsed, location=location)
        return copies

    def _nothing(self, parsed: BucketLocation, *, location: str) -> InvalidInput:
        want = f"want a CSV file{' or more' * parsed.is_folder} in the bucket {parsed.bucket}"
        return invalid_location(location, f"where nothing is, {want} of {self._settings.s3_endpoint}")


def _files_at(path: Path, is_folder: bool, *, roots: Sequence[Path], location: str) -> list[SourceFile]:
    """Return the file at a path, or the files of a folder."""
    resolved = _inside(path, roots, location=location)
    if resolved.is_dir():
        if not is_folder:
            raise invalid_location(location, "which is a folder; want its name to end in `/`")
        names = sorted(entry.name for entry in resolved.iterdir() if is_data_file(entry.name))
        # Links in the folder may lead anywhere, so each file is judged by itself.
        inside = [(name, _inside(resolved / name, roots, location=location)) for name in names]
        files = [SourceFile(name, entry) for name, entry in inside if entry.is_file()]
    elif resolved.is_file() and not is_folder:
        files = [SourceFile(path.name, resolved)]
    else:
        files = []
    if not files:
        raise invalid_location(
            location, f"where nothing is, want a CSV file{' or more' * is_folder}; looked into {resolved}"
        )
    return files


def _inside(path: Path, roots: Sequence[Path], *, location: str) -> Path:
    """Return where a path really leads; what is outside of the roots is not even looked at."""
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        raise _outside(location)
    return resolved


def _outside(location: str) -> InvalidInput:
    return invalid_location(
        location, "which is outside of the folders that the trainer may read (TAILORBIRD_FILE_ROOTS)"
    )
