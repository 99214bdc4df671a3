"""Artifacts: folders of files that are published atomically, never changed, and verified before use.

The files are written to a folder of the attempt, then the manifest, only if absent. A reader that finds the manifest
finds every file that it lists; without a manifest there is no artifact, whatever an interrupted attempt has left.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Collection
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from google.protobuf import json_format

from common.errors import (
    CorruptArtifact,
    ResourceAlreadyExists,
    ResourceNotFound,
    StorageFull,
    TailorbirdError,
    invalid,
)
from common.logs import get_logger
from common.private_files import private_file, private_folder
from common.storage import Store
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactFile, ArtifactManifest
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "Artifact",
    "Manifest",
    "Published",
    "digest_of",
    "discard",
    "kept_copies",
    "open_artifact",
    "open_published",
    "publish",
    "publish_artifact",
    "read_feature_manifest",
    "read_manifest",
    "remove_copies",
]

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
_FILES = "files-"
_log = get_logger(__name__)
#: What publications say of themselves.
Manifest = TypeVar("Manifest", bound=ArtifactManifest | FeatureManifest)


@dataclass(frozen=True, slots=True)
class Published(Generic[Manifest]):
    """What was published, verified: the local folder of its files, and its manifest."""

    folder: Path
    manifest: Manifest


#: A trained model.
Artifact = Published[ArtifactManifest]


def publish_artifact(
    store: Store,
    location: str,
    *,
    files: Path,
    manifest: ArtifactManifest,
    check: Callable[[], object] = lambda: None,
) -> ArtifactManifest:
    """Publish an artifact; see `publish`."""
    return publish(store, location, files=files, manifest=manifest, check=check)


def publish(
    store: Store, location: str, *, files: Path, manifest: Manifest, check: Callable[[], object] = lambda: None
) -> Manifest:
    """Upload a folder of files and then its manifest.

    Args:
        store: The shared store.
        location: Folder of the artifact, relative to the store's root.
        files: Local folder; all files below it are published.
        manifest: All fields but `format_version`, `files` and `files_folder`, which are set here.
        check: Called before each file; may raise, which publishes nothing.

    Returns:
        The manifest as published.

    Raises:
        InvalidInput: The folder has no file, or one that is named like the manifest.
        ResourceAlreadyExists: An artifact is already published there.
        StorageFull: The store has no space left; nothing stays of what was uploaded.
        Unavailable: The store cannot be reached.
    """
    paths = sorted(path for path in files.rglob("*") if path.is_file())
    names = [path.relative_to(files).as_posix() for path in paths]
    if not paths or MANIFEST in names:
        raise invalid("files", got=names, want=f"at least one file and none named {MANIFEST}")
    complete = deepcopy(manifest)
    complete.format_version = FORMAT_VERSION
    del complete.files[:]
    # A folder of this attempt: an attempt that is late must not overwrite files that are served already.
    complete.files_folder = f"{_FILES}{secrets.token_hex(8)}"
    folder = f"{location}/{complete.files_folder}"
    try:
        for path, name in zip(paths, names, strict=True):
            check()
            store.put(f"{folder}/{name}", path)
            complete.files.append(ArtifactFile(path=name, bytes=path.stat().st_size, sha256=digest_of(path)))
    except Exception:
        discard(store, folder)  # a store that is full would be fuller with every attempt
        raise
    text = json_format.MessageToJson(complete, preserving_proto_field_name=True)
    try:
        store.put(f"{location}/{MANIFEST}", text.encode(), if_absent=True)
    except (ResourceAlreadyExists, StorageFull):
        discard(store, folder)
        raise
    return complete


def discard(store: Store, folder: str) -> None:
    """Remove what was not published; what cannot be removed is logged, and left to maintenance.

    Why it was not published counts, not that a trace of it stays.
    """
    try:
        store.delete_folder(folder)
    except (TailorbirdError, OSError) as error:
        _log.warning("unpublished_files_left", folder=folder, cause=str(error))


def open_artifact(store: Store, location: str, *, cache: Path) -> Artifact:
    """Open an artifact; see `open_published`."""
    return open_published(store, location, cache=cache, kind=ArtifactManifest)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_published(
    store: Store,
    location: str,
    *,
    cache: Path,
    kind: type[Manifest],
    digest: Callable[[Path], str] = digest_of,
) -> Published[Manifest]:
    """Copy an artifact to this machine's disk (a local store is used in place) and verify every byte.

    A complete copy is used without access to the store, since artifacts never change; of a damaged one, the files that
    differ are downloaded again.

    Args:
        store: The shared store.
        location: Folder of the artifact, relative to the store's root.
        cache: Local folder for copies from a store that is not local.
        kind: Class of the manifest.
        digest: Returns the SHA-256 of a file; it may know those that were read before.

    Raises:
        ResourceNotFound: No artifact is published there.
        CorruptArtifact: A file is missing or differs from the manifest, or the layout is of an unknown version.
        Unavailable: The store cannot be reached.
    """
    local = store.local_folder(location)
    if local is not None:
        manifest = _parse_manifest(location, _manifest_text(store, location), kind)
        return _verified(location, local / manifest.files_folder, manifest, digest)
    copy = cache / location / MANIFEST
    if copy.is_file():
        try:
            manifest = _parse_manifest(location, copy.read_bytes(), kind)
            return _verified(location, cache / location / manifest.files_folder, manifest, digest)
        except (CorruptArtifact, OSError):
            copy.unlink(missing_ok=True)  # the copy is damaged: the store has the right bytes
    text = _manifest_text(store, location)
    manifest = _parse_manifest(location, text, kind)
    folder = cache / location / manifest.files_folder
    for file in manifest.files:
        target = folder / file.path
        if not _is_intact(target, file, digest):
            private_folder(target.parent)
            partial = private_file(target.with_name(target.name + ".part"))
            store.download(f"{location}/{manifest.files_folder}/{file.path}", partial)
            partial.replace(target)
    artifact = _verified(location, folder, manifest, digest)
    partial = private_file(copy.with_name(f"{MANIFEST}.part"))
    partial.write_bytes(text)
    partial.replace(copy)
    return artifact


def kept_copies(cache: Path) -> dict[str, Path]:
    """Return the folders of the local copies of artifacts, by location; those that are not complete yet, too."""
    folders = {folder.parent for folder in cache.rglob(f"{_FILES}*") if folder.is_dir()}
    return {folder.relative_to(cache).as_posix(): folder for folder in folders}


def remove_copies(cache: Path, *, keep: Collection[str]) -> list[str]:
    """Remove the local copies of artifacts except those of some locations; return the locations that were removed.

    A process that has mapped a file keeps it until it is closed.
    """
    copies = kept_copies(cache)
    removed = sorted(copies.keys() - set(keep))
    for location in removed:
        shutil.rmtree(copies[location], ignore_errors=True)
    return removed


def _is_intact(path: Path, file: ArtifactFile, digest: Callable[[Path], str]) -> bool:
    return path.is_file() and path.stat().st_size == file.bytes and digest(path) == file.sha256


def _verified(location: str, folder: Path, manifest: Manifest, digest: Callable[[Path], str]) -> Published[Manifest]:
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            raise CorruptArtifact(f"artifact {location}: `{file.path}` is missing, want {file.bytes} bytes")
        if (size := path.stat().st_size) != file.bytes or (actual_digest := digest(path)) != file.sha256:
            actual = f"{size} bytes" if size != file.bytes else f"sha256 {actual_digest}"
            raise CorruptArtifact(
                f"artifact {location}: `{file.path}`: got {actual}, want {file.bytes} bytes, sha256 {file.sha256}"
            )
    return Published(folder, manifest)


def read_manifest(store: Store, location: str) -> ArtifactManifest:
    """Return the manifest of an artifact, without its files; the errors of `open_artifact`."""
    return _parse_manifest(location, _manifest_text(store, location), ArtifactManifest)


def read_feature_manifest(store: Store, location: str) -> FeatureManifest:
    """Return the manifest of a snapshot of features, without its files; the errors of `open_published`."""
    return _parse_manifest(location, _manifest_text(store, location), FeatureManifest)


def _manifest_text(store: Store, location: str) -> bytes:
    try:
        return store.get(f"{location}/{MANIFEST}")
    except ResourceNotFound as error:
        raise ResourceNotFound(f"`artifact`: got {location}, where nothing is published") from error


def _parse_manifest(location: str, text: bytes, kind: type[Manifest]) -> Manifest:
    manifest = kind()
    try:
        json_format.Parse(text, manifest)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptArtifact(f"artifact {location}: the manifest cannot be read: {error}") from error
    if manifest.format_version != FORMAT_VERSION:
        raise CorruptArtifact(
            f"artifact {location}: `format_version`: got {manifest.format_version}, want {FORMAT_VERSION}; "
            "another version of Tailorbird wrote it: have it made anew"
        )
    for path in (manifest.files_folder, *(file.path for file in manifest.files)):
        if not path or path.startswith("/") or ".." in Path(path).parts:
            raise CorruptArtifact(f"artifact {location}: `path`: got {path!r}, want one inside of the artifact")
    return manifest
