"""UserSearchService on a real server: what trainers are asked, what operators are told, and that no id is kept."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from common import errors
from common.deletions import id_digest
from protos.tailorbird.control.v1 import common_pb2, data_deletion_job_pb2, dataset_group_pb2
from protos.tailorbird.control.v1 import user_search_service_pb2 as api
from protos.tailorbird.control.v1.user_search_service_pb2_grpc import UserSearchServiceStub
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.internal.v1.serving_pb2 import WatchServingAssignmentsRequest
from tests.control_plane.wire import make_dataset, make_group, refused, take_job, unique_name

USER = "somebody-who-left"
ROLE = "arn:aws:iam::123456789012:role/Personalize"


@pytest.fixture
def searches(grpc_stub):
    return grpc_stub.with_role(UserSearchServiceStub, "operator")


@pytest.fixture
def group(grpc_stub):
    made = make_group(grpc_stub)
    make_dataset(grpc_stub, made)
    return made


def create(searches, group, **more):
    request = api.CreateUserSearchRequest(dataset_group_arn=group, user_id=USER, **more)
    return searches.CreateUserSearch(request).user_search_arn


def describe(searches, arn):
    return searches.DescribeUserSearch(api.DescribeUserSearchRequest(user_search_arn=arn)).user_search


def delete_users(stubs, group):
    request = data_deletion_job_pb2.CreateDataDeletionJobRequest(
        job_name=unique_name("leavers"),
        dataset_group_arn=group,
        role_arn=ROLE,
        data_source=common_pb2.DataSource(data_location="s3://bucket/users.csv"),
    )
    return stubs.control.CreateDataDeletionJob(request).data_deletion_job_arn


def finish(stubs, arn, **result):
    job = take_job(stubs, arn)
    stubs.jobs.CompleteJob(jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token, **result))
    return job


def test_a_search_asks_a_trainer_for_a_digest_and_shows_what_it_found(world, grpc_stub, searches, group):
    grpc_stub.serving.WatchServingAssignments(WatchServingAssignmentsRequest(runtime_id="host-7-0", wait_seconds=0))
    arn = create(searches, group)
    assert describe(searches, arn).status == common_pb2.RESOURCE_STATUS_CREATE_PENDING
    report = api.UserSearchReport(findings=[api.UserFinding(place=api.USER_PLACE_DATASET, name="INTERACTIONS", rows=0)])

    job = finish(grpc_stub, arn, user_search=jobs_pb2.UserSearchResult(report=report))

    payload = job.user_search
    assert (payload.user, [table.dataset_type for table in payload.tables]) == (id_digest(USER), ["INTERACTIONS"])
    assert payload.tables[0].location.startswith(f"{payload.group_location}/")
    shown = describe(searches, arn)
    assert (shown.status, shown.report) == (common_pb2.RESOURCE_STATUS_ACTIVE, report)
    assert "host-7-0" in shown.runtime_ids
    assert USER not in json_format.MessageToJson(job) + json_format.MessageToJson(shown)


def test_a_deletion_names_its_group_and_its_folder_in_the_ledger(grpc_stub, searches, group):
    deletion = delete_users(grpc_stub, group)
    location = take_job(grpc_stub, deletion).data_deletion.location

    arn = searches.CreateUserSearch(
        api.CreateUserSearchRequest(user_id=USER, data_deletion_job_arn=deletion)
    ).user_search_arn

    assert take_job(grpc_stub, arn).user_search.deletion_location == location
    another = make_group(grpc_stub)
    request = api.CreateUserSearchRequest(dataset_group_arn=another, user_id=USER, data_deletion_job_arn=deletion)
    assert "want a deletion of" in refused(searches.CreateUserSearch, request).message


def test_a_search_that_fails_says_why(grpc_stub, searches, group):
    arn = create(searches, group)
    job = take_job(grpc_stub, arn)
    grpc_stub.jobs.FailJob(
        jobs_pb2.FailJobRequest(job_id=job.job_id, lease_token=job.lease_token, failure_reason="the ledger is damaged")
    )

    shown = describe(searches, arn)
    assert (shown.status, shown.failure_reason) == (common_pb2.RESOURCE_STATUS_CREATE_FAILED, "the ledger is damaged")


def test_few_searches_of_a_group_wait_and_few_are_kept(grpc_stub, searches):
    group = make_group(grpc_stub)  # also without datasets: models may be left
    searched = [create(searches, group) for _ in range(5)]
    request = api.CreateUserSearchRequest(dataset_group_arn=group, user_id=USER)
    assert isinstance(refused(searches.CreateUserSearch, request), errors.LimitExceeded)
    ended = set()
    while ended != set(searched):  # in whatever order they are handed out
        job = grpc_stub.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
        if job.resource_arn in searched:
            done = jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token)
            done.user_search.SetInParent()
            grpc_stub.jobs.CompleteJob(done)
            ended.add(job.resource_arn)
    for _ in range(16):
        finish(grpc_stub, create(searches, group), user_search=jobs_pb2.UserSearchResult())

    gone = refused(searches.DescribeUserSearch, api.DescribeUserSearchRequest(user_search_arn=searched[0]))

    assert isinstance(gone, errors.ResourceNotFound)
    assert describe(searches, searched[1]).status == common_pb2.RESOURCE_STATUS_ACTIVE


def test_a_search_goes_with_its_group_and_its_trainer_may_be_late(grpc_stub, searches):
    group = make_group(grpc_stub)
    arn = create(searches, group)
    job = take_job(grpc_stub, arn)
    grpc_stub.control.DeleteDatasetGroup(dataset_group_pb2.DeleteDatasetGroupRequest(dataset_group_arn=group))

    done = jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token)
    done.user_search.SetInParent()
    grpc_stub.jobs.CompleteJob(done)

    request = api.DescribeUserSearchRequest(user_search_arn=arn)
    assert isinstance(refused(searches.DescribeUserSearch, request), errors.ResourceNotFound)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"user_id": ""}, "userId"),
        ({"user_id": "x" * 257}, "userId"),
        ({"dataset_group_arn": ""}, "datasetGroupArn"),
        ({"data_deletion_job_arn": "x"}, "dataDeletionJobArn"),
    ],
)
def test_malformed_requests_are_refused(searches, group, members, field):
    request = api.CreateUserSearchRequest(**{"dataset_group_arn": group, "user_id": USER, **members})
    error = refused(searches.CreateUserSearch, request)
    assert isinstance(error, errors.InvalidInput)
    assert field in error.message


@pytest.mark.parametrize("role", [None, "client", "gateway", "trainer", "runtime", "events"])
def test_operators_alone_may_look_for_users(grpc_stub, role):
    stub = grpc_stub.with_role(UserSearchServiceStub, role)
    kind = errors.PermissionDenied if role else errors.Unauthenticated
    assert isinstance(refused(stub.CreateUserSearch, api.CreateUserSearchRequest(user_id=USER)), kind)
    assert isinstance(refused(stub.DescribeUserSearch, api.DescribeUserSearchRequest()), kind)
