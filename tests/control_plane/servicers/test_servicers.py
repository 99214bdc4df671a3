"""The servicers on a real server (pytest-grpc in real mode): the whole path, refusals, roles, waiting calls."""

from __future__ import annotations

import itertools
import threading

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from common import errors
from common.operations import State, operation_states
from common.rpc import from_rpc_error
from control_plane.domain.recipes import recipe_arn
from control_plane.servicers.control import CONTROL_PLANE_SERVICE, ControlPlaneServicer
from protos.tailorbird.control.v1 import (
    campaign_pb2,
    common_pb2,
    dataset_group_pb2,
    dataset_import_job_pb2,
    dataset_pb2,
    event_tracker_pb2,
    recipe_pb2,
    schema_pb2,
    solution_config_pb2,
    solution_pb2,
    solution_version_pb2,
    tag_pb2,
)
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2, trackers_pb2
from protos.tailorbird.internal.v1.jobs_pb2_grpc import JobServiceStub
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub
from recipes.catalog import RECIPES
from tests.control_plane import wire
from tests.control_plane.world import INTERACTIONS, POPULARITY, make_world

ACTIVE = common_pb2.RESOURCE_STATUS_ACTIVE
PENDING = common_pb2.RESOURCE_STATUS_CREATE_PENDING
IN_PROGRESS = common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS
_numbers = itertools.count()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("wire"))
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture(scope="module")
def grpc_servicer(world):
    return world.plane


@pytest.fixture(scope="module")
def grpc_stub_cls():
    return wire.stubs


def fresh(word: str) -> str:
    return f"{word}-{next(_numbers)}"


def refused(call, request) -> errors.TailorbirdError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return from_rpc_error(caught.value)


def take_job(stubs, subject: str) -> jobs_pb2.Job:
    """Lease until the job of this resource comes; what other tests left behind is passed over."""
    while True:
        job = stubs.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=20)).job
        if job.resource_arn == subject:
            return job


def make_group(stubs) -> str:
    request = dataset_group_pb2.CreateDatasetGroupRequest(name=fresh("films"))
    return stubs.control.CreateDatasetGroup(request).dataset_group_arn


def make_dataset(stubs, group: str) -> str:
    schema = stubs.control.CreateSchema(schema_pb2.CreateSchemaRequest(name=fresh("schema"), schema=INTERACTIONS))
    return stubs.control.CreateDataset(
        dataset_pb2.CreateDatasetRequest(
            name="interactions",
            schema_arn=schema.schema_arn,
            dataset_group_arn=group,
            dataset_type="Interactions",
        )
    ).dataset_arn


def import_into(stubs, dataset: str) -> str:
    job = stubs.control.CreateDatasetImportJob(
        dataset_import_job_pb2.CreateDatasetImportJobRequest(
            job_name=fresh("import"),
            dataset_arn=dataset,
            data_source=common_pb2.DataSource(data_location="s3://bucket/films.csv"),
            role_arn="arn:aws:iam::123456789012:role/Personalize",
        )
    ).dataset_import_job_arn
    leased = take_job(stubs, job)
    stubs.jobs.CompleteJob(
        jobs_pb2.CompleteJobRequest(
            job_id=leased.job_id,
            lease_token=leased.lease_token,
            dataset_import=jobs_pb2.DatasetImportResult(imported_rows=5000, files=1),
        )
    )
    return job


