"""What a `dataLocation` says: which scheme, where, a file or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from common.errors import InvalidInput

__all__ = ["BucketLocation", "FileLocation", "invalid_location", "is_data_file", "parse_location"]


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
