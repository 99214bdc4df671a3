"""Writes snapshots of features beside the tables of a dataset group.

The snapshot of a version of a table is made once, whoever needs it first. Its folder is named by the version, so that
its publication is that of an artifact: files first, the manifest last and only if absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from google.protobuf.timestamp_pb2 import Timestamp

from common import columns
from common.arrow_schema import frame_schema
from common.artifacts import Published, open_published, publish, read_feature_manifest
from common.avro import AvroSchema
from common.errors import ResourceAlreadyExists, ResourceNotFound
from common.feature_folders import features_location
from common.features.snapshot import FeatureSnapshot
from common.features.writer import write_features
from common.storage import Store
from common.tables import Table
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import TableVersion
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

__all__ = ["open_or_make_snapshot", "publish_snapshot", "snapshot_files"]

_MEMORY_BYTES: Final = 32 * 1024 * 1024
#: Folders of what is needed while a snapshot is made, and of its files.
_WORK, _FILES = "work", "files"


def publish_snapshot(
    store: Store,
    table_location: str,
    schema: str,
    *,
    dataset_type: str,
    version: int,
    folder: Path,
    deletions: Sequence[str] = (),
    memory_bytes: int = _MEMORY_BYTES,
    check: Callable[[], None],
    confirm: Callable[[], None],
) -> FeatureManifest:
    """Make and publish the snapshot of a version of a table, unless there is one; return its manifest.

    Args:
        store: The shared store.
        table_location: Folder of the table, relative to the store's root.
        schema: The Avro schema as JSON text; columns that the version does not have are null.
        dataset_type: ITEMS, USERS or ACTIONS.
        version: Of the table.
        folder: Existing, empty, on this machine: files are made here.
        deletions: Names of the deletions of users that had ended before the version was chosen.
        memory_bytes: How much of the rows is gathered at a time; the process takes several times as much for it.
        check: Called again and again; raises when the work must end.
        confirm: Called once, when everything is ready; raises when it must not be published.

    Raises:
        ResourceNotFound: The table has no such version.
        CorruptArtifact: A file of the table is damaged or missing, or the snapshot that is there cannot be read.
        Unavailable: The store cannot be reached.
        OSError: The folder cannot be written to.
    """
    location = features_location(table_location, version)
    try:
        return read_feature_manifest(store, location)
    except ResourceNotFound:
        pass
    manifest = _make(
        store,
        table_location,
        schema,
        dataset_type=dataset_type,
        version=version,
        folder=folder,
        memory_bytes=memory_bytes,
        check=check,
    )
    manifest.deletions.extend(deletions)
    confirm()
    try:
        return publish(store, location, files=folder / _FILES, manifest=manifest)
    except ResourceAlreadyExists:
        return read_feature_manifest(store, location)


def open_or_make_snapshot(
    store: Store,
    table_location: str,
    schema: str,
    *,
    dataset_type: str,
    version: int,
    folder: Path,
    memory_bytes: int = _MEMORY_BYTES,
    check: Callable[[], None] = lambda: None,
) -> FeatureSnapshot:
    """Open the snapshot of a version of a table; where none with this schema is published, make one for this process.

    Args:
        store: The shared store.
        table_location: Folder of the table, relative to the store's root.
        schema: The Avro schema as JSON text; columns that the version does not have are null.
        dataset_type: ITEMS, USERS or ACTIONS.
        version: Of the table.
        folder: Existing, empty, on this machine: files are kept here for as long as the snapshot is used.
        memory_bytes: As of `publish_snapshot`.
        check: As of `publish_snapshot`.

    Raises:
        ResourceNotFound: The table has no such version.
        CorruptArtifact: A file of the table or of the snapshot is damaged or missing.
        Unavailable: The store cannot be reached.
        OSError: The folder cannot be written to.
    """
    files = snapshot_files(
        store,
        table_location,
        schema,
        dataset_type=dataset_type,
        version=version,
        folder=folder,
        memory_bytes=memory_bytes,
        check=check,
    )
    return FeatureSnapshot.load(files.folder, files.manifest)


def snapshot_files(
    store: Store,
    table_location: str,
    schema: str,
    *,
    dataset_type: str,
    version: int,
    folder: Path,
    memory_bytes: int = _MEMORY_BYTES,
    check: Callable[[], None] = lambda: None,
) -> Published[FeatureManifest]:
    """Do the same as `open_or_make_snapshot`, for other processes: return the files, which `FeatureSnapshot` loads."""
    try:
        published = open_published(
            store, features_location(table_location, version), cache=folder / "published", kind=FeatureManifest
        )
        if published.manifest.schema == schema:
            return published
    except ResourceNotFound:
        pass
    manifest = _make(
        store,
        table_location,
        schema,
        dataset_type=dataset_type,
        version=version,
        folder=folder,
        memory_bytes=memory_bytes,
        check=check,
    )
    return Published(folder / _FILES, manifest)


def _make(
    store: Store,
    table_location: str,
    schema: str,
    *,
    dataset_type: str,
    version: int,
    folder: Path,
    memory_bytes: int,
    check: Callable[[], None],
) -> FeatureManifest:
    """Make the files of a snapshot in a folder of `folder`; return what is known of it before it is published."""
    work, target = folder / _WORK, folder / _FILES
    work.mkdir()
    target.mkdir()
    parsed, table = AvroSchema.parse(schema), Table(store, table_location)
    _, position = table.version_and_position(version)
    n_rows, written = write_features(
        _batches(table, parsed, version), parsed, work=work, target=target, memory_bytes=memory_bytes, check=check
    )
    created_at = Timestamp()
    created_at.GetCurrentTime()
    return FeatureManifest(
        table=TableVersion(dataset_type=dataset_type, location=table_location, version=version),
        schema=schema,
        event_offset=position.offset,
        event_epoch=position.epoch,
        n_rows=n_rows,
        created_at=created_at,
        columns=written,
    )


def _batches(table: Table, schema: AvroSchema, version: int) -> Iterator[pl.DataFrame]:
    types = {**frame_schema(schema), columns.SOURCE: pl.String(), columns.LOG_OFFSET: pl.Int64()}
    for batch in table.batches(list(types), version=version):
        # A column that the schema got later is not in the table before rows have it.
        missing = [pl.lit(None, kind).alias(name) for name, kind in types.items() if name not in batch.columns]
        yield batch.with_columns(missing).select(list(types))
