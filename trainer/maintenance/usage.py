"""Counts what a dataset group has in the store, in one pass through its folders.

What is counted is what listings say, in bounded memory: a table with many files costs time and not space. Other writers
go on meanwhile, so a file that a commit adds during the count may be taken for one that no version needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Final

from common.clock import Clock
from common.deletions import deletions_folder
from common.errors import CorruptArtifact, ResourceNotFound
from common.feature_folders import features_folder
from common.storage import Store, StoredObject
from common.table_maintenance import MaintainedTable
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1 import storage_usage_pb2
from trainer.deletions.tables import reports_folder

__all__ = ["MAX_COUNTED", "storage_usage"]

#: Objects that one job counts: a service lists a thousand at once.
MAX_COUNTED: Final = 1_000_000
#: Entries of one kind that a result names, the largest ones.
_MAX_FOLDERS: Final = 100
_LOG: Final = "_delta_log"
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


def storage_usage(
    store: Store, payload: jobs_pb2.StorageMaintenancePayload, clock: Clock, *, max_objects: int = MAX_COUNTED
) -> storage_usage_pb2.StorageUsage:
    """Return what the tables and artifacts of a group, and what lies beside them, take.

    Args:
        store: The shared store.
        payload: Names the folders.
        clock: What the time of the count is told by.
        max_objects: Objects that are counted at most; beyond it the result is partial.

    Raises:
        Unavailable: The store cannot be reached.
    """
    objects = _Objects(store, max_objects)
    usage = storage_usage_pb2.StorageUsage()
    tables = {PurePosixPath(location).name: _TableCount.begin(store, location) for location in payload.table_locations}
    ledger = PurePosixPath(deletions_folder(f"{payload.group_folder}/-")).name
    snapshots = PurePosixPath(features_folder(f"{payload.group_folder}/-")).parent.name
    features: dict[str, _FolderCount] = {}
    others: dict[str, _FolderCount] = {}
    deletions = _FolderCount()
    for item in objects.below(payload.group_folder):
        name, *rest = PurePosixPath(item.path).relative_to(payload.group_folder).parts
        if name in tables:
            tables[name].add("/".join(rest), item)
        elif name == ledger:
            deletions.add(item)
        elif name == snapshots:
            features.setdefault("/".join([name, *rest[:2]]), _FolderCount()).add(item)
        else:
            others.setdefault(name, _FolderCount()).add(item)
    retention = timedelta(hours=payload.retention_hours)
    usage.tables.extend(count.message(retention=retention) for count in tables.values())
    if deletions.objects:
        usage.deletions.CopyFrom(deletions.message(f"{payload.group_folder}/{ledger}"))
    usage.features.extend(_largest(features, payload.group_folder))
    usage.others.extend(_largest(others, payload.group_folder))
    for location in (*payload.artifact_locations, *(updates.location for updates in payload.updates)):
        count = _FolderCount()
        for item in objects.below(location):
            count.add(item)
        usage.artifacts.append(count.message(location))
    usage.is_partial = objects.is_partial
    usage.measured_at.FromDatetime(clock.now())
    return usage


@dataclass(slots=True)
class _Objects:
    """Lists folders until the bound of all together is reached."""

    store: Store
    left: int
    is_partial: bool = False

    def below(self, location: str) -> Iterator[StoredObject]:
        for item in self.store.list(location):
            if not self.left:
                self.is_partial = True
                return
            self.left -= 1
            yield item


@dataclass(slots=True)
class _FolderCount:
    """Objects of a folder."""

    bytes: int = 0
    objects: int = 0

    def add(self, item: StoredObject) -> None:
        self.bytes += item.bytes
        self.objects += 1

    def message(self, location: str) -> storage_usage_pb2.FolderUsage:
        return storage_usage_pb2.FolderUsage(location=location, bytes=self.bytes, objects=self.objects)


@dataclass(slots=True)
class _TableCount:
    """Objects of a table's folder, told apart.

    Attributes:
        location: The folder.
        current: Names of the files of the current version.
        rows: Of that version.
        damage: Why the version could not be read; empty when it could.
        changed: When the last version was committed, or the last file was written that no version has.
    """

    location: str
    current: frozenset[str]
    rows: int
    damage: str
    used: _FolderCount = field(default_factory=_FolderCount)
    old: _FolderCount = field(default_factory=_FolderCount)
    log: _FolderCount = field(default_factory=_FolderCount)
    reports: _FolderCount = field(default_factory=_FolderCount)
    versions: int = 0
    changed: datetime = _NEVER

    @classmethod
    def begin(cls, store: Store, location: str) -> _TableCount:
        try:
            rows, names = MaintainedTable(store, location).current_files()
            return cls(location, names, rows, "")
        except ResourceNotFound:
            return cls(location, frozenset(), 0, "")
        except CorruptArtifact as error:
            return cls(location, frozenset(), 0, error.message)

    def add(self, name: str, item: StoredObject) -> None:
        """Count an object by its name within the folder."""
        if name.startswith(f"{_LOG}/"):
            self.log.add(item)
            if name.endswith(".json"):
                self.versions += 1
                self.changed = max(self.changed, item.modified)
        elif item.path.startswith(f"{reports_folder(self.location)}/"):
            self.reports.add(item)
        elif name in self.current:
            self.used.add(item)
        else:
            self.old.add(item)
            self.changed = max(self.changed, item.modified)

    def message(self, *, retention: timedelta) -> storage_usage_pb2.TableUsage:
        message = storage_usage_pb2.TableUsage(
            location=self.location,
            rows=self.rows,
            files=self.used.objects,
            bytes=self.used.bytes,
            old_files=self.old.objects,
            old_bytes=self.old.bytes,
            versions=self.versions,
            log_bytes=self.log.bytes,
            reports=self.reports.objects,
            report_bytes=self.reports.bytes,
        )
        if self.damage:
            message.damage = self.damage
        if self.old.objects:
            message.removable_at.FromDatetime(self.changed + retention)
        return message


def _largest(counts: Mapping[str, _FolderCount], folder: str) -> list[storage_usage_pb2.FolderUsage]:
    largest = sorted(counts.items(), key=lambda entry: (-entry[1].bytes, entry[0]))[:_MAX_FOLDERS]
    return [count.message(f"{folder}/{name}") for name, count in largest]
