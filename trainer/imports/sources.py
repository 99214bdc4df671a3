"""Where the files of an import come from: an S3-compatible service, folders that stand for buckets, local files.

Whoever may ask for an import chooses the location, so local files are read below a few folders only, judged by where
a path really leads once every symbolic link is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import InvalidInput, PermissionDenied, ResourceNotFound, Unavailable
from common.settings import StoreSettings
from common.storage import open_store
from trainer.domain.locations import BucketLocation, FileLocation, invalid_location, is_data_file, parse_location

__all__ = ["SourceFile", "Sources"]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A local file to read.

    Attributes:
        name: As the person who asked for the import knows it.
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
            folder: For copies.

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
            return _found(path, is_folder, roots=roots, location=location)
        except (OSError, RuntimeError) as error:
            # A loop of links, which older versions of Python tell as a RuntimeError; a name that is too long; a folder
            # that only others may read. None of these passes.
            if not any(path.is_relative_to(root) for root in roots):
                raise _outside(location) from error
            told = error.strerror if isinstance(error, OSError) and error.strerror else "it is a loop of links"
            raise invalid_location(location, f"which cannot be read ({told}): {path}") from error

    def _download(self, parsed: BucketLocation, *, folder: Path, location: str) -> list[SourceFile]:
        bucket = open_store(self._settings.model_copy(update={"store_url": f"s3://{parsed.bucket}"}))
        try:
            keys = [parsed.key]
            if parsed.is_folder:
                listed = [item.path for item in bucket.files(parsed.key.removesuffix("/")) if item.bytes]
                keys = [key for key in listed if is_data_file(key.rpartition("/")[2])]
            found = []
            for place, key in enumerate(keys):
                target = folder / f"source-{place}"
                bucket.download(key, target)
                found.append(SourceFile(key.rpartition("/")[2], target))
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
        if not found:
            raise self._nothing(parsed, location=location)
        return found

    def _nothing(self, parsed: BucketLocation, *, location: str) -> InvalidInput:
        want = f"want a CSV file{' or more' * parsed.is_folder} in the bucket {parsed.bucket}"
        return invalid_location(location, f"where nothing is, {want} of {self._settings.s3_endpoint}")


def _found(path: Path, is_folder: bool, *, roots: Sequence[Path], location: str) -> list[SourceFile]:
    """Return the file at a path, or the files of a folder."""
    resolved = _inside(path, roots, location=location)
    if resolved.is_dir():
        if not is_folder:
            raise invalid_location(location, "which is a folder; want its name to end in `/`")
        names = sorted(entry.name for entry in resolved.iterdir() if is_data_file(entry.name))
        # Links in the folder may lead anywhere, so each file is judged by itself.
        inside = [(name, _inside(resolved / name, roots, location=location)) for name in names]
        found = [SourceFile(name, entry) for name, entry in inside if entry.is_file()]
    elif resolved.is_file() and not is_folder:
        found = [SourceFile(path.name, resolved)]
    else:
        found = []
    if not found:
        raise invalid_location(
            location, f"where nothing is, want a CSV file{' or more' * is_folder}; looked into {resolved}"
        )
    return found


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
