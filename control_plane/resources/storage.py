"""What dataset groups have in the store: the jobs that put it in order and count it, and what they counted last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control_plane.app_context import AppContext
from control_plane.domain.jobs import UNFINISHED, JobKind
from control_plane.domain.states import Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetGroup, Deployment, Job, SolutionVersion
from control_plane.resources.artifacts import UPDATES_SUFFIX, served_artifact, stored_folders, updates_folder
from control_plane.resources.base import PageRequest, ResourceOperations, fetch, list_page
from control_plane.serving.assignments import deployment_in_progress
from control_plane.serving.targets import all_targets
from protos.tailorbird.internal.v1.jobs_pb2 import ArtifactUpdates, StorageMaintenancePayload
from protos.tailorbird.storage.v1.storage_usage_pb2 import FolderUsage, StorageUsage, TableUsage

__all__ = ["GroupStorage", "StartedMaintenance", "Storage", "VersionStorage", "is_named"]

#: Artifacts that one job looks through, those of the newest trainings: older ones were looked through before.
_MAX_VERSIONS: Final = 200
#: Versions of a group that a list shows.
_MAX_SHOWN: Final = 1000
_COUNTED_JOBS: Final = 100
#: States in which nobody writes the artifact of a training any more.
_ENDED: Final = frozenset({Status.ACTIVE, Status.CREATE_FAILED, Status.CREATE_STOPPED})


@dataclass(frozen=True, slots=True)
class VersionStorage:
    """What a solution version has in the store.

    Attributes:
        arn: The version.
        bytes: Of all its artifacts.
        objects: How many objects they are; None where no job has counted them.
        used_by: ARNs of the campaigns and recommenders that serve it, or are about to.
    """

    arn: str
    bytes: int
    objects: int | None
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupStorage:
    """What a dataset group has in the store.

    Attributes:
        group: The group.
        usage: What was counted last; empty when nothing was.
        tables: By ARN of the dataset.
        versions: Its solution versions.
        others: Folders that no resource names.
    """

    group: DatasetGroup
    usage: StorageUsage
    tables: Mapping[str, TableUsage]
    versions: tuple[VersionStorage, ...]
    others: tuple[FolderUsage, ...]


@dataclass(frozen=True, slots=True)
class StartedMaintenance:
    """What came of a request for maintenance.

    Attributes:
        is_started: Whether a maintenance job waits or runs now.
        unfinished_jobs: Other jobs of the group that have to end before.
    """

    is_started: bool
    unfinished_jobs: int


class Storage(ResourceOperations):
    """Operations on what is stored, for units of work of all accounts.

    Args:
        app_context: Clock and ids.
        retention_hours: How long files stay that nothing names any more.
        report_hours: How long reports of failed imports stay.
    """

    def __init__(self, app_context: AppContext, *, retention_hours: int, report_hours: int) -> None:
        super().__init__(app_context)
        self._retention_hours = retention_hours
        self._report_hours = report_hours

    def list(self, unit: Unit, page_request: PageRequest) -> tuple[tuple[GroupStorage, ...], str | None]:
        """Return what one page of all dataset groups have in the store, and the token of the next page.

        Raises:
            InvalidInput: `maxResults` is out of range.
            InvalidNextToken: The token is not of this list.
        """
        page = list_page(unit, DatasetGroup, page_request)
        used_by: dict[str, list[str]] = {}
        for target in all_targets(unit):
            serving = None if target.serving_id is None else unit.get(Deployment, target.serving_id)
            for arn in {item.solution_version_arn for item in (serving, deployment_in_progress(unit, target)) if item}:
                used_by.setdefault(arn, []).append(target.arn)
        return tuple(_group_storage(unit, group, used_by) for group in page.items), page.next_token

    def start(self, unit: Unit, arn: str) -> StartedMaintenance:
        """Submit a maintenance job of a group, unless one is unfinished, or other jobs are.

        Raises:
            InvalidInput: The text is no ARN of a dataset group.
            ResourceNotFound: There is no such group.
        """
        group = fetch(unit, DatasetGroup, arn, field="datasetGroupArn", kind="dataset-group")
        if unit.first(Job, dataset_group_arn=arn, kind=JobKind.STORAGE_MAINTENANCE, state=UNFINISHED) is not None:
            return StartedMaintenance(True, 0)
        if unfinished := unit.count(Job, limit=_COUNTED_JOBS, dataset_group_arn=arn, state=UNFINISHED):
            return StartedMaintenance(False, unfinished)
        return StartedMaintenance(self.submit(unit, group), 0)

    def submit(self, unit: Unit, group: DatasetGroup) -> bool:
        """Submit a maintenance job of a group; return False when the group has nothing in the store."""
        versions = unit.find(
            SolutionVersion, dataset_group_arn=group.arn, status=_ENDED, order=["-creation_date_time"],
            limit=_MAX_VERSIONS,
        )  # fmt: skip
        datasets = unit.find(Dataset, dataset_group_arn=group.arn, status=Status.ACTIVE, order=["dataset_type"])
        if not (versions or datasets):
            return False
        payload = StorageMaintenancePayload(
            table_locations=[dataset.location for dataset in datasets],
            artifact_locations=[version.artifact_location for version in versions],
            updates=[
                ArtifactUpdates(location=updates_folder(version), served_location=served_artifact(version))
                for version in versions
                if version.perform_incremental_update or version.updated_artifact_location
            ],
            group_folder=f"datasets/{group.account}/{group.name}",
            retention_hours=self._retention_hours,
            report_hours=self._report_hours,
        )
        enqueue(unit, self._app_context, payload, subject=group.arn, group_arn=group.arn)
        return True


def _group_storage(unit: Unit, group: DatasetGroup, used_by: Mapping[str, list[str]]) -> GroupStorage:
    usage = group.storage_usage or StorageUsage()
    tables = {table.location: table for table in usage.tables}
    datasets = unit.find(Dataset, dataset_group_arn=group.arn, order=["dataset_type"])
    named = {dataset.location for dataset in datasets}
    artifacts = {folder.location: folder for folder in usage.artifacts}
    versions = unit.find(SolutionVersion, dataset_group_arn=group.arn, order=["-creation_date_time"], limit=_MAX_SHOWN)
    return GroupStorage(
        group,
        usage,
        {dataset.arn: tables[dataset.location] for dataset in datasets if dataset.location in tables},
        tuple(_version_storage(version, artifacts, used_by.get(version.arn, [])) for version in versions),
        tuple(folder for folder in usage.others if folder.location not in named),
    )


def _version_storage(
    version: SolutionVersion, artifacts: Mapping[str, FolderUsage], used_by: list[str]
) -> VersionStorage:
    counted = [artifacts[location] for location in stored_folders([version]) if location in artifacts]
    if not counted:
        return VersionStorage(version.arn, version.artifact_bytes or 0, None, tuple(used_by))
    return VersionStorage(
        version.arn,
        sum(folder.bytes for folder in counted),
        sum(folder.objects for folder in counted),
        tuple(used_by),
    )


def is_named(unit: Unit, location: str) -> bool:
    """Return whether a dataset or a solution version has a folder of the store."""
    version = location.removesuffix(UPDATES_SUFFIX)
    return (
        unit.first(Dataset, location=location) is not None
        or unit.first(SolutionVersion, artifact_location=version) is not None
    )
