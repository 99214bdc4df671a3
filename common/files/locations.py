"""Locations of jobs' files: `s3://` on an S3-compatible service or in folders that stand for buckets, and `file://`.

Whoever may create a job chooses the location, so local files are touched below a few folders only, judged by where a
path really leads once every symbolic link is followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote

from common.errors import InvalidInput, PermissionDenied, ResourceNotFound, Unavailable
from common.storage import store_folder

__all__ = [
    "ATTRIBUTION_OUTPUT",
    "DATA_LOCATION",
    "INPUT_PATH",
    "OUTPUT_PATH",
    "BucketLocation",
    "FileLocation",
    "LocationField",
    "normalised_folder",
    "path_inside",
    "service_errors",
]

_FORBIDDEN: Final = "Insufficient privileges for accessing data in Amazon S3."


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


@dataclass(frozen=True, slots=True)
class LocationField:
    """The field of a request that a location stands in, which errors name.

    Attributes:
        name: Of the field.
        complaint: What Personalize says of a location that is wrong.
        used: What is done with what is there: `read` or `written to`.
        roots_setting: The setting that says below which folders it may be.
    """

    name: str
    complaint: str
    used: str
    roots_setting: str

    def invalid(self, location: str, problem: str) -> InvalidInput:
        """Build the error for a location that is wrong, beginning with Personalize's words."""
        return InvalidInput(f"{self.complaint} `{self.name}`: got {location}, {problem}")

    def outside(self, location: str) -> InvalidInput:
        """Build the error for a path outside of the roots; whether something is there is not told."""
        return self.invalid(location, f"which is outside of the folders that may be {self.used} ({self.roots_setting})")

    def require_apart(self, location: str, place: BucketLocation | Path, *, store_url: str) -> None:
        """Check that what a location means is not in the store, whose files are of all accounts and of no format.

        Args:
            location: As in the request.
            place: What it means; a path that links were followed in.
            store_url: Of the store.

        Raises:
            InvalidInput: It is in the store.
        """
        if isinstance(place, BucketLocation):
            url = f"s3://{place.bucket}/{place.key.strip('/')}/"
            is_inside = store_url.startswith("s3://") and url.startswith(f"{store_url.rstrip('/')}/")
        else:
            folder = store_folder(store_url)
            is_inside = folder is not None and place.is_relative_to(folder)
        if is_inside:
            raise self.invalid(location, "which is in the store of this installation, want a place of your own")

    def parse(self, location: str) -> BucketLocation | FileLocation:
        """Read a location.

        Keys of S3 are taken as they are; paths of `file://` are URLs, where `%20` is a blank.

        Raises:
            InvalidInput: It is neither, climbs by `..`, is a key that S3 clients cannot name, or a path with `?` or
                `#`.
        """
        want = "want s3://BUCKET/KEY or file:///PATH, without `..`; a folder ends in `/`"
        if location.startswith("s3://"):
            bucket, _, key = location.removeprefix("s3://").partition("/")
            parts = key.removesuffix("/").split("/")
            if not bucket or bucket.startswith(".") or ".." in parts or "\0" in key:
                raise self.invalid(location, want)
            if key and ("" in parts or "." in parts):
                raise self.invalid(
                    location, "want a key without `//` and `/./`: empty parts and `.` cannot be read; rename the object"
                )
            return BucketLocation(bucket, key)
        if location.startswith("file:///"):
            if "?" in location or "#" in location:
                raise self.invalid(location, "want a path where `?` is written as %3F and `#` as %23")
            path = unquote(location.removeprefix("file://"))
            if ".." in PurePosixPath(path).parts or "\0" in path:
                raise self.invalid(location, want)
            return FileLocation(PurePosixPath(path), path.endswith("/"))
        raise self.invalid(location, want)


#: Of imports and of data deletion jobs.
DATA_LOCATION: Final = LocationField("dataLocation", "Invalid Data location.", "read", "TAILORBIRD_FILE_ROOTS")
#: Of batch jobs.
INPUT_PATH: Final = LocationField(
    "jobInput.s3DataSource.path", "Invalid S3 input path.", "read", "TAILORBIRD_FILE_ROOTS"
)
#: Of jobs that write files.
OUTPUT_PATH: Final = LocationField(
    "jobOutput.s3DataDestination.path", "Invalid S3 output path.", "written to", "TAILORBIRD_FILE_OUTPUT_ROOTS"
)
#: Of metric attributions.
ATTRIBUTION_OUTPUT: Final = LocationField(
    "metricsOutputConfig.s3DataDestination.path",
    "Invalid S3 output path.",
    "written to",
    "TAILORBIRD_FILE_OUTPUT_ROOTS",
)


def normalised_folder(location: str) -> str:
    """Return the one spelling of all locations that name a folder.

    They may end in slashes; paths of `file://` may have `//`, `/./` and characters as `%20`. Links are not followed, as
    they are of the machine that reads or writes.
    """
    if not location.startswith("file://"):
        return location.rstrip("/")
    parts = unquote(location.removeprefix("file://")).split("/")
    return "file:///" + "/".join(part for part in parts if part not in ("", "."))


def path_inside(path: Path, roots: Sequence[Path], *, field: LocationField, location: str, store_url: str) -> Path:
    """Return where a path really leads; what is outside of the roots is not even looked at.

    Raises:
        InvalidInput: It is outside, or in the store.
    """
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        raise field.outside(location)
    field.require_apart(location, resolved, store_url=store_url)
    return resolved


@contextmanager
def service_errors(field: LocationField, location: str, *, endpoint: str, nothing: str) -> Iterator[None]:
    """Tell apart what an S3-compatible service refuses, has not, and cannot do now.

    Args:
        field: Where the location stands.
        location: What is read or written.
        endpoint: The service.
        nothing: What is wanted where nothing is.

    Raises:
        InvalidInput: There is nothing, or the service refuses: to try again does not help.
        Unavailable: The service cannot be reached.
    """
    try:
        yield
    except ResourceNotFound as error:
        raise field.invalid(location, f"where nothing is, want {nothing} of {endpoint}") from error
    except PermissionDenied as error:
        raise InvalidInput(
            f"{_FORBIDDEN} `{field.name}`: got {location}, which {endpoint} refuses; want an "
            f"access key by which the folder may be listed and {field.used}"
        ) from error
    except InvalidInput as error:
        raise field.invalid(location, error.message) from error
    except Unavailable as error:
        raise Unavailable(
            f"`{field.name}`: got {location}, which cannot be {field.used} now: {error.message}"
        ) from error
