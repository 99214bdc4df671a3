"""All services on a real server (pytest-grpc in real mode): the whole path, refused requests, roles."""

from __future__ import annotations

import pytest

from common import errors
from protos.tailorbird.control.v1 import (
    campaign_pb2,
    common_pb2,
    dataset_group_pb2,
    dataset_import_job_pb2,
    dataset_pb2,
    recipe_pb2,
    schema_pb2,
    solution_config_pb2,
    solution_pb2,
    solution_version_pb2,
)
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2, trackers_pb2
from protos.tailorbird.internal.v1.jobs_pb2_grpc import JobServiceStub
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub
from tests.control_plane.wire import import_into, make_dataset, make_group, refused, train, unique_name
from tests.control_plane.world import POPULARITY

ACTIVE = common_pb2.RESOURCE_STATUS_ACTIVE
PENDING = common_pb2.RESOURCE_STATUS_CREATE_PENDING
IN_PROGRESS = common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS


def test_the_whole_path_from_group_to_campaign(world, grpc_stub):
    group = make_group(grpc_stub)
    dataset = make_dataset(grpc_stub, group)
    imported = import_into(grpc_stub, dataset)
    job = grpc_stub.control.DescribeDatasetImportJob(
        dataset_import_job_pb2.DescribeDatasetImportJobRequest(dataset_import_job_arn=imported)
    ).dataset_import_job
    assert job.status == ACTIVE
    assert job.import_mode == common_pb2.IMPORT_MODE_FULL
    assert job.data_source.data_location == "s3://bucket/films.csv"

    solution = grpc_stub.control.CreateSolution(
        solution_pb2.CreateSolutionRequest(
            name=unique_name("solution"),
            dataset_group_arn=group,
            recipe_arn=POPULARITY,
            event_type="watch",
            solution_config=solution_config_pb2.SolutionConfig(),
            perform_auto_training=False,
        )
    ).solution_arn
    version = train(grpc_stub, solution)
    described = grpc_stub.control.DescribeSolution(solution_pb2.DescribeSolutionRequest(solution_arn=solution)).solution
    assert described.latest_solution_version.solution_version_arn == version
    assert described.latest_solution_version.status == ACTIVE
    assert described.HasField("perform_auto_training")
    assert not described.perform_auto_training
    metrics = grpc_stub.control.GetSolutionMetrics(
        solution_version_pb2.GetSolutionMetricsRequest(solution_version_arn=version)
    )
    assert dict(metrics.metrics) == {"coverage": 0.5, "precision_at_5": 0.25}

    world.clock.advance(seconds=31)
    campaign = grpc_stub.control.CreateCampaign(
        campaign_pb2.CreateCampaignRequest(
            name=unique_name("campaign"), solution_version_arn=version, min_provisioned_tps=2
        )
    ).campaign_arn
    describe = campaign_pb2.DescribeCampaignRequest(campaign_arn=campaign)
    assert grpc_stub.control.DescribeCampaign(describe).campaign.status == PENDING
    watched = grpc_stub.serving.WatchServingAssignments(
        serving_pb2.WatchServingAssignmentsRequest(runtime_id="host-1-0")
    )
    (mine,) = [item for item in watched.assignments if item.serving_arn == campaign]
    assert mine.event_type == "watch"
    for phase, status in (
        (serving_pb2.SERVING_PHASE_LOADING, IN_PROGRESS),
        (serving_pb2.SERVING_PHASE_READY, ACTIVE),
    ):
        state = serving_pb2.ServingState(serving_arn=campaign, deployment_id=mine.deployment_id, phase=phase)
        grpc_stub.serving.ReportServing(serving_pb2.ReportServingRequest(runtime_id="host-1-0", states=[state]))
        assert grpc_stub.control.DescribeCampaign(describe).campaign.status == status

    shown = grpc_stub.control.DescribeCampaign(describe).campaign
    assert (shown.solution_version_arn, shown.min_provisioned_tps) == (version, 2)
    assert not shown.HasField("latest_campaign_update")


