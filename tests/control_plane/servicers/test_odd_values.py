"""Values that not every database or JSON can hold: callers are refused, and no work of a worker is lost for them."""

from __future__ import annotations

import json
import math

import pytest

from common import errors
from protos.tailorbird.control.v1 import (
    common_pb2,
    dataset_group_pb2,
    dataset_import_job_pb2,
    schema_pb2,
    solution_config_pb2,
    solution_pb2,
    solution_version_pb2,
    tag_pb2,
)
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2, trackers_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.control_plane.wire import import_into, make_dataset, make_group, refused, take_job, unique_name
from tests.control_plane.world import POPULARITY, make_world

ODD = "before\0behind"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request, tmp_path_factory):
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    made = make_world(tmp_path_factory.mktemp("odd"), url=url)
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


def import_job(stubs) -> jobs_pb2.Job:
    """Lease a job of an import."""
    arn = stubs.control.CreateDatasetImportJob(
        dataset_import_job_pb2.CreateDatasetImportJobRequest(
            job_name=unique_name("import"),
            dataset_arn=make_dataset(stubs, make_group(stubs)),
            data_source=common_pb2.DataSource(data_location="file:///films.csv"),
        )
    ).dataset_import_job_arn
    return take_job(stubs, arn)


def training(stubs) -> jobs_pb2.Job:
    """Lease a job of a training."""
    group = make_group(stubs)
    import_into(stubs, make_dataset(stubs, group))
    solution = stubs.control.CreateSolution(
        solution_pb2.CreateSolutionRequest(name=unique_name("s"), dataset_group_arn=group, recipe_arn=POPULARITY)
    ).solution_arn
    version = stubs.control.CreateSolutionVersion(
        solution_version_pb2.CreateSolutionVersionRequest(solution_arn=solution)
    ).solution_version_arn
    return take_job(stubs, version)


def lease(job: jobs_pb2.Job) -> dict[str, str]:
    return {"job_id": job.job_id, "lease_token": job.lease_token}


@pytest.mark.parametrize("retryable", [True, False])
def test_a_failure_reason_is_kept_whatever_it_holds(grpc_stub, retryable):
    job = import_job(grpc_stub)

    answer = grpc_stub.jobs.FailJob(jobs_pb2.FailJobRequest(**lease(job), failure_reason=ODD, retryable=retryable))

    assert answer.will_retry == retryable
    if not retryable:
        request = dataset_import_job_pb2.DescribeDatasetImportJobRequest(dataset_import_job_arn=job.resource_arn)
        shown = grpc_stub.control.DescribeDatasetImportJob(request).dataset_import_job
        assert (shown.failure_reason[:6], shown.failure_reason[-6:]) == ("before", "behind")


def test_a_heartbeat_renews_the_lease_whatever_it_tells(grpc_stub):
    job = import_job(grpc_stub)

    for progress in (math.nan, math.inf, -math.inf):
        request = jobs_pb2.HeartbeatJobRequest(**lease(job), progress=progress, activity=ODD)
        assert grpc_stub.jobs.HeartbeatJob(request).HasField("lease_expires_at")


def test_a_training_is_kept_whatever_its_result_holds(grpc_stub):
    job = training(grpc_stub)
    metrics = {"coverage": 0.5, "not a number": math.nan, "infinite": math.inf, ODD: 1.0}
    result = jobs_pb2.SolutionVersionTrainingResult(
        training_hours=math.nan, metrics=metrics, tuned_hyper_parameters={ODD: ODD}
    )
    _fill(result.evaluation)

    grpc_stub.jobs.CompleteJob(jobs_pb2.CompleteJobRequest(**lease(job), solution_version_training=result))

    shown = grpc_stub.control.GetSolutionMetrics(
        solution_version_pb2.GetSolutionMetricsRequest(solution_version_arn=job.resource_arn)
    ).metrics
    assert shown["coverage"] == 0.5
    assert len(shown) == 2
    version = grpc_stub.control.DescribeSolutionVersion(
        solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=job.resource_arn)
    ).solution_version
    assert version.status == common_pb2.RESOURCE_STATUS_ACTIVE
    assert not version.HasField("training_hours")


