"""StorageService: what takes the room in the store, for operators of the installation."""

from __future__ import annotations

import grpc

from control_plane.domain.fields import required
from control_plane.metadata_store import MetadataStore
from control_plane.resources.base import PageRequest
from control_plane.resources.storage import GroupStorage, Storage
from control_plane.servicers.control.messages import check_message
from control_plane.servicers.control.methods import optional
from protos.tailorbird.control.v1 import storage_service_pb2, storage_service_pb2_grpc

__all__ = ["STORAGE_SERVICE", "StorageServicer"]

STORAGE_SERVICE = storage_service_pb2.DESCRIPTOR.services_by_name["StorageService"]
_DEFAULT_GROUPS = 20


class StorageServicer(storage_service_pb2_grpc.StorageServiceServicer):
    """Turns calls of operators into units of work of all accounts.

    Args:
        metadata_store: The database of the groups.
        storage: Lists what is stored, and submits jobs.
    """

    def __init__(self, metadata_store: MetadataStore, storage: Storage) -> None:
        self._metadata_store = metadata_store
        self._storage = storage

    def ListStorageUsage(
        self, request: storage_service_pb2.ListStorageUsageRequest, context: grpc.ServicerContext
    ) -> storage_service_pb2.ListStorageUsageResponse:
        """Return what was last counted of one page of the dataset groups."""
        check_message(request)
        size = request.max_results if request.HasField("max_results") else _DEFAULT_GROUPS
        page = PageRequest(optional(request, "next_token"), size)
        groups, next_token = self._metadata_store.view(lambda unit: self._storage.list(unit, page))
        return storage_service_pb2.ListStorageUsageResponse(
            dataset_groups=[_message(item) for item in groups], next_token=next_token
        )

    def StartStorageMaintenance(
        self, request: storage_service_pb2.StartStorageMaintenanceRequest, context: grpc.ServicerContext
    ) -> storage_service_pb2.StartStorageMaintenanceResponse:
        """Submit a maintenance job of a group, which counts what it has."""
        check_message(request)
        arn = required("datasetGroupArn", request.dataset_group_arn)
        started = self._metadata_store.transact(lambda unit: self._storage.start(unit, arn))
        return storage_service_pb2.StartStorageMaintenanceResponse(
            is_started=started.is_started, unfinished_jobs=started.unfinished_jobs
        )


def _message(item: GroupStorage) -> storage_service_pb2.DatasetGroupStorage:
    usage = item.usage
    message = storage_service_pb2.DatasetGroupStorage(
        dataset_group_arn=item.group.arn,
        datasets=[
            storage_service_pb2.DatasetStorage(dataset_arn=arn, table=table) for arn, table in item.tables.items()
        ],
        solution_versions=[
            storage_service_pb2.SolutionVersionStorage(
                solution_version_arn=version.arn,
                bytes=version.bytes,
                objects=version.objects,
                used_by_arns=version.used_by,
            )
            for version in item.versions
        ],
        features=usage.features,
        others=item.others,
        is_partial=usage.is_partial,
    )
    if usage.HasField("measured_at"):
        message.measured_at.CopyFrom(usage.measured_at)
    if usage.HasField("deletions"):
        message.deletions.CopyFrom(usage.deletions)
    if item.group.maintenance_due_at is not None:
        message.maintenance_due_at.FromDatetime(item.group.maintenance_due_at)
    return message