@pytest.mark.parametrize(
    ("method", "request_", "kind", "message"),
    [
        ("CreateDatasetGroup", dataset_group_pb2.CreateDatasetGroupRequest(), errors.InvalidInput, "`name`"),
        ("CreateDatasetGroup", dataset_group_pb2.CreateDatasetGroupRequest(name="a b"), errors.InvalidInput, "`name`"),
        (
            "CreateDatasetGroup",
            dataset_group_pb2.CreateDatasetGroupRequest(name="x", domain=77),
            errors.InvalidInput,
            "ECOMMERCE",
        ),
        ("DescribeDataset", dataset_pb2.DescribeDatasetRequest(), errors.InvalidInput, "`datasetArn`"),
        ("DescribeSchema", schema_pb2.DescribeSchemaRequest(schema_arn="x"), errors.InvalidInput, "`schemaArn`"),
        (
            "DescribeSchema",
            schema_pb2.DescribeSchemaRequest(schema_arn="arn:aws:personalize:eu-west-1:1:schema/x"),
            errors.ResourceNotFound,
            "Resource Arn arn:aws:personalize:eu-west-1:1:schema/x does not exist.",
        ),
        (
            "ListSchemas",
            schema_pb2.ListSchemasRequest(next_token="x"),
            errors.InvalidNextToken,
            "`nextToken`",
        ),
        ("ListSchemas", schema_pb2.ListSchemasRequest(max_results=0), errors.InvalidInput, "`maxResults`"),
    ],
)
def test_bad_requests_get_the_error_that_personalize_has_for_them(grpc_stub, method, request_, kind, message):
    error = refused(getattr(grpc_stub.control, method), request_)

    assert type(error) is kind
    assert message in error.message


@pytest.mark.parametrize(
    ("stub", "method", "request_", "role"),
    [
        (JobServiceStub, "LeaseJob", jobs_pb2.LeaseJobRequest(worker_id="w"), "client"),
        (JobServiceStub, "LeaseJob", jobs_pb2.LeaseJobRequest(worker_id="w"), "runtime"),
        (ServingServiceStub, "ReportServing", serving_pb2.ReportServingRequest(runtime_id="w"), "trainer"),
        (TrackerServiceStub, "ResolveEventTracker", trackers_pb2.ResolveEventTrackerRequest(), "gateway"),
        (TrackerServiceStub, "WatchEventTrackers", trackers_pb2.WatchEventTrackersRequest(service_id="e"), "runtime"),
        (ControlPlaneServiceStub, "ListRecipes", recipe_pb2.ListRecipesRequest(), "trainer"),
    ],
)
def test_each_service_is_for_its_own_callers(grpc_stub, stub, method, request_, role):
    error = refused(getattr(grpc_stub.with_role(stub, role), method), request_)

    assert type(error) is errors.PermissionDenied


def test_nobody_calls_without_a_token(grpc_stub):
    error = refused(grpc_stub.with_role(ControlPlaneServiceStub, None).ListRecipes, recipe_pb2.ListRecipesRequest())

    assert type(error) is errors.Unauthenticated


@pytest.mark.parametrize(
    ("service", "method", "request_", "message"),
    [
        ("jobs", "LeaseJob", jobs_pb2.LeaseJobRequest(), "worker_id"),
        ("jobs", "LeaseJob", jobs_pb2.LeaseJobRequest(worker_id="w", wait_seconds=61), "wait_seconds"),
        ("jobs", "LeaseJob", jobs_pb2.LeaseJobRequest(worker_id="w", kinds=[0]), "kinds"),
        ("jobs", "CompleteJob", jobs_pb2.CompleteJobRequest(job_id="j", lease_token="t"), "result"),
        ("jobs", "FailJob", jobs_pb2.FailJobRequest(job_id="j", lease_token="t"), "failure_reason"),
        ("serving", "WatchServingAssignments", serving_pb2.WatchServingAssignmentsRequest(), "runtime_id"),
        (
            "serving",
            "ReportServing",
            serving_pb2.ReportServingRequest(runtime_id="w", states=[serving_pb2.ServingState(deployment_id="d")]),
            "phase",
        ),
        ("serving", "ReportServing", serving_pb2.ReportServingRequest(runtime_id="w" * 257), "runtime_id"),
        ("trackers", "ResolveEventTracker", trackers_pb2.ResolveEventTrackerRequest(), "tracking_id"),
        ("trackers", "WatchEventTrackers", trackers_pb2.WatchEventTrackersRequest(), "service_id"),
        (
            "trackers",
            "WatchEventTrackers",
            trackers_pb2.WatchEventTrackersRequest(service_id="e", wait_seconds=61),
            "wait_seconds",
        ),
    ],
)
def test_malformed_internal_calls_are_refused_with_the_field_named(grpc_stub, service, method, request_, message):
    error = refused(getattr(getattr(grpc_stub, service), method), request_)

    assert type(error) is errors.InvalidInput
    assert f"`{message}`" in error.message
