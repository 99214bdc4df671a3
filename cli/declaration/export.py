"""Writes a declaration of what exists: applied where it comes from it changes nothing, elsewhere it makes the same.

What only this installation has is left out: ARNs of versions, tracking ids, jobs whose data was replaced since. So is
what has failed or is being deleted: to declare it would ask for something else than what exists.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from cli.declaration.existing import DELETING, FAILED, Existing, ExistingGroup, Reader, last_part
from cli.declaration.kinds import Kind
from cli.declaration.members import to_members
from cli.declaration.model import DATASET_TYPES
from common.errors import ResourceNotFound
from protos.tailorbird.control.v1 import common_pb2

__all__ = ["export"]

_ABSENT: Final = DELETING | FAILED


def export(reader: Reader, group: str | None = None) -> dict[str, Any]:
    """Return a declaration of one group with the schemas of its datasets, or of everything.

    Raises:
        ResourceNotFound: There is no such group.
    """
    names = reader.group_names() if group is None else [group]
    groups = {name: existing for name in names if (existing := reader.group(name)) is not None}
    if group is not None and group not in groups:
        raise ResourceNotFound(f"`group`: got {group}, which does not exist, want the name of a dataset group")
    groups = {name: existing for name, existing in groups.items() if existing.group.status not in _ABSENT}
    used = (last_part(item.described.schema_arn) for existing in groups.values() for item in existing.datasets.values())
    schemas = sorted(set(used)) if group is not None else reader.schema_names()
    return {
        "version": 1,
        "schemas": {name: item for name in schemas if (item := _schema(reader, name)) is not None},
        "datasetGroups": {name: _group(reader, existing) for name, existing in groups.items()},
    }


def _schema(reader: Reader, name: str) -> dict[str, Any] | None:
    existing = reader.find(Kind.SCHEMA, name)
    if existing is None:
        return None
    return {**_members(reader, existing), "schema": json.loads(existing.described.schema)}


def _group(reader: Reader, existing: ExistingGroup) -> dict[str, Any]:
    group = _members(reader, existing.group)
    datasets = {
        kind: _dataset(reader, existing.datasets[kind.upper()], existing.imports.get(kind.upper(), ()))
        for kind in DATASET_TYPES
        if kind.upper() in existing.datasets and existing.datasets[kind.upper()].status not in _ABSENT
    }
    solutions = {item.name: _solution(reader, item, existing) for item in _present(existing.solutions.values())}
    trackers = [_members(reader, item) for item in _present(existing.trackers.values())]
    parts = {
        "datasets": datasets,
        "eventTracker": trackers[0] if trackers else {},
        "filters": {item.name: _members(reader, item) for item in _present(existing.filters.values())},
        "solutions": solutions,
        "recommenders": {item.name: _members(reader, item) for item in _present(existing.recommenders.values())},
    }
    return {**group, **{key: value for key, value in parts.items() if value}}


def _dataset(reader: Reader, existing: Existing, jobs: Sequence[Any]) -> dict[str, Any]:
    dataset = {**_members(reader, existing), "schema": last_part(existing.described.schema_arn)}
    imports = {
        job.name: {**_members(reader, job), "dataLocation": job.described.data_source.data_location}
        for job in _layers(reader, jobs)
    }
    return {**dataset, "imports": imports} if imports else dataset


def _layers(reader: Reader, jobs: Sequence[Any]) -> list[Existing]:
    """Return the jobs whose data a dataset has: the newest FULL one, and the INCREMENTAL ones since."""
    layers: list[Existing] = []
    for job in reversed(jobs):
        if job.status != common_pb2.RESOURCE_STATUS_ACTIVE:
            continue
        if (existing := reader.find(Kind.IMPORT_JOB, job.job_name)) is not None:
            layers.insert(0, existing)
        if job.import_mode != common_pb2.IMPORT_MODE_INCREMENTAL:
            break
    return layers


def _solution(reader: Reader, existing: Existing, group: ExistingGroup) -> dict[str, Any]:
    solution = _members(reader, existing)
    campaigns = {
        item.name: _members(reader, item) for item in _present(group.campaigns.get(existing.name, {}).values())
    }
    versions = group.versions.get(existing.name, ())
    if campaigns:
        solution["campaigns"] = campaigns
    elif any(version.status == common_pb2.RESOURCE_STATUS_ACTIVE for version in versions):
        solution["train"] = True
    return solution


def _present(resources: Iterable[Existing]) -> list[Existing]:
    return [item for item in resources if item.status not in _ABSENT]


def _members(reader: Reader, existing: Existing) -> dict[str, Any]:
    """Return the members that a request would create a resource with, but for those of its place in the file."""
    fields = [field.name for field in existing.kind.create_request.fields if field.name not in existing.kind.placed]
    members = to_members(existing.described, only=fields)
    if existing.kind.is_taggable and (tags := reader.api.tags(existing.arn)):
        members["tags"] = [{"tagKey": key, "tagValue": value} for key, value in sorted(tags.items())]
    return members
