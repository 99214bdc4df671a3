"""A plan is carried out as far as can be known beforehand to be possible, through restarts and updates in progress."""

from contextlib import ExitStack

import pytest
from google.protobuf.message_factory import GetMessageClass

from cli.declaration.api import ControlPlaneApi
from cli.declaration.executor import Executor, WaitPolicy
from cli.declaration.existing import Reader
from cli.declaration.kinds import METHODS, Kind
from cli.declaration.load import load
from cli.declaration.planner import plan
from cli.declaration.steps import Action, Plan, Ref
from common.errors import (
    DeadlineExceeded,
    InvalidInput,
    PermissionDenied,
    ResourceInUse,
    ResourceNotFound,
    Unavailable,
    invalid,
)
from common.process.backoff import BackoffPolicy
from common.rpc import Service
from common.testing import serving
from protos.tailorbird.control.v1 import common_pb2
from protos.tailorbird.control.v1.control_plane_service_pb2 import DESCRIPTOR
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import (
    ControlPlaneServiceServicer,
    add_ControlPlaneServiceServicer_to_server,
)

FILE = """
datasetGroups:
  films:
    filters: {unseen: {filterExpression: EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("a")}}
    solutions: {popular: {recipeArn: "arn:aws:personalize:::recipe/aws-popularity-count"}}
"""
GROUP = Ref(Kind.DATASET_GROUP, "films")
PREFIX = "arn:aws:personalize:eu-west-1:123456789012:"


@pytest.fixture
def declare(tmp_path):
    def from_text(text):
        (tmp_path / "file.yaml").write_text(text)
        return load(tmp_path / "file.yaml", buckets=None)

    return from_text


def control_plane(**methods):
    """Return a servicer with some methods; other lists are empty, other operations check their requests."""

    def missing(name):
        response = GetMessageClass(METHODS[name].output_type)

        def method(self, request, context):
            if name.startswith("List"):
                return response()
            raise invalid("name", got=None, want="a name")

        return method

    members = {name: methods.get(name) or missing(name) for name in METHODS}
    return type("Servicer", (ControlPlaneServiceServicer,), members)()


def denied(self, request, context):
    raise PermissionDenied("not yours")


@pytest.fixture
def connect():
    """Return a function that starts a control plane with some methods, and returns its API."""
    stack = ExitStack()

    def to_servicer(**methods):
        servicer = control_plane(**methods)
        contract = DESCRIPTOR.services_by_name["ControlPlaneService"]
        service = Service(contract, add_ControlPlaneServiceServicer_to_server, servicer)
        running = stack.enter_context(serving([service]))
        return ControlPlaneApi(stack.enter_context(running.channel("operator")))

    with stack:
        yield to_servicer


def test_permissions_are_a_matter_of_the_call_itself_since_they_depend_on_the_resource(connect, declare):
    api = connect(CreateFilter=denied)
    planned = plan(declare(FILE), Reader(api))
    with pytest.raises(PermissionDenied, match="filter films/unseen: not yours"):
        Executor(api, WaitPolicy(0.0), report=lambda step, outcome: None).run(
            Plan.of((step for step in planned.steps if step.ref.kind is Kind.FILTER), {GROUP: "arn"})
        )


def test_a_plan_calls_nothing_that_changes_something(connect, declare):
    changed = []

    def refuse(self, request, context):
        changed.append(type(request).__name__)
        raise PermissionDenied("not yours")

    api = connect(**{name: refuse for name in METHODS if not name.startswith(("List", "Describe"))})

    assert len(plan(declare(FILE), Reader(api)).steps) == 3
    assert changed == []


def existing_recommender(**changes):
    """Return the methods of a control plane with a recommender, whose members are set as given."""
    arns = {"dataset_group_arn": f"{PREFIX}dataset-group/films", "recommender_arn": f"{PREFIX}recommender/best"}

    def listed(method, field, **members):
        def call(self, request, context):
            response = GetMessageClass(METHODS[method].output_type)()
            getattr(response, field).add(**members)
            return response

        return call

    def described(method, field, **members):
        def call(self, request, context):
            response = GetMessageClass(METHODS[method].output_type)()
            target = getattr(response, field)
            target.MergeFrom(type(target)(**{"status": common_pb2.RESOURCE_STATUS_ACTIVE, **members}))
            return response

        return call

    group = {"name": "films", "dataset_group_arn": arns["dataset_group_arn"]}
    return {
        "ListDatasetGroups": listed("ListDatasetGroups", "dataset_groups", **group),
        "DescribeDatasetGroup": described("DescribeDatasetGroup", "dataset_group", **group),
        "ListRecommenders": listed(
            "ListRecommenders", "recommenders", name="best", recommender_arn=arns["recommender_arn"]
        ),
        "DescribeRecommender": described("DescribeRecommender", "recommender", name="best", **arns, **changes),
    }


DECLARED = """
datasetGroups:
  films:
    recommenders:
      best: {recipeArn: some, recommenderConfig: {minRecommendationRequestsPerSecond: 2}}
"""


