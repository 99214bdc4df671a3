"""A control plane on a real server, with a worker that does its jobs and serves its campaigns over gRPC."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager

import grpc

from cli.declaration.api import ControlPlaneApi
from cli.installation import Installation, Running
from common.auth import TokenIssuer, TokenVerifier
from common.rpc import channel
from common.testing import Keys, serving
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2
from protos.tailorbird.internal.v1.jobs_pb2_grpc import JobServiceStub
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub
from tests.control_plane.world import make_world

_RESULTS = {
    "dataset_import": jobs_pb2.DatasetImportResult(imported_rows=5000, files=1),
    "solution_version_training": jobs_pb2.SolutionVersionTrainingResult(
        training_hours=0.125, metrics={"coverage": 0.5}
    ),
    "storage_removal": jobs_pb2.StorageRemovalResult(removed_objects=1),
}


class Worker:
    """Finishes every job and serves every campaign while it is not stopped."""

    def __init__(self, target, keys):
        self._target = target
        self._keys = keys
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(work,)) for work in (self._job, self._serve)]
        #: Kinds of payloads whose jobs fail, e.g. `dataset_import`.
        self.failing = set()

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, work):
        token = {self._job: "trainer", self._serve: "runtime"}[work]
        with channel(self._target, token=self._keys.token(token)) as opened:
            while not self._stopped.is_set():
                try:
                    work(opened)
                except grpc.RpcError:
                    if not self._stopped.is_set():
                        raise

    def _job(self, opened):
        stub = JobServiceStub(opened)
        job = stub.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer-1", wait_seconds=0.1)).job
        if not job.job_id:
            return
        kind = job.WhichOneof("payload")
        if kind in self.failing:
            request = jobs_pb2.FailJobRequest(job_id=job.job_id, lease_token=job.lease_token, failure_reason="no file")
            stub.FailJob(request)
            return
        done = {kind: _RESULTS[kind]}
        stub.CompleteJob(jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token, **done))

    def _serve(self, opened):
        stub = ServingServiceStub(opened)
        watch = serving_pb2.WatchServingAssignmentsRequest(runtime_id="runtime-1")
        watched = stub.WatchServingAssignments(watch)
        # A worker holds a set of assignments from its next watch on.
        stub.WatchServingAssignments(
            serving_pb2.WatchServingAssignmentsRequest(
                runtime_id="runtime-1", known_revision=watched.revision, wait_seconds=0.05
            )
        )
        states = [
            serving_pb2.ServingState(
                serving_arn=item.serving_arn, deployment_id=item.deployment_id, phase=serving_pb2.SERVING_PHASE_READY
            )
            for item in watched.assignments
        ]
        stub.ReportServing(serving_pb2.ReportServingRequest(runtime_id="runtime-1", states=states))


class Backend:
    """A control plane that runs in a data directory as `tailorbird up` would run it."""

    def __init__(self, world, installation, target, keys):
        self.world = world
        self.installation = installation
        self.target = target
        self.keys = keys
        self.options = ("--data-dir", str(installation.root))
        self._worker = None

    @contextmanager
    def working(self, *, failing=()):
        worker = Worker(self.target, self.keys)
        worker.failing.update(failing)
        worker.start()
        try:
            yield
        finally:
            worker.stop()

    @contextmanager
    def api(self):
        with channel(self.target, token=self.keys.token("operator")) as opened:
            yield ControlPlaneApi(opened)


@contextmanager
def backend(folder):
    """Serve a new control plane."""
    folder.mkdir(exist_ok=True)
    world = make_world(folder)
    installation = Installation(folder / "data")
    installation.prepare()
    private, public = installation.keys.private_key.read_bytes(), installation.keys.public_key.read_bytes()
    keys = Keys(TokenIssuer(private), TokenVerifier(public), private, public)
    with ExitStack() as stack:
        stack.callback(world.metadata_store.close)
        running = stack.enter_context(serving(world.plane.services, keys=keys))
        stack.callback(world.plane.long_polls.close)
        endpoint = f"http://127.0.0.1:{running.server.port - 1}"
        stack.enter_context(installation.lock(Running(process_id=1, endpoint=endpoint)))
        yield Backend(world, installation, running.target, keys)
