"""Writes the results of jobs: whole files into a folder, and a manifest last.

A store publishes single files whole, and nothing publishes several at once: a folder whose manifest is missing is not
complete. An attempt begins by removing the manifest, then the files of the attempts before it, so that what the
manifest names is of one attempt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from common.files.locations import OUTPUT_PATH, BucketLocation, FileLocation, LocationField, path_inside, service_errors
from common.settings import StoreSettings
from common.storage import Store
from common.storage.objects import open_store

__all__ = ["MANIFEST", "OutputFolder", "Outputs"]

#: Name of the file that says what the others are; imports pass over names that begin with `_`.
MANIFEST: Final = "_manifest.json"


@dataclass(slots=True)
class OutputFolder:
    """The folder of one job's results.

    Attributes:
        store: What the folder is in.
        prefix: The folder in the store; empty for its root.
        location: As the owner of the job named it.
        endpoint: Of the service, or the folder that stands for it; for errors.
        stood_in: The field of the request; for errors.
        manifest: Name of the file whose presence makes the results complete.
        folder: The folder on this machine, with links followed; None where a service has it.
        files: What was written so far.
    """

    store: Store
    prefix: str
    location: str
    endpoint: str
    stood_in: LocationField
    manifest: str = MANIFEST
    folder: Path | None = None
    files: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, is_result: Callable[[str], bool]) -> None:
        """Remove the manifest and the files of earlier attempts, so that the folder counts as incomplete.

        Args:
            is_result: Whether a name is one that such a job gives; other files stay.

        Raises:
            InvalidInput: The folder cannot be written to: to try again does not help.
            Unavailable: The service cannot be reached.
        """
        with self._errors():
            names = {item.path.rpartition("/")[2] for item in self.store.files(self.prefix)}
            if self.manifest in names:
                self.store.delete([self._path(self.manifest)])
            self.store.delete([self._path(name) for name in sorted(names) if is_result(name)])

    def put(self, name: str, source: Path, *, rows: int) -> None:
        """Write a file, whole or not at all; the errors of `begin`.

        Args:
            name: Of the file.
            source: Local file with its content.
            rows: How many rows are in it.
        """
        with source.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        with self._errors():
            self.store.put(self._path(name), source)
        self.files.append({"name": name, "rows": rows, "bytes": source.stat().st_size, "sha256": digest})

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write the manifest, which makes the results complete; the errors of `begin`.

        Args:
            facts: What the manifest says beside the files.
        """
        manifest = {**facts, "rows": sum(item["rows"] for item in self.files), "files": self.files}
        self.write(self.manifest, (json.dumps(manifest, indent=2) + "\n").encode())

    def check(self) -> None:
        """Look whether the folder can be reached, before work is done for it; the errors of `begin`."""
        with self._errors():
            self.store.files(self.prefix)

    def write(self, name: str, content: bytes | Path) -> None:
        """Write bytes, or a local file, that no manifest names, whole or not at all; the errors of `begin`."""
        with self._errors():
            self.store.put(self._path(name), content)

    def _path(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def _errors(self) -> AbstractContextManager[None]:
        return service_errors(self.stood_in, self.location, endpoint=self.endpoint, nothing="a bucket")


class Outputs:
    """Opens folders for results.

    Args:
        settings: Endpoint and credentials of the S3-compatible service, if there is one.
        buckets: Folder whose folders stand for buckets where no endpoint is set.
        roots: Folders that `file://` may write below.
        field: That of requests that locations stand in; errors name it.
    """

    def __init__(
        self,
        settings: StoreSettings,
        *,
        buckets: Path,
        roots: Sequence[Path],
        field: LocationField = OUTPUT_PATH,
    ) -> None:
        self._field = field
        self._settings = settings
        self._buckets = buckets
        self._roots = tuple(roots)

    def open(self, location: str, name: str = "", *, manifest: str = MANIFEST) -> OutputFolder:
        """Return a folder for the results of one job.

        Args:
            location: `s3://BUCKET/FOLDER/` or `file:///FOLDER/`; the last slash may be missing.
            name: Of the folder in it; made when the first file is written. Empty for the location itself.
            manifest: Name of the file whose presence makes the results complete.

        Raises:
            InvalidInput: The location is malformed or forbidden, or there is no such bucket or root.
        """
        parsed = self._field.parse(location)
        if isinstance(parsed, FileLocation):
            return self._local(Path(parsed.path) / name, self._roots, location=location, manifest=manifest)
        prefix = f"{parsed.key.removesuffix('/')}/{name}".strip("/")
        if self._settings.s3_endpoint:
            place = BucketLocation(parsed.bucket, prefix)
            self._field.require_apart(location, place, store_url=self._settings.store_url)
            store = open_store(self._settings.model_copy(update={"store_url": f"s3://{parsed.bucket}"}))
            return OutputFolder(store, prefix, location, self._settings.s3_endpoint, self._field, manifest)
        bucket = self._buckets / parsed.bucket
        if not bucket.is_dir():
            raise self._field.invalid(location, f"where nothing is, want a bucket: the folder {bucket}")
        return self._local(bucket / prefix, (self._buckets,), location=location, manifest=manifest)

    def _local(self, path: Path, roots: Sequence[Path], *, location: str, manifest: str) -> OutputFolder:
        try:
            resolved = path_inside(
                path, roots, field=self._field, location=location, store_url=self._settings.store_url
            )
            resolved.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError) as error:
            if not any(path.is_relative_to(root) for root in roots):
                raise self._field.outside(location) from error
            cause = error.strerror if isinstance(error, OSError) and error.strerror else "it is a loop of links"
            raise self._field.invalid(location, f"which cannot be written to ({cause}): {path}") from error
        store = open_store(self._settings.model_copy(update={"store_url": str(resolved)}))
        return OutputFolder(store, "", location, str(resolved), self._field, manifest, resolved)