def config(rate):
    return {"min_recommendation_requests_per_second": rate, "item_exploration_config": {"explorationWeight": "0.5"}}


@pytest.mark.parametrize(
    ("changes", "actions"),
    [
        ({"recommender_config": config(2)}, []),
        ({"recommender_config": config(2), "status": common_pb2.RESOURCE_STATUS_INACTIVE}, []),
        ({"recommender_config": config(2), "status": common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS}, [Action.WAIT]),
        ({"recommender_config": config(1)}, [Action.UPDATE]),
        (
            {
                "recommender_config": config(1),
                "latest_recommender_update": {
                    "recommender_config": config(2), "status": common_pb2.RESOURCE_STATUS_CREATE_PENDING,
                },
            },
            [Action.WAIT],
        ),
        (
            {
                "recommender_config": config(2),
                "latest_recommender_update": {
                    "recommender_config": config(3), "status": common_pb2.RESOURCE_STATUS_CREATE_PENDING,
                },
            },
            [Action.UPDATE],
        ),
        (
            {
                "recommender_config": config(1),
                "latest_recommender_update": {
                    "recommender_config": config(2), "status": common_pb2.RESOURCE_STATUS_CREATE_FAILED,
                },
            },
            [Action.UPDATE],
        ),
        ({"status": common_pb2.RESOURCE_STATUS_DELETE_PENDING}, [Action.CREATE]),
    ],
    ids=range(8),
)  # fmt: skip
def test_updates_in_progress_count_as_done(connect, declare, changes, actions):
    api = connect(**existing_recommender(recipe_arn="some", **changes))
    steps = plan(declare(DECLARED), Reader(api)).steps
    assert [step.action for step in steps] == actions
    if actions == [Action.UPDATE]:
        # The configuration is replaced as a whole, so what the file leaves alone is sent as it is.
        assert dict(steps[0].request.recommender_config.item_exploration_config) == {"explorationWeight": "0.5"}
        assert steps[0].request.recommender_config.min_recommendation_requests_per_second == 2


def test_a_resource_that_failed_is_told_with_its_reason(connect, declare):
    failed = {"status": common_pb2.RESOURCE_STATUS_CREATE_FAILED, "failure_reason": "too few rows"}
    api = connect(**existing_recommender(recipe_arn="some", **failed))
    with pytest.raises(
        InvalidInput, match=r"recommenders.best \(line 5\)`: .*CREATE FAILED \(too few rows\), want one"
    ):
        plan(declare(DECLARED), Reader(api))


def test_a_control_plane_that_is_gone_is_waited_for(connect, declare):
    pending = existing_recommender(recipe_arn="some", recommender_config=config(2))
    calls = []

    def starting(self, request, context):
        calls.append(request)
        if len(calls) in (2, 3):
            raise Unavailable("starting")
        response = pending["DescribeRecommender"](self, request, context)
        if len(calls) < 5:
            response.recommender.status = common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS
        return response

    api = connect(**{**pending, "DescribeRecommender": starting})
    outcomes = []
    policy = WaitPolicy(60, BackoffPolicy(0.001, 0.01))
    executor = Executor(api, policy, report=lambda step, outcome: outcomes.append((step.title, outcome)))
    executor.run(plan(declare(DECLARED), Reader(api)))
    assert outcomes == [("recommender films/best", "ready")]
    assert len(calls) == 5


def test_waits_end(connect, declare):
    creating = {"status": common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS, "recommender_config": config(2)}
    api = connect(**existing_recommender(recipe_arn="some", **creating))
    executor = Executor(api, WaitPolicy(0.0), report=lambda step, outcome: None)
    with pytest.raises(DeadlineExceeded, match="recommender films/best: is CREATE IN_PROGRESS after 0 minutes; run"):
        executor.run(plan(declare(DECLARED), Reader(api)))


def test_a_deletion_waits_for_the_end_of_an_update(connect, declare):
    running = {"recommender_config": config(2), "status": common_pb2.RESOURCE_STATUS_CREATE_PENDING}
    methods = existing_recommender(recipe_arn="some", latest_recommender_update=running)
    calls = []

    def describe(self, request, context):
        calls.append("describe")
        if calls.count("delete") == 2:
            raise ResourceNotFound("gone")
        response = methods["DescribeRecommender"](self, request, context)
        if calls.count("delete") == 1:
            response.recommender.latest_recommender_update.status = common_pb2.RESOURCE_STATUS_ACTIVE
        return response

    def delete(self, request, context):
        calls.append("delete")
        if calls.count("delete") == 1:
            raise ResourceInUse("an update is in progress")
        return GetMessageClass(METHODS["DeleteRecommender"].output_type)()

    api = connect(**{**methods, "DescribeRecommender": describe, "DeleteRecommender": delete})
    outcomes = []
    policy = WaitPolicy(60, BackoffPolicy(0.001, 0.01))
    executor = Executor(api, policy, report=lambda step, outcome: outcomes.append((step.title, outcome)))
    executor.run(plan(declare("datasetGroups: {films: {}}"), Reader(api), prune=True))
    assert outcomes == [("recommender films/best", "deleted")]
    assert calls.count("delete") == 2
