"""Where the files of an import come from: an S3-compatible service, folders that stand for buckets, local files.

Whoever may ask for an import chooses the location, so local files are read below a few folders only, judged by where
a path really leads once every symbolic link is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from common.errors import ResourceNotFound, Unavailable
from common.settings import StoreSettings
from common.storage import Store, open_store
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
            raise invalid_location(location, f"where nothing is, want a CSV file{' or more' * is_folder}")
        return found

    def _download(self, parsed: BucketLocation, *, folder: Path, location: str) -> list[SourceFile]:
        bucket = _bucket(self._settings, parsed.bucket)
        keys = _keys(bucket, parsed.key, location=location) if parsed.is_folder else [parsed.key]
        found = []
        for place, key in enumerate(keys):
            target = folder / f"source-{place}"
            try:
                bucket.download(key, target)
            except ResourceNotFound as error:
                raise invalid_location(location, "where nothing is, want a CSV file") from error
            except Unavailable as error:
                raise _refused(location, error) from error
            found.append(SourceFile(key.rpartition("/")[2], target))
        if not found:
            raise invalid_location(location, "where nothing is, want a CSV file or more")
        return found


def _inside(path: Path, roots: Sequence[Path], *, location: str) -> Path:
    """Return where a path really leads; what is outside of the roots is not even looked at."""
    resolved = path.resolve()
    if not any(resolved.is_relative_to(root.resolve()) for root in roots):
        raise invalid_location(
            location, "which is outside of the folders that the trainer may read (TAILORBIRD_FILE_ROOTS)"
        )
    return resolved


def _bucket(settings: StoreSettings, name: str) -> Store:
    return open_store(settings.model_copy(update={"store_url": f"s3://{name}"}))


def _keys(bucket: Store, prefix: str, *, location: str) -> list[str]:
    """Return the keys of a folder's first level."""
    objects = bucket.objects
    assert isinstance(objects, S3Store)
    try:
        listed = obstore.list_with_delimiter(objects, prefix.rstrip("/") or None)["objects"]
    except (BaseError, FileNotFoundError) as error:
        raise _refused(location, error) from error
    keys = [str(item["path"]) for item in listed if item["size"]]
    return sorted(key for key in keys if is_data_file(key.rpartition("/")[2]))


def _refused(location: str, error: Exception) -> Exception:
    if any(word in str(error) for word in ("403", "AccessDenied", "Forbidden", "PermissionDenied")):
        return invalid_location(location, "Insufficient privileges for accessing data in Amazon S3.")
    # Below its first line the client's error shows its own inside.
    told = str(error).split("\n", 1)[0]
    return Unavailable(f"`dataLocation`: got {location}, which cannot be read now: {told}")