def _fill(message) -> None:
    """Set all texts and numbers of a message, and of the messages in it, to odd ones."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated:
            continue
        if field.message_type is not None:
            _fill(getattr(message, field.name))
        elif field.type == field.TYPE_STRING:
            setattr(message, field.name, ODD)
        elif field.enum_type is not None:
            setattr(message, field.name, field.enum_type.values[-1].number)
        elif field.type == field.TYPE_DOUBLE:
            setattr(message, field.name, math.nan)


def test_the_evaluation_that_is_filled_has_texts_and_numbers():
    evaluation = evaluation_pb2.Evaluation()
    _fill(evaluation)

    assert evaluation.ByteSize() > len(ODD)


def test_reports_of_runtimes_are_taken_whatever_they_hold(grpc_stub):
    grpc_stub.serving.WatchServingAssignments(serving_pb2.WatchServingAssignmentsRequest(runtime_id="odd-1"))
    state = serving_pb2.ServingState(deployment_id="d", phase=serving_pb2.SERVING_PHASE_FAILED, failure_reason=ODD)

    grpc_stub.serving.ReportServing(serving_pb2.ReportServingRequest(runtime_id="odd-1", states=[state]))


def test_ids_that_nothing_has_are_not_found(grpc_stub):
    tables = grpc_stub.trackers.FindTables(trackers_pb2.FindTablesRequest(locations=[ODD], rows_wait=True))
    heartbeat = jobs_pb2.HeartbeatJobRequest(job_id=ODD, lease_token=ODD)

    assert list(tables.locations) == []
    assert isinstance(refused(grpc_stub.jobs.HeartbeatJob, heartbeat), errors.LeaseLost)


SCHEMA = json.dumps({"type": "record", "name": "Items", "fields": [], "doc": "odd"}).replace("odd", ODD)
CONFIG = solution_config_pb2.SolutionConfig(algorithm_hyper_parameters={"bptt": ODD})
EXCLUDED = solution_config_pb2.SolutionConfig(
    training_data_config=common_pb2.TrainingDataConfig(
        excluded_dataset_columns={"ITEMS": common_pb2.StringList(values=[ODD])}
    )
)


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("CreateDatasetGroup", dataset_group_pb2.CreateDatasetGroupRequest(name=ODD), "name"),
        ("CreateSchema", schema_pb2.CreateSchemaRequest(name="odd", schema=SCHEMA), "schema"),
        (
            "CreateDatasetGroup",
            dataset_group_pb2.CreateDatasetGroupRequest(name="odd", tags=[tag_pb2.Tag(tag_key="k", tag_value=ODD)]),
            "tagValue",
        ),
        (
            "CreateDatasetImportJob",
            dataset_import_job_pb2.CreateDatasetImportJobRequest(
                job_name="odd", data_source=common_pb2.DataSource(data_location=f"s3://b/{ODD}")
            ),
            "dataLocation",
        ),
        ("UntagResource", common_pb2.UntagResourceRequest(resource_arn="a", tag_keys=["k", ODD]), "tagKeys"),
        (
            "CreateSolution",
            solution_pb2.CreateSolutionRequest(name="odd", solution_config=CONFIG),
            "algorithmHyperParameters",
        ),
        ("CreateSolution", solution_pb2.CreateSolutionRequest(name="odd", solution_config=EXCLUDED), "values"),
        ("ListSchemas", schema_pb2.ListSchemasRequest(next_token=ODD), "nextToken"),
    ],
)
def test_texts_of_callers_are_refused_with_the_field(grpc_stub, method, request_, field):
    error = refused(getattr(grpc_stub.control, method), request_)

    assert isinstance(error, errors.InvalidInput)
    assert f"`{field}`: got " in error.message
    assert "text without the character U+0000" in error.message