def train(stubs, solution: str) -> str:
    request = solution_version_pb2.CreateSolutionVersionRequest(solution_arn=solution)
    version = stubs.control.CreateSolutionVersion(request).solution_version_arn
    leased = take_job(stubs, version)
    stubs.jobs.CompleteJob(
        jobs_pb2.CompleteJobRequest(
            job_id=leased.job_id,
            lease_token=leased.lease_token,
            solution_version_training=jobs_pb2.SolutionVersionTrainingResult(
                training_hours=0.125, metrics={"coverage": 0.5, "precision_at_5": 0.25}, artifact_bytes=1
            ),
        )
    )
    return version


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
            name=fresh("solution"),
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
        campaign_pb2.CreateCampaignRequest(name=fresh("campaign"), solution_version_arn=version, min_provisioned_tps=2)
    ).campaign_arn
    asked = campaign_pb2.DescribeCampaignRequest(campaign_arn=campaign)
    assert grpc_stub.control.DescribeCampaign(asked).campaign.status == PENDING
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
        assert grpc_stub.control.DescribeCampaign(asked).campaign.status == status

    shown = grpc_stub.control.DescribeCampaign(asked).campaign
    assert (shown.solution_version_arn, shown.min_provisioned_tps) == (version, 2)
    assert not shown.HasField("latest_campaign_update")


def test_stop_request_travels_to_the_trainer_and_back(grpc_stub):
    group = make_group(grpc_stub)
    import_into(grpc_stub, make_dataset(grpc_stub, group))
    solution = grpc_stub.control.CreateSolution(
        solution_pb2.CreateSolutionRequest(name=fresh("s"), dataset_group_arn=group, recipe_arn=POPULARITY)
    ).solution_arn
    version = grpc_stub.control.CreateSolutionVersion(
        solution_version_pb2.CreateSolutionVersionRequest(solution_arn=solution)
    ).solution_version_arn
    job = take_job(grpc_stub, version)
    assert job.solution_version_training.recipe == "aws-popularity-count"

    grpc_stub.control.StopSolutionVersionCreation(
        solution_version_pb2.StopSolutionVersionCreationRequest(solution_version_arn=version)
    )
    lease = {"job_id": job.job_id, "lease_token": job.lease_token}
    assert grpc_stub.jobs.HeartbeatJob(jobs_pb2.HeartbeatJobRequest(**lease, progress=0.5)).stop_requested
    grpc_stub.jobs.CompleteJob(jobs_pb2.CompleteJobRequest(**lease, stopped=jobs_pb2.StoppedResult()))

    shown = grpc_stub.control.DescribeSolutionVersion(
        solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=version)
    ).solution_version
    assert shown.status == common_pb2.RESOURCE_STATUS_CREATE_STOPPED


def test_failure_reason_of_the_trainer_is_shown_to_the_owner(grpc_stub):
    dataset = make_dataset(grpc_stub, make_group(grpc_stub))
    arn = grpc_stub.control.CreateDatasetImportJob(
        dataset_import_job_pb2.CreateDatasetImportJobRequest(
            job_name=fresh("import"),
            dataset_arn=dataset,
            data_source=common_pb2.DataSource(data_location="file:///films.csv"),
        )
    ).dataset_import_job_arn
    job = take_job(grpc_stub, arn)

    answer = grpc_stub.jobs.FailJob(
        jobs_pb2.FailJobRequest(
            job_id=job.job_id, lease_token=job.lease_token, failure_reason="no column USER_ID", retryable=False
        )
    )

    shown = grpc_stub.control.DescribeDatasetImportJob(
        dataset_import_job_pb2.DescribeDatasetImportJobRequest(dataset_import_job_arn=arn)
    ).dataset_import_job
    assert not answer.will_retry
    assert shown.status == common_pb2.RESOURCE_STATUS_CREATE_FAILED
    assert shown.failure_reason == "no column USER_ID"


def test_tracking_id_is_resolved_for_the_event_services(grpc_stub):
    group = make_group(grpc_stub)
    tracker = grpc_stub.control.CreateEventTracker(
        event_tracker_pb2.CreateEventTrackerRequest(name=fresh("tracker"), dataset_group_arn=group)
    )
    asked = trackers_pb2.ResolveEventTrackerRequest(tracking_id=tracker.tracking_id)
    assert not grpc_stub.trackers.ResolveEventTracker(asked).HasField("interactions")

    make_dataset(grpc_stub, group)

    found = grpc_stub.trackers.ResolveEventTracker(asked)
    assert found.dataset_group_arn == group
    assert found.interactions.schema == INTERACTIONS


