"""StorageService on a real server: what jobs counted comes out by resource, to operators alone."""

from __future__ import annotations

import grpc
import pytest

from common import errors
from common.rpc import from_rpc_error
from control_plane.domain.jobs import JobKind
from protos.tailorbird.control.v1 import storage_service_pb2 as api
from protos.tailorbird.control.v1.storage_service_pb2_grpc import StorageServiceStub
from protos.tailorbird.internal.v1.jobs_pb2 import StorageMaintenanceResult
from protos.tailorbird.storage.v1.storage_usage_pb2 import FolderUsage, StorageUsage, TableUsage
from tests.control_plane.world import EVERYTHING


@pytest.fixture
def operator(grpc_stub):
    return grpc_stub.with_role(StorageServiceStub, "operator")


def listed(operator) -> dict[str, api.DatasetGroupStorage]:
    groups, request = {}, api.ListStorageUsageRequest(max_results=2)
    while True:
        page = operator.ListStorageUsage(request)
        assert len(page.dataset_groups) <= 2
        groups |= {group.dataset_group_arn: group for group in page.dataset_groups}
        if not page.next_token:
            return groups
        request.next_token = page.next_token


def start(operator, group) -> api.StartStorageMaintenanceResponse:
    return operator.StartStorageMaintenance(api.StartStorageMaintenanceRequest(dataset_group_arn=group))


def maintain(world, operator, group, usage):
    assert start(operator, group).is_started
    lease = world.lease("trainer", JobKind.STORAGE_MAINTENANCE)
    complete(world, lease, StorageMaintenanceResult(usage=usage))


def complete(world, lease, result) -> None:
    world.queue.complete(lease.job.id, lease.token, kind=JobKind.STORAGE_MAINTENANCE, result=result)


def refused(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return from_rpc_error(caught.value)


def test_what_was_counted_is_shown_by_resource_with_those_who_use_it(world, operator):
    version = world.active_version()
    row = world.resources.versions.describe(version)
    group = row.dataset_group_arn
    campaign = world.campaign(version)
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    before = listed(operator)[group]
    assert not before.HasField("measured_at")
    assert not before.datasets
    folder = dataset.location.rpartition("/")[0]
    usage = StorageUsage(
        tables=[TableUsage(location=dataset.location, rows=5000, bytes=70), TableUsage(location="datasets/gone")],
        artifacts=[
            FolderUsage(location=row.artifact_location, bytes=100, objects=3),
            FolderUsage(location=f"{row.artifact_location}-updates", bytes=20, objects=2),
        ],
        deletions=FolderUsage(location=f"{folder}/deletions", bytes=5, objects=1),
        features=[FolderUsage(location=f"{folder}/features/ITEMS-1/7", bytes=6, objects=1)],
        others=[
            FolderUsage(location=f"{folder}/ITEMS-of-before", bytes=7, objects=1),
            FolderUsage(location=dataset.location, bytes=1, objects=1),
        ],
        is_partial=True,
    )
    usage.measured_at.FromDatetime(world.clock.now())

    maintain(world, operator, group, usage)

    shown = listed(operator)[group]
    assert shown.measured_at == usage.measured_at
    assert [(item.dataset_arn, item.table.rows) for item in shown.datasets] == [(dataset.arn, 5000)]
    (artifact,) = shown.solution_versions
    counted = (artifact.solution_version_arn, artifact.bytes, artifact.objects)
    served_with_updates = row.perform_incremental_update
    assert counted == (version, 120 if served_with_updates else 100, 5 if served_with_updates else 3)
    assert artifact.used_by_arns == [campaign]
    assert (shown.deletions.bytes, [item.bytes for item in shown.features]) == (5, [6])
    assert [item.location for item in shown.others] == [f"{folder}/ITEMS-of-before"]
    assert shown.is_partial


def test_groups_of_all_accounts_are_listed(world, operator):
    theirs = world.resources_of("222222222222").dataset_groups.create("theirs").arn
    ours = world.group()
    assert {theirs, ours} <= listed(operator).keys()


def test_maintenance_waits_for_other_jobs_and_is_submitted_once(world, operator):
    group = world.group()
    assert not start(operator, group).is_started

    world.import_job(world.dataset(group))
    busy = start(operator, group)
    assert (busy.is_started, busy.unfinished_jobs) == (False, 1)

    world.finish_next({"imported_rows": 5000, "files": 1})
    assert [start(operator, group).is_started for _ in range(2)] == [True, True]
    lease = world.lease("trainer", JobKind.STORAGE_MAINTENANCE)
    assert start(operator, group).is_started
    complete(world, lease, StorageMaintenanceResult())
    assert world.lease("trainer", JobKind.STORAGE_MAINTENANCE) is None


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        ("", errors.InvalidInput),
        ("arn", errors.InvalidInput),
        ("arn:aws:personalize:eu-west-1:123456789012:dataset-group/none", errors.ResourceNotFound),
    ],
)
def test_a_group_has_to_be_named(operator, arn, kind):
    request = api.StartStorageMaintenanceRequest(dataset_group_arn=arn)
    assert isinstance(refused(operator.StartStorageMaintenance, request), kind)


@pytest.mark.parametrize("size", [0, 101])
def test_pages_are_bounded(operator, size):
    request = api.ListStorageUsageRequest(max_results=size)
    assert isinstance(refused(operator.ListStorageUsage, request), errors.InvalidInput)


@pytest.mark.parametrize("role", ["client", "trainer", "runtime", "events", "gateway"])
def test_nobody_but_operators_learns_or_starts_anything(grpc_stub, world, role):
    stub = grpc_stub.with_role(StorageServiceStub, role)
    request = api.StartStorageMaintenanceRequest(dataset_group_arn=world.group())
    assert isinstance(refused(stub.ListStorageUsage, api.ListStorageUsageRequest()), errors.PermissionDenied)
    assert isinstance(refused(stub.StartStorageMaintenance, request), errors.PermissionDenied)
