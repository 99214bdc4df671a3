"""Random sequences of calls against the control plane and the model of its rules, which agree on every response.

CI runs the same sequences every time. `TAILORBIRD_MODEL_EXAMPLES=2000` runs so many others, chosen anew.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import event

from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.sql import open_metadata_store
from protos.tailorbird.internal.v1 import jobs_pb2, serving_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.control_plane.model.recommenders import Model
from tests.control_plane.model.requests import ACCOUNTS, BEGINNINGS, JOB, SERVED, Requests
from tests.control_plane.model.rules import KINDS, Document, Refused
from tests.control_plane.model.service import Service

#: Quotas: one of each that matters is soon used up, or there is room for several that affect each other.
TIGHT, WIDE = ({quota.name: number for quota in fields(Quotas)} for number in (1, 3))
QUOTAS = (
    TIGHT | {"dataset_groups": 2, "schemas": 2, "solutions_per_group": 2},
    WIDE | {"metric_attributions_per_group": 1},
)
WORKERS = ("runtime-1", "runtime-2")
#: Seconds around every limit: pauses between attempts, leases, liveness, loading, forgetting, schedules.
PAUSES = (6, 11, 31, 61, 601, 901, 3_600, 86_400, 7 * 86_400)
REASONS = ("the file is empty", "out of memory")
#: Draws every sequence anew, where Hypothesis's default varies a few: four in five would be nearly like another.
AVAILABLE_PROVIDERS["independent"] = "hypothesis.internal.conjecture.providers.HypothesisProvider"
N_EXAMPLES = int(os.environ.get("TAILORBIRD_MODEL_EXAMPLES", "0"))
#: How often each step is done, compared with the others. One rule draws them all: Hypothesis leaves out some rules of
#: several in each sequence, and most of what goes wrong needs a change, a worker and time together.
STEPS = {
    "create": 5,
    "create_model": 6,
    "update": 7,
    "delete": 3,
    "follow_up": 6,
    "list_page": 1,
    "next_page": 2,
    "use_version": 3,
    "switch_recommender": 3,
    "tag": 3,
    "do_job": 5,
    "lease": 2,
    "complete": 2,
    "fail": 2,
    "fail_often": 2,
    "carry_on": 2,
    "serve": 3,
    "serve_everywhere": 3,
    "wait": 4,
    "sweep": 2,
}


class Agreement(RuleBasedStateMachine):
    """The service and the model, called alike."""

    metadata_store: Any = None
    runner: Any = None

    def call(self, account: str, operation: str, request: Document) -> Document:
        """Call both, compare, and return the response; empty when both refuse the call for the same reason."""
        response, reason = _outcome(lambda: self.service.call(account, operation, request))
        expected, expected_reason = _outcome(lambda: self.model.call(account, operation, request, response))
        assert reason == expected_reason, f"{operation} {request}: got {reason}, want {expected_reason}"
        assert response == expected, f"{operation} {request}:\ngot  {response}\nwant {expected}"
        if reason is None and not operation.startswith(("Describe", "Get", "List")):
            self.calls.append((account, operation, request, response))
        return response

    # What there is from the beginning

    @initialize(data=st.data(), beginning=st.sampled_from(BEGINNINGS), quotas=st.sampled_from(QUOTAS))
    def prepare(self, data: st.DataObject, beginning: str, quotas: dict[str, int]) -> None:
        """Begin with nothing, with data, with trainings under way, or with what is served."""
        self.service = Service(self.metadata_store, self.runner, quotas)
        self.model = Model(self.service.clock, quotas, self.service.trained)
        self.requests = Requests(self.model)
        self.calls: list[tuple[str, str, Document, Document]] = []
        for step in self.requests.beginning(beginning):
            if step == JOB:
                self.lease_and_complete()
            elif step == SERVED:
                self.load_everywhere()
            else:
                operation, request = step
                assert self.call(ACCOUNTS[0], operation, self.requests.completed(request)), operation
        if data.draw(st.booleans()):
            self.follow_up(data.draw, 1)

    @rule(data=st.data(), step=st.sampled_from([step for step, weight in STEPS.items() for _ in range(weight)]))
    def do(self, data: st.DataObject, step: str) -> None:
        getattr(self, step)(data.draw)

    # Operations

    def create(self, draw, words=Requests.CREATED) -> None:
        account, word = draw(self.requests.accounts()), draw(st.sampled_from(words))
        if self.call(account, f"Create{word}", draw(self.requests.creation(word, account))) and draw(st.booleans()):
            self.follow_up(draw, 1)

    def create_model(self, draw) -> None:
        self.create(draw, Requests.MODELS)

    def update(self, draw) -> None:
        account, word = draw(self.requests.accounts()), draw(st.sampled_from(Requests.UPDATED))
        request = draw(self.requests.change(word, account))
        if self.call(account, f"Update{word}", request) and draw(st.booleans()):
            self.call(account, f"Update{word}", request)

    def delete(self, draw) -> None:
        account, word = draw(self.requests.accounts()), draw(st.sampled_from(Requests.DELETED))
        self.call(account, f"Delete{word}", draw(self.requests.of(word, account)))

    def follow_up(self, draw, n_calls: int = 2) -> None:
        """Do one of the last changes again, as the same account or as another, or delete what it was about."""
        if not self.calls:
            return
        account, operation, request, response = draw(st.sampled_from(self.calls[-n_calls:]))
        if draw(st.booleans()):
            self.call(draw(st.sampled_from((account, *ACCOUNTS))), operation, request)
            return
        values = [*request.values(), *response.values()]
        arns = [value for value in values if isinstance(value, str) and value in self.model.resources]
        if arns:
            kind = self.model.resources[draw(st.sampled_from(arns))].kind
            arn = next(arn for arn in arns if self.model.resources[arn].kind is kind)
            end = f"Delete{kind.word}" if kind.word in Requests.DELETED else "StopSolutionVersionCreation"
            if kind.word in Requests.DELETED or kind.word == "SolutionVersion":
                self.call(account, end, {kind.arn_member: arn})

    def list_page(self, draw) -> None:
        """Ask for a page, which may be one that continues a list begun long before, or another list altogether."""
        account, word = draw(self.requests.accounts()), draw(st.sampled_from(sorted(KINDS)))
        if word == "MetricAttribution":
            self.call(account, "ListMetricAttributionMetrics", draw(self.requests.metrics_page(account)))
        self.call(account, f"List{word}s", draw(self.requests.page(word, account)))

    def next_page(self, draw) -> None:
        """Begin a list of what there is most of, and ask for its next page, perhaps as another account."""
        words = [resource.kind.word for resource in self.model.resources.values() if resource.account == ACCOUNTS[0]]
        word = draw(st.sampled_from(sorted(words, key=words.count)[-5:] or ["Schema"]))
        token = self.call(ACCOUNTS[0], f"List{word}s", {"maxResults": 1}).get("nextToken", "nonsense")
        self.call(draw(st.sampled_from(ACCOUNTS)), f"List{word}s", {"maxResults": 1, "nextToken": token})

    def use_version(self, draw) -> None:
        account, operation = draw(self.requests.accounts()), draw(st.sampled_from(Requests.ON_VERSIONS))
        self.call(account, operation, draw(self.requests.of("SolutionVersion", account)))

    def switch_recommender(self, draw) -> None:
        account, operation = draw(self.requests.accounts()), draw(st.sampled_from(Requests.ON_RECOMMENDERS))
        self.call(account, operation, draw(self.requests.of("Recommender", account)))

    def tag(self, draw) -> None:
        """Change the tags of a resource once or twice."""
        account = draw(self.requests.accounts())
        arn = draw(self.requests.tagged(account))
        for operation in draw(st.sampled_from((("TagResource", "UntagResource"), ("UntagResource",)))):
            self.call(account, operation, draw(self.requests.tagging(operation, arn)))
        self.call(account, "ListTagsForResource", {"resourceArn": arn})

    # Trainers

    def do_job(self, draw) -> None:
        """Let a trainer take a job and do it; a version may be worse than the one before it."""
        self.lease_and_complete(is_worse=draw(st.integers(0, 3)) == 0)

    def lease_and_complete(self, *, is_worse: bool = False) -> None:
        self.take_job("trainer-1")
        self.report_end(0, is_worse=is_worse)

    def lease(self, draw) -> None:
        self.take_job(draw(st.sampled_from(("trainer-1", "trainer-2"))))

    def take_job(self, worker: str) -> None:
        self.model.lease(self.service.lease(worker))

    def complete(self, draw) -> None:
        """Report success, or that the work was stopped, also with leases that were lost long ago."""
        self.report_end(draw(st.integers(0, 2)), is_stopped=draw(st.booleans()))

    def report_end(self, number: int, *, is_stopped: bool = False, is_worse: bool = False) -> None:
        lease = self.newest_lease(number)
        if lease is None:
            return
        kind = "stopped" if is_stopped else lease.job.kind
        result, member = RESULTS[kind]
        if kind == "solution_version_training" and is_worse:
            result, member = result | {"isWorse": True}, WORSE
        self.same(
            lambda: self.service.report_job("CompleteJob", lease.message, **{kind: member}) and None,
            lambda: self.model.complete(lease, kind, result),
        )

    def fail(self, draw) -> None:
        self.report_failure(draw(st.integers(0, 2)), draw(st.sampled_from(REASONS)), is_retryable=draw(st.booleans()))

    def fail_often(self, draw) -> None:
        """Let attempts fail one after another, until there are no more, or one succeeds after all."""
        for _ in range(draw(st.integers(2, 4))):
            self.take_job("trainer-1")
            self.report_failure(0, draw(st.sampled_from(REASONS)), is_retryable=True)
            self.service.clock.advance(seconds=draw(st.sampled_from((6, 11, 61))))
        self.take_job("trainer-1")

    def report_failure(self, number: int, reason: str, *, is_retryable: bool) -> None:
        lease = self.newest_lease(number)
        if lease is None:
            return
        members = {"failure_reason": reason, "retryable": is_retryable}
        self.same(
            lambda: self.service.report_job("FailJob", lease.message, **members).will_retry,
            lambda: self.model.fail(lease, reason, is_retryable=is_retryable),
        )

    def carry_on(self, draw) -> None:
        """Send a heartbeat, or give the job back because the trainer is stopping; another takes the next job then."""
        if draw(st.booleans()):
            self.take_job("trainer-1")
        lease = self.newest_lease(draw(st.integers(0, 2)))
        if lease is None:
            return
        if draw(st.booleans()):
            self.same(
                lambda: self.service.report_job("ReleaseJob", lease.message) and None,
                lambda: self.model.release(lease),
            )
            self.take_job("trainer-2")
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

    def serve(self, draw) -> None:
        """Let a runtime worker ask for its assignments, and perhaps say how far it is with them."""
        phases = st.sampled_from(("READY", "READY", "READY", "LOADING", "FAILED"))
        reports = draw(st.booleans())
        self.load(draw(st.sampled_from(WORKERS)), (lambda: draw(phases)) if reports else None)

    def serve_everywhere(self, draw) -> None:
        self.load_everywhere()
        if draw(st.booleans()):
            self.load_everywhere()

    def load_everywhere(self) -> None:
        """Let both workers load what they are told to."""
        for worker in WORKERS:
            self.load(worker, lambda: "READY")

    def load(self, worker: str, phase) -> None:
        """Let a worker ask for its assignments, and say, unless `phase` is None, how far it is with each of them."""
        given = self.model.given.get(worker)
        response = self.service.watch(worker, None if given is None else given[0])
        self.model.watch(worker)
        assigned = self.model.assignments()
        assert {item.serving_arn: item.solution_version_arn for item in response.assignments} == {
            arn: deployment.version.arn for arn, deployment in assigned.items()
        }
        self.model.give(worker, response.revision)
        if phase is None:
            return
        states, phases = [], {}
        for item in sorted(response.assignments, key=lambda item: item.serving_arn):
            name = phase()
            reason = REASONS[1] if name == "FAILED" else None
            number = serving_pb2.ServingPhase.Value(f"SERVING_PHASE_{name}")
            states.append(
                serving_pb2.ServingState(deployment_id=item.deployment_id, phase=number, failure_reason=reason)
            )
            phases[assigned[item.serving_arn]] = (name, reason)
        self.service.report_serving(worker, states)
        self.model.report(worker, phases)

    # Time

    def wait(self, draw) -> None:
        self.service.clock.advance(seconds=draw(st.sampled_from(PAUSES)))

    def sweep(self, _=None) -> None:
        self.service.sweep()
        self.model.sweep()

    # All that is shown

    def look(self) -> None:
        """Compare everything that exists, as both accounts see it."""
        for word in sorted({resource.kind.word for resource in self.model.resources.values()}):
            for account in ACCOUNTS:
                request: Document = {"maxResults": 2}
                while token := self.call(account, f"List{word}s", request).get("nextToken"):
                    request["nextToken"] = token
        for resource in list(self.model.resources.values()):
            self.call(resource.account, f"Describe{resource.kind.word}", {resource.kind.arn_member: resource.arn})
            if resource.kind.has_tags:
                self.call(resource.account, "ListTagsForResource", {"resourceArn": resource.arn})

    def teardown(self) -> None:
        self.sweep()
        self.look()
        self.service.plane.long_polls.close()


TRAINED = {"trainingHours": 0.125, "metrics": {"coverage": 0.5}, "isWorse": False}
GOOD = jobs_pb2.SolutionVersionTrainingResult(training_hours=0.125, metrics={"coverage": 0.5}, artifact_bytes=1)
WORSE = jobs_pb2.SolutionVersionTrainingResult(
    training_hours=0.125,
    metrics={"coverage": 0.5},
    artifact_bytes=1,
    evaluation=evaluation_pb2.Evaluation(
        comparison=evaluation_pb2.Comparison(verdict=evaluation_pb2.VERDICT_WORSE, reason="worse")
    ),
)
RESULTS: dict[str, tuple[Document, Any]] = {
    "dataset_import": ({}, jobs_pb2.DatasetImportResult(imported_rows=5000, files=1)),
    "solution_version_training": (TRAINED, GOOD),
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
    with asyncio.Runner() as runner:

        class WithStore(Agreement):
            pass

        WithStore.metadata_store, WithStore.runner = metadata_store, runner
        run_state_machine_as_test(
            WithStore,
            settings=settings(
                derandomize=not N_EXAMPLES,
                max_examples=N_EXAMPLES or 100,
                stateful_step_count=40,
                backend="independent",
                deadline=timedelta(seconds=60),
                database=None,
                # A failure is made smaller only where there is time for it.
                phases=[Phase.generate, *([Phase.shrink] if N_EXAMPLES else [])],
                suppress_health_check=list(HealthCheck),
            ),
        )
