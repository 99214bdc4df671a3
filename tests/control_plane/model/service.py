"""The control plane as the model's counterpart: real servicers on a real database, called with Personalize's JSON."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from datetime import UTC
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from sqlmodel import SQLModel

from common.arn import ArnFactory
from common.auth import Caller, set_caller
from common.clock import ManualClock
from common.errors import TailorbirdError
from control_plane.app_context import AppContext
from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.sql import SqlMetadataStore
from control_plane.metadata_store.tables import SolutionVersion
from control_plane.server import Timing, assemble
from protos.tailorbird.control.v1 import common_pb2, control_plane_service_pb2
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2
from protos.tailorbird.options.v1 import options_pb2
from tests.control_plane.messages import filled
from tests.control_plane.model.rules import REGION, Document, Refused

CONTROL = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"]
TIMING = Timing(
    lease_seconds=60,
    retry_seconds=5,
    runtime_liveness_seconds=30,
    runtime_loading_seconds=900,
    # The model forgets no job, however long it waits.
    finished_job_hours=1_000_000,
    # No caller asks for the jobs that maintain storage and make snapshots of features, and no rule knows them.
    storage_maintenance_hours=1_000_000,
    max_feature_snapshots=0,
)


class Service:
    """A control plane without anything in it.

    Args:
        metadata_store: Its database, which is emptied.
        runner: Runs its methods that may wait.
        quotas: How many resources there may be.
    """

    def __init__(self, metadata_store: SqlMetadataStore, runner: asyncio.Runner, quotas: dict[str, int]) -> None:
        metadata_store.transact(_remove_everything)
        self._metadata_store, self._runner = metadata_store, runner
        self.clock = ManualClock()
        numbers = itertools.count()
        # The same ids in every run: the order of resources of one moment depends on them.
        app_context = AppContext(
            self.clock,
            ArnFactory(REGION),
            Quotas(**quotas),
            new_id=lambda: hashlib.sha256(str(next(numbers)).encode()).hexdigest()[:32],
        )
        self.plane = assemble(metadata_store, app_context, TIMING)
        servicers = {service.descriptor.name: service.servicer for service in self.plane.services}
        self._control, self._jobs = servicers["ControlPlaneService"], servicers["JobService"]
        self._serving = servicers["ServingService"]

    def call(self, account: str, operation: str, request: Document) -> Document:
        """Return the response of an operation.

        Raises:
            Refused: The service answers with an error.
        """
        # What is created in the moment of another becomes newer by the smallest step; here that is the clock's.
        self.clock.advance(seconds=1e-6)
        message = filled(GetMessageClass(CONTROL.methods_by_name[operation].input_type)(), request)
        set_caller(Caller("client", "model", account))
        try:
            response = getattr(self._control, operation)(message, None)
        except TailorbirdError as error:
            raise Refused(error.reason) from error
        finally:
            set_caller(None)
        return {**{name: [] for name in _lists(response.DESCRIPTOR)}, **document(response)}

    def lease(self, worker: str) -> jobs_pb2.Job | None:
        """Ask for a job without waiting."""
        request = jobs_pb2.LeaseJobRequest(worker_id=worker, wait_seconds=0)
        response = self._runner.run(self._jobs.LeaseJob(request, None))
        return response.job if response.HasField("job") else None

    def report_job(self, method: str, job: jobs_pb2.Job, **members: Any) -> Any:
        """Call a method of the JobService with a lease."""
        kind = getattr(jobs_pb2, f"{method}Request")
        try:
            return getattr(self._jobs, method)(kind(job_id=job.job_id, lease_token=job.lease_token, **members), None)
        except TailorbirdError as error:
            raise Refused(error.reason) from error

    def watch(self, worker: str, revision: int | None) -> serving_pb2.WatchServingAssignmentsResponse:
        """Ask for the assignments without waiting."""
        request = serving_pb2.WatchServingAssignmentsRequest(runtime_id=worker, known_revision=revision, wait_seconds=0)
        return self._runner.run(self._serving.WatchServingAssignments(request, None))

    def report_serving(self, worker: str, states: list[serving_pb2.ServingState]) -> None:
        """Report how far a worker is with its deployments."""
        self._serving.ReportServing(serving_pb2.ReportServingRequest(runtime_id=worker, states=states), None)

    def trained(self) -> list[str]:
        """Return the ARNs of all versions, also of those that recommenders are trained to, which no operation names."""
        return self._metadata_store.view(lambda unit: [version.arn for version in unit.find(SolutionVersion)])

    def sweep(self) -> None:
        """Do what no call brings about."""
        self.plane.maintenance.sweep()


def document(message: Any) -> Document:
    """Return a message as Personalize's JSON, with times as `datetime`."""
    values: Document = {}
    for field, value in message.ListFields():
        if field.name == "empty_members":
            values |= {name: {} if _is_map(message, name) else [] for name in value}
        elif field.GetOptions().Extensions[options_pb2.beside_aws]:
            continue  # Personalize has nothing like it
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            values[field.json_name] = {key: _plain(field.message_type.fields[1], item) for key, item in value.items()}
        elif field.is_repeated:
            values[field.json_name] = [_plain(field, item) for item in value]
        else:
            values[field.json_name] = _plain(field, value)
    return values


def _plain(field: Any, value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC)
    if isinstance(value, common_pb2.StringList):
        return list(value.values)
    if field.message_type is not None:
        return document(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].GetOptions().Extensions[options_pb2.aws_value]
    return value


def _is_map(message: Any, json_name: str) -> bool:
    (field,) = (field for field in message.DESCRIPTOR.fields if field.json_name == json_name)
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _lists(descriptor: Any) -> list[str]:
    return [field.json_name for field in descriptor.fields if field.is_repeated and field.message_type is not None]


def _remove_everything(unit: Any) -> None:
    for table in reversed(SQLModel.metadata.sorted_tables):
        unit._session.execute(table.delete())
