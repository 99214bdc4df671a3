"""Random sequences of calls against the control plane and the model of its rules, which agree on every response.

CI runs the same sequences every time. `TAILORBIRD_MODEL_EXAMPLES=2000` runs so many others, chosen anew.
"""

from __future__ import annotations

import os
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import event

from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.sql import open_metadata_store
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2
from tests.control_plane.model.requests import ACCOUNTS, Requests
from tests.control_plane.model.rules import KINDS, Document, Refused
from tests.control_plane.model.service import Service
from tests.control_plane.model.serving import Model

#: Quotas: one of each that matters is soon used up, or there is room for several that affect each other.
TIGHT, WIDE = ({quota.name: number for quota in fields(Quotas)} for number in (1, 3))
QUOTAS = (TIGHT | {"solutions_per_group": 2}, WIDE | {"metric_attributions_per_group": 1})
WORKERS = ("runtime-1", "runtime-2")
#: Seconds around every limit: pauses between attempts, leases, liveness, loading, forgetting.
PAUSES = (6, 11, 31, 61, 601, 901)
REASONS = ("the file is empty", "out of memory")
N_EXAMPLES = int(os.environ.get("TAILORBIRD_MODEL_EXAMPLES", "0"))


class Agreement(RuleBasedStateMachine):
    """The service and the model, called alike."""

    metadata_store: Any = None

    def call(self, account: str, operation: str, request: Document) -> Document:
        """Call both, compare, and return the response; empty when both refuse the call for the same reason."""
        response, reason = _outcome(lambda: self.service.call(account, operation, request))
        expected, expected_reason = _outcome(lambda: self.model.call(account, operation, request, response))
        assert reason == expected_reason, f"{operation} {request}: got {reason}, want {expected_reason}"
        assert response == expected, f"{operation} {request}:\ngot  {response}\nwant {expected}"
        return response

    # What there is from the beginning

    @initialize(depth=st.sampled_from((0, 3, 6, 6, 8, 8, 8)), quotas=st.sampled_from(QUOTAS))
    def prepare(self, depth: int, quotas: dict[str, int]) -> None:
        """Begin with nothing, with a dataset, with a training under way, or with two solutions and a campaign."""
        self.service = Service(self.metadata_store, quotas)
        self.model = Model(self.service.clock, quotas)
        self.requests = Requests(self.model)
        for operation, request in self.requests.path(ACCOUNTS[0])[:depth]:
            if operation in ("CreateSolutionVersion", "CreateCampaign"):
                self.do_job()
            response = self.call(ACCOUNTS[0], operation, self.requests.completed(request))
            assert response, operation

    # Operations

    @rule(data=st.data(), word=st.sampled_from(Requests.CREATED))
    def create(self, data: st.DataObject, word: str) -> None:
        account = data.draw(self.requests.accounts())
        self.call(account, f"Create{word}", data.draw(self.requests.creation(word, account)))

    @rule(data=st.data(), word=st.sampled_from(("Solution", "SolutionVersion", "Campaign", "Campaign")))
    def create_model(self, data: st.DataObject, word: str) -> None:
        """Create what most rules are about."""
        self.create(data, word)

    @rule(data=st.data(), word=st.sampled_from(Requests.UPDATED))
    def update(self, data: st.DataObject, word: str) -> None:
        account = data.draw(self.requests.accounts())
        self.call(account, f"Update{word}", data.draw(self.requests.change(word, account)))

    @rule(data=st.data(), word=st.sampled_from(Requests.DELETED))
    def delete(self, data: st.DataObject, word: str) -> None:
        account = data.draw(self.requests.accounts())
        self.call(account, f"Delete{word}", data.draw(self.requests.of(word, account)))

    @rule(data=st.data(), word=st.sampled_from(sorted(KINDS)))
    def list_page(self, data: st.DataObject, word: str) -> None:
        """Ask for a page, which may be one that continues a list begun long before, or another list altogether."""
        account = data.draw(self.requests.accounts())
        if word == "MetricAttribution":
            self.call(account, "ListMetricAttributionMetrics", data.draw(self.requests.metrics_page(account)))
        self.call(account, f"List{word}s", data.draw(self.requests.page(word, account)))

    @rule(data=st.data(), operation=st.sampled_from(Requests.ON_VERSIONS))
    def use_version(self, data: st.DataObject, operation: str) -> None:
        account = data.draw(self.requests.accounts())
        self.call(account, operation, data.draw(self.requests.of("SolutionVersion", account)))

    @rule(data=st.data(), operation=st.sampled_from(("TagResource", "UntagResource", "ListTagsForResource")))
    def tag(self, data: st.DataObject, operation: str) -> None:
        account = data.draw(self.requests.accounts())
        self.call(account, operation, data.draw(self.requests.tagging(operation, account)))

    # Trainers

    @rule()
    def do_job(self) -> None:
        """Let a trainer take a job and do it."""
        self.lease("trainer-1")
        self.complete(0)

    @rule(worker=st.sampled_from(("trainer-1", "trainer-2")))
    def lease(self, worker: str) -> None:
        self.model.lease(self.service.lease(worker))

    @rule(number=st.integers(0, 2), is_stopped=st.booleans())
    def complete(self, number: int, *, is_stopped: bool = False) -> None:
        """Report success, or that the work was stopped, also with leases that were lost long ago."""
        lease = self.newest_lease(number)
        if lease is None:
            return
        kind = "stopped" if is_stopped else lease.job.kind
        result, member = RESULTS[kind]
        self.same(
            lambda: self.service.report_job("CompleteJob", lease.message, **{kind: member}) and None,
            lambda: self.model.complete(lease, kind, result),
        )

    @rule(number=st.integers(0, 2), reason=st.sampled_from(REASONS), is_retryable=st.booleans())
    def fail(self, number: int, reason: str, *, is_retryable: bool) -> None:
        lease = self.newest_lease(number)
        if lease is None:
            return
        members = {"failure_reason": reason, "retryable": is_retryable}
        self.same(
            lambda: self.service.report_job("FailJob", lease.message, **members).will_retry,
            lambda: self.model.fail(lease, reason, is_retryable=is_retryable),
        )

    @rule(number=st.integers(0, 2), is_stopping=st.booleans())
    def carry_on(self, number: int, *, is_stopping: bool) -> None:
        """Send a heartbeat, or give the job back because the trainer is stopping."""
        lease = self.newest_lease(number)
        if lease is None:
            return
        if is_stopping:
            self.same(
                lambda: self.service.report_job("ReleaseJob", lease.message) and None,
                lambda: self.model.release(lease),
            )
        else:
            self.same(
                lambda: self.service.report_job("HeartbeatJob", lease.message).stop_requested,
                lambda: self.model.heartbeat(lease),
            )

    def newest_lease(self, number: int):
        """Return one of the newest leases, which may be over; None while there are fewer."""
        return self.model.leases[-1 - number] if number < len(self.model.leases) else None

    @staticmethod
    def same(service, model) -> None:
        assert _outcome(service) == _outcome(model)

    # Runtimes

    @rule(data=st.data(), worker=st.sampled_from(WORKERS), reports=st.booleans())
    def serve(self, data: st.DataObject, worker: str, *, reports: bool) -> None:
        """Let a runtime worker ask for its assignments, and say how far it is with them."""
        given = self.model.given.get(worker)
        response = self.service.watch(worker, None if given is None else given[0])
        self.model.watch(worker)
        assigned = self.model.assignments()
        assert {item.serving_arn: item.solution_version_arn for item in response.assignments} == {
            arn: deployment.version.arn for arn, deployment in assigned.items()
        }
        self.model.give(worker, response.revision)
        if not reports:
            return
        states, phases = [], {}
        for item in sorted(response.assignments, key=lambda item: item.serving_arn):
            phase = data.draw(st.sampled_from(("READY", "READY", "READY", "LOADING", "FAILED")))
            reason = data.draw(st.sampled_from(REASONS)) if phase == "FAILED" else None
            number = serving_pb2.ServingPhase.Value(f"SERVING_PHASE_{phase}")
            states.append(
                serving_pb2.ServingState(deployment_id=item.deployment_id, phase=number, failure_reason=reason)
            )
            phases[assigned[item.serving_arn]] = (phase, reason)
        self.service.report_serving(worker, states)
        self.model.report(worker, phases)

    # Time

    @rule(seconds=st.sampled_from(PAUSES))
    def wait(self, seconds: int) -> None:
        self.service.clock.advance(seconds=seconds)

    @rule()
    def sweep(self) -> None:
        self.service.sweep()
        self.model.sweep()

    # All that is shown

    @rule()
    def look(self) -> None:
        """Compare everything that exists, as both accounts see it."""
        for account in ACCOUNTS:
            for kind in KINDS.values():
                request: Document = {"maxResults": 1}
                while token := self.call(account, f"List{kind.word}s", request).get("nextToken"):
                    request["nextToken"] = token
            for resource in list(self.model.resources.values()):
                self.call(account, f"Describe{resource.kind.word}", {resource.kind.arn_member: resource.arn})
                self.call(account, "ListTagsForResource", {"resourceArn": resource.arn})

    def teardown(self) -> None:
        self.look()
        self.service.plane.long_polls.close()


