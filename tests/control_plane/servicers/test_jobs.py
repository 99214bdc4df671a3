"""JobService on a real server: stopping, failing, waiting for jobs."""

from __future__ import annotations

import math
import threading

from common import errors
from protos.tailorbird.control.v1 import (
    common_pb2,
    dataset_import_job_pb2,
    event_tracker_pb2,
    recipe_pb2,
    solution_pb2,
    solution_version_pb2,
)
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2
from tests.control_plane.wire import import_into, make_dataset, make_group, refused, take_job, unique_name
from tests.control_plane.world import ACCOUNT, POPULARITY


def described(stubs, version):
    request = solution_version_pb2.DescribeSolutionVersionRequest(solution_version_arn=version)
    return stubs.control.DescribeSolutionVersion(request).solution_version


def test_stop_request_reaches_the_trainer_and_its_answer_the_version(grpc_stub):
    group = make_group(grpc_stub)
    import_into(grpc_stub, make_dataset(grpc_stub, group))
    solution = grpc_stub.control.CreateSolution(
        solution_pb2.CreateSolutionRequest(name=unique_name("s"), dataset_group_arn=group, recipe_arn=POPULARITY)
    ).solution_arn
    version = grpc_stub.control.CreateSolutionVersion(
        solution_version_pb2.CreateSolutionVersionRequest(solution_arn=solution)
    ).solution_version_arn
    pending = described(grpc_stub, version).training_progress
    assert (pending.activity, pending.fraction, pending.HasField("epoch")) == ("waiting for a trainer", 0.0, False)
    job = take_job(grpc_stub, version)
    assert job.solution_version_training.recipe == "aws-popularity-count"

    grpc_stub.control.StopSolutionVersionCreation(
        solution_version_pb2.StopSolutionVersionCreationRequest(solution_version_arn=version)
    )
    lease = {"job_id": job.job_id, "lease_token": job.lease_token}
    said = TrainingProgress(epoch=3, epochs=100, step=7, steps=90, training_loss=2.5, seconds_left=60.0)
    said.validation_ndcg_at_10 = math.nan
    grpc_stub.jobs.HeartbeatJob(
        jobs_pb2.HeartbeatJobRequest(**lease, progress=0.5, activity="epoch 3 of at most 100", training=said)
    )
    assert described(grpc_stub, version).training_progress == TrainingProgress(
        fraction=0.5, activity="epoch 3 of at most 100", attempt=1,
        epoch=3, epochs=100, step=7, steps=90, training_loss=2.5, seconds_left=60.0,
    )  # fmt: skip
    assert grpc_stub.jobs.HeartbeatJob(jobs_pb2.HeartbeatJobRequest(**lease, progress=0.5)).stop_requested
    grpc_stub.jobs.CompleteJob(jobs_pb2.CompleteJobRequest(**lease, stopped=jobs_pb2.StoppedResult()))

    shown = described(grpc_stub, version)
    assert shown.status == common_pb2.RESOURCE_STATUS_CREATE_STOPPED
    assert not shown.HasField("training_progress")


def test_failure_reason_of_the_trainer_is_shown_to_the_owner(grpc_stub):
    dataset = make_dataset(grpc_stub, make_group(grpc_stub))
    arn = grpc_stub.control.CreateDatasetImportJob(
        dataset_import_job_pb2.CreateDatasetImportJobRequest(
            job_name=unique_name("import"),
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


def test_waiting_trainer_is_woken_by_new_work(grpc_stub):
    dataset = make_dataset(grpc_stub, make_group(grpc_stub))
    name = unique_name("import")
    arn = f"arn:aws:personalize:eu-west-1:{ACCOUNT}:dataset-import-job/{name}"
    taken: list[jobs_pb2.Job] = []
    trainer = threading.Thread(target=lambda: taken.append(take_job(grpc_stub, arn)), daemon=True)
    trainer.start()

    grpc_stub.control.CreateDatasetImportJob(
        dataset_import_job_pb2.CreateDatasetImportJobRequest(
            job_name=name, dataset_arn=dataset, data_source=common_pb2.DataSource(data_location="s3://bucket/x.csv")
        )
    )
    trainer.join(timeout=60)

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
        name=unique_name("tracker"), dataset_group_arn=make_group(grpc_stub)
    )
    grpc_stub.control.CreateEventTracker(make_tracker)
    for watcher in watchers:
        watcher.join(timeout=60)
    assert not any(watcher.is_alive() for watcher in watchers)


def test_lost_lease_has_its_own_error_over_the_wire(grpc_stub):
    error = refused(grpc_stub.jobs.HeartbeatJob, jobs_pb2.HeartbeatJobRequest(job_id="j", lease_token="t"))

    assert type(error) is errors.LeaseLost
