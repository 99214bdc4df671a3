"""Calls of the control plane over the wire, as each role makes them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import grpc
import pytest

from common import errors
from common.rpc import from_rpc_error
from common.testing import make_keys
from protos.tailorbird.control.v1 import (
    common_pb2,
    dataset_group_pb2,
    dataset_import_job_pb2,
    dataset_pb2,
    schema_pb2,
    solution_version_pb2,
)
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.control.v1.evaluation_service_pb2_grpc import EvaluationServiceStub
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.internal.v1.jobs_pb2_grpc import JobServiceStub
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub
from tests.control_plane.world import INTERACTIONS

KEYS = make_keys()


class As:
    """A stub whose calls carry a token of one role, and a deadline."""

    def __init__(self, stub, role: str | None) -> None:
        self._stub = stub
        self._metadata = [("authorization", f"Bearer {KEYS.token(role)}")] if role else []

    def __getattr__(self, method):
        call = getattr(self._stub, method)
        return lambda request: call(request, metadata=self._metadata, timeout=60)


def stubs(channel):
    """Return each service's stub in the hands of a role that may call it; `with_role` gives others."""
    return SimpleNamespace(
        control=As(ControlPlaneServiceStub(channel), "client"),
        evaluations=As(EvaluationServiceStub(channel), "client"),
        jobs=As(JobServiceStub(channel), "trainer"),
        serving=As(ServingServiceStub(channel), "runtime"),
        trackers=As(TrackerServiceStub(channel), "events"),
        with_role=lambda stub, role: As(stub(channel), role),
    )


_numbers = itertools.count()


def unique_name(word: str) -> str:
    return f"wire-{word}-{next(_numbers)}"


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
    request = dataset_group_pb2.CreateDatasetGroupRequest(name=unique_name("films"))
    return stubs.control.CreateDatasetGroup(request).dataset_group_arn


def make_dataset(stubs, group: str) -> str:
    schema = stubs.control.CreateSchema(schema_pb2.CreateSchemaRequest(name=unique_name("schema"), schema=INTERACTIONS))
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
            job_name=unique_name("import"),
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
