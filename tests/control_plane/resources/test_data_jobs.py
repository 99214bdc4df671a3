"""Dataset export jobs and data deletion jobs."""

from __future__ import annotations

from datetime import UTC

import pytest

from common.errors import InvalidInput, LimitExceeded, ResourceInUse, ResourceNotFound
from control_plane.domain.jobs import JobKind
from control_plane.domain.quotas import Quotas
from control_plane.jobs.payloads import read_payload
from control_plane.resources.base import PageRequest
from protos.tailorbird.control.v1.common_pb2 import S3DataConfig
from protos.tailorbird.control.v1.dataset_export_job_pb2 import DatasetExportJobOutput
from protos.tailorbird.internal.v1.jobs_pb2 import (
    DataDeletionPayload,
    DataDeletionResult,
    DatasetExportPayload,
    DatasetExportResult,
    StorageRemovalPayload,
    StorageRemovalResult,
)
from tests.control_plane.world import ACCOUNT, EVERYTHING, make_world

ROLE = f"arn:aws:iam::{ACCOUNT}:role/Personalize"


def export(world, dataset, name="all", path="s3://results/exports/", **members):
    output = DatasetExportJobOutput(s3_data_destination=S3DataConfig(path=path))
    return world.resources.exports.create(name, dataset_arn=dataset, role_arn=ROLE, job_output=output, **members)


def deletion(world, group, name="leavers", location="s3://lake/users.csv"):
    return world.resources.deletions.create(name, dataset_group_arn=group, role_arn=ROLE, data_location=location)


@pytest.fixture
def group(world):
    return world.group()


@pytest.fixture
def dataset(world, group):
    return world.dataset(group)


def test_an_export_waits_keeps_its_dataset_and_takes_what_was_put_by_default(world, dataset):
    row = export(world, dataset)

    assert (row.status, row.ingestion_mode) == ("CREATE PENDING", "PUT")
    assert world.resources.exports.describe(row.arn).job_output.s3_data_destination.path == "s3://results/exports/"
    assert [job.arn for job in world.resources.exports.list(EVERYTHING, dataset_arn=dataset).items] == [row.arn]
    with pytest.raises(ResourceInUse, match="dataset-export-job"):
        world.resources.datasets.delete(dataset)


@pytest.mark.parametrize("path", ["out", "s3://results", "http://out/", "s3://O/x/"])
def test_exports_go_to_folders(world, dataset, path):
    with pytest.raises(InvalidInput, match=r"jobOutput\.s3DataDestination\.path"):
        export(world, dataset, path=path)
    with pytest.raises(ResourceNotFound):
        export(world, f"{dataset}X")


def test_deletion_jobs_have_states_of_their_own_and_are_listed_newest_first(world, group, dataset):
    first = deletion(world, group)
    world.clock.advance(seconds=1)
    second = deletion(world, group, "more")

    assert world.resources.deletions.describe(first.arn).status == "PENDING"
    page = world.resources.deletions.list(PageRequest(max_results=1), dataset_group_arn=group)
    assert [job.arn for job in page.items] == [second.arn]
    rest = world.resources.deletions.list(PageRequest(next_token=page.next_token), dataset_group_arn=group)
    assert [job.arn for job in rest.items] == [first.arn]
    with pytest.raises(ResourceInUse, match="data-deletion-job"):
        world.resources.datasets.delete(dataset)


def test_there_must_be_data_to_delete(world, group):
    with pytest.raises(InvalidInput, match="datasetGroupArn"):
        deletion(world, group)
    with pytest.raises(InvalidInput, match=r"dataSource\.dataLocation"):
        deletion(world, group, location="users.csv")


def test_waiting_jobs_are_limited(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(pending_exports=1, pending_deletions_per_group=1))
    group, other = world.group(), world.group()
    dataset = world.dataset(group)
    world.dataset(other)
    export(world, dataset)
    deletion(world, group)
    with pytest.raises(LimitExceeded, match="More than 1 resources with PENDING or IN_PROGRESS status"):
        export(world, dataset, "second")
    with pytest.raises(LimitExceeded, match="pending_deletions_per_group"):
        deletion(world, group, "second")
    assert deletion(world, other, "third")
    world.metadata_store.close()


def test_jobs_are_given_to_trainers_that_can_do_them_and_end_with_their_results(world, group, dataset):
    row, gone = export(world, dataset, ingestion_mode="ALL"), deletion(world, group)
    assert world.lease("trainer", JobKind.DATASET_IMPORT, JobKind.SOLUTION_VERSION_TRAINING) is None

    lease = world.lease("trainer", JobKind.DATASET_EXPORT)
    payload = read_payload(lease.job, DatasetExportPayload)
    assert (payload.output_location, payload.job_name) == ("s3://results/exports/", row.job_name)
    assert payload.table.dataset_type == "INTERACTIONS"
    assert world.resources.exports.describe(row.arn).status == "CREATE IN_PROGRESS"
    world.queue.complete(
        lease.job.id, lease.token, kind=JobKind.DATASET_EXPORT, result=DatasetExportResult(exported_rows=7)
    )
    assert world.resources.exports.describe(row.arn).status == "ACTIVE"

    lease = world.lease("trainer", JobKind.DATA_DELETION)
    payload = read_payload(lease.job, DataDeletionPayload)
    name = group.rpartition("/")[2]
    assert payload.location == f"datasets/{ACCOUNT}/{name}/deletions/leavers-{gone.creation_date_time:%Y%m%dT%H%M%S%f}"
    assert payload.began_at.ToDatetime(tzinfo=UTC) == world.clock.now()
    assert world.resources.deletions.describe(gone.arn).status == "IN_PROGRESS"
    world.queue.complete(
        lease.job.id, lease.token, kind=JobKind.DATA_DELETION, result=DataDeletionResult(deleted_rows=3)
    )
    described = world.resources.deletions.describe(gone.arn)
    assert (described.status, described.num_deleted) == ("COMPLETED", 3)


def test_ledger_goes_with_its_group(world):
    group = world.group()
    dataset = world.dataset(group)
    deletion(world, group)
    lease = world.lease("trainer", JobKind.DATA_DELETION)
    location = read_payload(lease.job, DataDeletionPayload).location
    world.queue.complete(lease.job.id, lease.token, kind=JobKind.DATA_DELETION, result=DataDeletionResult())
    world.resources.datasets.delete(dataset)
    lease = world.lease("trainer", JobKind.STORAGE_REMOVAL)
    world.queue.complete(lease.job.id, lease.token, kind=JobKind.STORAGE_REMOVAL, result=StorageRemovalResult())

    world.resources.dataset_groups.delete(group)

    lease = world.lease("trainer", JobKind.STORAGE_REMOVAL)
    assert list(read_payload(lease.job, StorageRemovalPayload).locations) == [location]
    world.queue.complete(lease.job.id, lease.token, kind=JobKind.STORAGE_REMOVAL, result=StorageRemovalResult())