def test_waiting_trainer_is_woken_by_new_work(grpc_stub):
    dataset = make_dataset(grpc_stub, make_group(grpc_stub))
    name = fresh("import")
    arn = f"arn:aws:personalize:eu-west-1:123456789012:dataset-import-job/{name}"
    taken: list[jobs_pb2.Job] = []
    trainer = threading.Thread(target=lambda: taken.append(take_job(grpc_stub, arn)), daemon=True)
    trainer.start()

    grpc_stub.control.CreateDatasetImportJob(
        dataset_import_job_pb2.CreateDatasetImportJobRequest(
            job_name=name, dataset_arn=dataset, data_source=common_pb2.DataSource(data_location="s3://bucket/x.csv")
        )
    )
    trainer.join(timeout=20)

    assert [job.dataset_import.table.dataset_type for job in taken] == ["INTERACTIONS"]


def test_ordinary_calls_find_a_thread_however_many_wait(world, grpc_stub):
    revision = grpc_stub.serving.WatchServingAssignments(
        serving_pb2.WatchServingAssignmentsRequest(runtime_id="w")
    ).revision
    watchers = [
        threading.Thread(
            target=grpc_stub.serving.WatchServingAssignments,
            args=[
                serving_pb2.WatchServingAssignmentsRequest(
                    runtime_id=f"w-{number}", known_revision=revision, wait_seconds=15
                )
            ],
            daemon=True,
        )
        for number in range(30)
    ]
    for watcher in watchers:
        watcher.start()

    assert grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest()).recipes

    # A change of the set ends all waits, and the workers' silence then makes them count no more.
    make_tracker = event_tracker_pb2.CreateEventTrackerRequest(
        name=fresh("tracker"), dataset_group_arn=make_group(grpc_stub)
    )
    grpc_stub.control.CreateEventTracker(make_tracker)
    for watcher in watchers:
        watcher.join(timeout=20)
    assert not any(watcher.is_alive() for watcher in watchers)


def test_pages_are_walked_by_their_tokens(grpc_stub):
    for _ in range(3):
        make_group(grpc_stub)
    found, token = [], None
    while True:
        page = grpc_stub.control.ListDatasetGroups(
            dataset_group_pb2.ListDatasetGroupsRequest(max_results=2, next_token=token)
        )
        found += [item.dataset_group_arn for item in page.dataset_groups]
        if not page.HasField("next_token"):
            break
        token = page.next_token

    whole = grpc_stub.control.ListDatasetGroups(dataset_group_pb2.ListDatasetGroupsRequest()).dataset_groups
    assert found == [item.dataset_group_arn for item in whole]


def test_parameters_of_both_kinds_are_shown_as_they_were_given(grpc_stub):
    group = grpc_stub.control.CreateDatasetGroup(
        dataset_group_pb2.CreateDatasetGroupRequest(name=fresh("group"))
    ).dataset_group_arn
    config = solution_config_pb2.SolutionConfig(
        algorithm_hyper_parameters={"bptt": "16"},
        feature_transformation_parameters={"max_user_history_length_percentile": "0.9"},
    )
    solution = grpc_stub.control.CreateSolution(
        solution_pb2.CreateSolutionRequest(
            name=fresh("solution"), dataset_group_arn=group, recipe_arn=recipe_arn(RECIPES["aws-hrnn"]),
            solution_config=config, perform_auto_training=False,
        )
    ).solution_arn  # fmt: skip

    described = grpc_stub.control.DescribeSolution(solution_pb2.DescribeSolutionRequest(solution_arn=solution)).solution

    assert described.solution_config == config