RESULTS: dict[str, tuple[Document, Any]] = {
    "dataset_import": ({}, jobs_pb2.DatasetImportResult(imported_rows=5000, files=1)),
    "solution_version_training": (
        {"trainingHours": 0.125, "metrics": {"coverage": 0.5}},
        jobs_pb2.SolutionVersionTrainingResult(training_hours=0.125, metrics={"coverage": 0.5}, artifact_bytes=1),
    ),
    "storage_removal": ({}, jobs_pb2.StorageRemovalResult(removed_objects=1)),
    "dataset_export": ({}, jobs_pb2.DatasetExportResult(exported_rows=5000, files=1)),
    "data_deletion": ({"numDeleted": 3}, jobs_pb2.DataDeletionResult(deleted_rows=3)),
    "batch_inference": ({}, jobs_pb2.BatchInferenceResult(answered_lines=3)),
    "batch_segment": ({}, jobs_pb2.BatchSegmentResult(answered_lines=3)),
    "stopped": ({}, jobs_pb2.StoppedResult()),
}


def _outcome(call) -> tuple[Any, str | None]:
    try:
        return call(), None
    except Refused as error:
        return {}, error.reason


@pytest.fixture(scope="module")
def metadata_store(tmp_path_factory):
    store = open_metadata_store(f"sqlite:///{tmp_path_factory.mktemp('model') / 'metadata_store.db'}")
    # What is not written through to the disk is as right, and three times as fast.
    event.listen(store._database.writing.pool, "checkout", lambda raw, *_: raw.execute("PRAGMA synchronous = OFF"))
    yield store
    store.close()


def test_service_and_model_agree_on_every_response(metadata_store):
    class WithStore(Agreement):
        pass

    WithStore.metadata_store = metadata_store
    run_state_machine_as_test(
        WithStore,
        settings=settings(
            derandomize=not N_EXAMPLES,
            max_examples=N_EXAMPLES or 80,
            stateful_step_count=40,
            deadline=timedelta(seconds=60),
            database=None,
            # A failure is made smaller only where there is time for it.
            phases=[Phase.generate, *([Phase.shrink] if N_EXAMPLES else [])],
            suppress_health_check=list(HealthCheck),
        ),
    )
