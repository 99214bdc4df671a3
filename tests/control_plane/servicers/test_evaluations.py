"""EvaluationService on a real server: a training's result comes out as it went in, to those who may see it."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import json_format

from common import errors
from common.rpc import from_rpc_error
from protos.tailorbird.control.v1 import campaign_pb2, common_pb2, solution_version_pb2
from protos.tailorbird.control.v1 import evaluation_service_pb2 as api
from protos.tailorbird.control.v1.evaluation_service_pb2_grpc import EvaluationServiceStub
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2

EVALUATION = evaluation_pb2.Evaluation(
    test_users=40,
    hidden_new_item_share=0.0,
    model=evaluation_pb2.ModelEvaluation(
        name="model",
        metrics=[
            evaluation_pb2.MeasuredMetric(name="coverage", value=0.5, users=40),
            evaluation_pb2.MeasuredMetric(name="precision_at_5", value=0.1, low=0.05, high=0.15, users=40),
        ],
    ),
    comparison=evaluation_pb2.Comparison(
        solution_version_arn="arn:before",
        verdict=evaluation_pb2.VERDICT_WORSE,
        users=40,
        differences=[
            evaluation_pb2.MetricDifference(name="precision_at_5", value=0.1, predecessor=0.3, low=-1, high=0)
        ],
        reason="significantly worse than arn:before",
    ),
)


def train(world, stubs, solution, **result):
    world.clock.advance(seconds=1)
    arn = world.version(solution)
    job = stubs.jobs.LeaseJob(jobs_pb2.LeaseJobRequest(worker_id="trainer", wait_seconds=0)).job
    done = jobs_pb2.SolutionVersionTrainingResult(training_hours=0.25, metrics={"coverage": 0.5}, **result)
    stubs.jobs.CompleteJob(
        jobs_pb2.CompleteJobRequest(job_id=job.job_id, lease_token=job.lease_token, solution_version_training=done)
    )
    return arn, job


@pytest.fixture
def trained(world, grpc_stub):
    """Give a solution with a version that is worse than its first."""
    solution = world.solution(world.imported_group())
    first, _ = train(world, grpc_stub, solution)
    second, job = train(world, grpc_stub, solution, evaluation=EVALUATION)
    return solution, first, second, job


def refused(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    return from_rpc_error(caught.value)


def test_an_evaluation_comes_out_as_it_went_in(world, grpc_stub, trained):
    _, _, second, _ = trained
    request = api.GetSolutionVersionEvaluationRequest(solution_version_arn=second)

    shown = grpc_stub.evaluations.GetSolutionVersionEvaluation(request).solution_version_evaluation

    assert shown.evaluation == EVALUATION
    assert (shown.solution_version_arn, shown.training_hours, dict(shown.metrics)) == (second, 0.25, {"coverage": 0.5})
    assert shown.creation_date_time.ToDatetime().replace(tzinfo=None) == world.clock.now().replace(tzinfo=None)


def test_a_training_is_told_its_predecessor(grpc_stub, trained):
    _, first, _, job = trained
    named = job.solution_version_training.predecessor
    assert named.solution_version_arn == first
    assert named.artifact_location.startswith("artifacts/")


def test_versions_of_a_solution_are_compared(grpc_stub, trained):
    solution, first, second, _ = trained
    answer = grpc_stub.evaluations.CompareSolutionVersions(api.CompareSolutionVersionsRequest(solution_arn=solution))
    assert [item.solution_version_arn for item in answer.solution_version_evaluations] == [second, first]
    assert [item.HasField("evaluation") for item in answer.solution_version_evaluations] == [True, False]


def test_a_rejection_is_shown(world, grpc_stub, trained):
    solution, first, *_ = trained
    campaign = world.campaign(first)
    world.serve("worker")
    # It begins to follow while the first is the newest that it may take.
    config = campaign_pb2.CampaignConfig(sync_with_latest_solution_version=True)
    world.resources.campaigns.update(campaign, campaign_config=config, solution_version_arn=f"{solution}/$LATEST")
    world.serve("worker")
    worse, _ = train(world, grpc_stub, solution, evaluation=EVALUATION)
    world.sweep()

    request = api.CompareSolutionVersionsRequest(solution_arn=solution, solution_version_arns=[worse])
    (shown,) = grpc_stub.evaluations.CompareSolutionVersions(request).solution_version_evaluations

    (rejection,) = shown.refusals
    assert rejection.campaign_arn == campaign
    assert f"refused: {worse} is significantly worse than arn:before" in rejection.reason
    assert rejection.HasField("creation_date_time")


def test_the_trainings_of_a_recommender_are_compared_and_its_rejection_is_shown(world, grpc_stub):
    recommender = world.active_recommender()
    world.clock.advance(seconds=7 * 24 * 3600)
    world.sweep()
    world.finish_next({"evaluation": json_format.MessageToDict(EVALUATION)})
    world.sweep()
    compare = grpc_stub.evaluations.CompareSolutionVersions

    worse, served = compare(api.CompareSolutionVersionsRequest(solution_arn=recommender)).solution_version_evaluations

    assert worse.solution_version_arn.startswith(f"{recommender}/")
    assert worse.evaluation == EVALUATION
    (rejection,) = worse.refusals
    assert (rejection.recommender_arn, rejection.HasField("campaign_arn")) == (recommender, False)
    assert f"The recommender serves {served.solution_version_arn}." in rejection.reason
    one = api.CompareSolutionVersionsRequest(
        solution_arn=recommender, solution_version_arns=[worse.solution_version_arn]
    )
    assert list(compare(one).solution_version_evaluations) == [worse]
    request = api.GetSolutionVersionEvaluationRequest(solution_version_arn=worse.solution_version_arn)
    assert grpc_stub.evaluations.GetSolutionVersionEvaluation(request).solution_version_evaluation == worse


@pytest.mark.parametrize(
    ("arn", "kind"), [("recommender/gone", errors.ResourceNotFound), ("campaign/films", errors.InvalidInput)]
)
def test_what_has_no_versions_cannot_be_compared(grpc_stub, arn, kind):
    request = api.CompareSolutionVersionsRequest(solution_arn=f"arn:aws:personalize:eu-west-1:000000000000:{arn}")

    assert isinstance(refused(grpc_stub.evaluations.CompareSolutionVersions, request), kind)


def test_a_new_campaign_refuses_a_worse_version_until_it_is_updated_by_hand(world, grpc_stub, trained):
    solution, first, worse, _ = trained
    create = campaign_pb2.CreateCampaignRequest(name=world.name("new"), solution_version_arn=f"{solution}/$LATEST")
    arn = grpc_stub.control.CreateCampaign(create).campaign_arn
    world.serve("worker")

    def described():
        request = campaign_pb2.DescribeCampaignRequest(campaign_arn=arn)
        return grpc_stub.control.DescribeCampaign(request).campaign

    assert described().solution_version_arn == first
    rejection = described().latest_campaign_update
    assert (rejection.solution_version_arn, rejection.status) == (worse, common_pb2.RESOURCE_STATUS_CREATE_FAILED)
    assert f"refused: {worse} is significantly worse than arn:before" in rejection.failure_reason
    assert f"call UpdateCampaign with the solutionVersionArn {solution}/$LATEST" in rejection.failure_reason

    update = campaign_pb2.UpdateCampaignRequest(campaign_arn=arn, solution_version_arn=f"{solution}/$LATEST")
    grpc_stub.control.UpdateCampaign(update)
    world.serve("worker")
    assert described().solution_version_arn == worse


def test_metrics_of_personalize_stay_unchanged(grpc_stub, trained):
    request = solution_version_pb2.GetSolutionMetricsRequest(solution_version_arn=trained[2])
    assert dict(grpc_stub.control.GetSolutionMetrics(request).metrics) == {"coverage": 0.5}


def test_an_arn_is_needed(grpc_stub):
    error = refused(grpc_stub.evaluations.CompareSolutionVersions, api.CompareSolutionVersionsRequest())
    assert isinstance(error, errors.InvalidInput)
    assert "solutionArn" in error.message


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        (None, errors.Unauthenticated),
        ("trainer", errors.PermissionDenied),
        ("runtime", errors.PermissionDenied),
        ("gateway", errors.PermissionDenied),
    ],
)
def test_only_applications_and_people_may_read_evaluations(grpc_stub, role, kind):
    stub = grpc_stub.with_role(EvaluationServiceStub, role)
    request = api.GetSolutionVersionEvaluationRequest(solution_version_arn="arn")
    assert isinstance(refused(stub.GetSolutionVersionEvaluation, request), kind)


def test_an_operator_may_read_evaluations(grpc_stub, trained):
    stub = grpc_stub.with_role(EvaluationServiceStub, "operator")
    answer = stub.CompareSolutionVersions(api.CompareSolutionVersionsRequest(solution_arn=trained[0]))
    assert len(answer.solution_version_evaluations) == 2