def test_recipes_that_can_be_trained_are_listed_and_described(grpc_stub):
    listed = grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest()).recipes
    first = grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest(max_results=1))
    second = grpc_stub.control.ListRecipes(recipe_pb2.ListRecipesRequest(next_token=first.next_token))
    described = grpc_stub.control.DescribeRecipe(recipe_pb2.DescribeRecipeRequest(recipe_arn=POPULARITY)).recipe

    names = [recipe.name for recipe in listed]
    assert sorted(names) == sorted(RECIPES)
    assert [recipe.creation_date_time.seconds for recipe in listed] == sorted(
        recipe.creation_date_time.seconds for recipe in listed
    )
    assert [*first.recipes, *second.recipes] == list(listed)
    assert not second.HasField("next_token")
    assert not listed[0].HasField("domain")
    assert described.feature_transformation_arn == "arn:aws:personalize:::feature-transformation/sims"
    assert described.recipe_type == "POPULAR_ITEMS"


def test_recipes_of_a_domain_are_listed_alone_and_described(grpc_stub):
    request = recipe_pb2.ListRecipesRequest(domain=common_pb2.DOMAIN_VIDEO_ON_DEMAND)

    listed = grpc_stub.control.ListRecipes(request).recipes

    assert [recipe.name for recipe in listed] == [
        "aws-vod-because-you-watched-x", "aws-vod-more-like-x", "aws-vod-most-popular", "aws-vod-top-picks",
        "aws-vod-trending-now",
    ]  # fmt: skip
    assert {recipe.domain for recipe in listed} == {common_pb2.DOMAIN_VIDEO_ON_DEMAND}
    described = grpc_stub.control.DescribeRecipe(recipe_pb2.DescribeRecipeRequest(recipe_arn=listed[0].recipe_arn))
    assert described.recipe.recipe_type == "RELATED_ITEMS"


def test_tags_are_kept(grpc_stub):
    arn = grpc_stub.control.CreateDatasetGroup(
        dataset_group_pb2.CreateDatasetGroupRequest(
            name=fresh("films"), tags=[tag_pb2.Tag(tag_key="team", tag_value="a")]
        )
    ).dataset_group_arn
    grpc_stub.control.TagResource(
        tag_pb2.TagResourceRequest(resource_arn=arn, tags=[tag_pb2.Tag(tag_key="stage", tag_value="")])
    )
    grpc_stub.control.UntagResource(common_pb2.UntagResourceRequest(resource_arn=arn, tag_keys=["team"]))

    tags = grpc_stub.control.ListTagsForResource(tag_pb2.ListTagsForResourceRequest(resource_arn=arn)).tags
    assert [(tag.tag_key, tag.tag_value) for tag in tags] == [("stage", "")]


@pytest.mark.parametrize(
    ("method", "request_", "kind", "told"),
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
def test_bad_requests_get_the_error_that_personalize_has_for_them(grpc_stub, method, request_, kind, told):
    error = refused(getattr(grpc_stub.control, method), request_)

    assert type(error) is kind
    assert told in error.message


@pytest.mark.parametrize(
    "name", [name for name, state in operation_states(ControlPlaneServicer).items() if state is State.UNBUILT]
)
def test_operation_that_is_not_built_says_so_by_name(grpc_stub, name):
    service: ServiceDescriptor = CONTROL_PLANE_SERVICE
    request = GetMessageClass(service.methods_by_name[name].input_type)()

    error = refused(getattr(grpc_stub.control, name), request)

    assert type(error) is errors.OperationUnavailable
    assert error.metadata == {"operation": name}
    assert f"`{name}`" in error.message


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
    ("service", "method", "request_", "told"),
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
def test_malformed_internal_calls_are_refused_with_the_field_named(grpc_stub, service, method, request_, told):
    error = refused(getattr(getattr(grpc_stub, service), method), request_)

    assert type(error) is errors.InvalidInput
    assert f"`{told}`" in error.message


def test_lost_lease_is_told_as_such_over_the_wire(grpc_stub):
    error = refused(grpc_stub.jobs.HeartbeatJob, jobs_pb2.HeartbeatJobRequest(job_id="j", lease_token="t"))

    assert type(error) is errors.LeaseLost
