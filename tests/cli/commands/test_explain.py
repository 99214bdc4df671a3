"""`tailorbird explain` against a real server that answers with one explanation."""

from __future__ import annotations

import json

import pytest

from cli.app import Env, app, run
from common.errors import ResourceNotFound
from common.rpc import Service
from common.testing import make_keys, serving
from protos.tailorbird.runtime.v1 import explanation_service_pb2 as api
from protos.tailorbird.runtime.v1 import explanation_service_pb2_grpc

ARN = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
EXPLANATION = api.ExplainRecommendationsResponse(
    items=[
        api.ExplainedItem(
            item_id="film-1",
            place=1,
            score=0.25,
            source=api.CANDIDATE_SOURCE_INDEX,
            model_score=1.5,
            model_rank=2,
            ranking_influence=0.0,
            history_rules=0.125,
            exploration_bonus=0.0,
            total_score=1.625,
            rank=1,
            contributions=[api.Contribution(item_id="film-7", score_change=0.5)],
        )
    ],
    other_items=[
        api.ExplainedItem(
            item_id="film-2",
            absence_reason=api.ABSENCE_REASON_FILTERED,
            excluding_filter_arns=["arn:aws:personalize:us-east-1:000000000000:filter/for-children"],
        )
    ],
    model=api.ExplainedModel(recipe="aws-user-personalization-v2", index="annoy", deployment_id="d-1"),
    event_offset="7:17",
    exact=False,
    earlier_answer=api.EarlierAnswer(model_changed=True),
)


class OneExplanation(explanation_service_pb2_grpc.ExplanationServiceServicer):
    """Explains everything alike."""

    def __init__(self) -> None:
        self.requests = []

    def ExplainRecommendations(self, request, context):
        self.requests.append(request)
        if request.recommendation_id == "RID-unknown":
            raise ResourceNotFound("`recommendationId`: got RID-unknown, want another")
        return EXPLANATION


@pytest.fixture
def servicer():
    return OneExplanation()


@pytest.fixture
def tailorbird(servicer, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    keys, token_file = make_keys(), tmp_path / "token"
    token_file.write_text(keys.token("operator"))
    service = Service(
        api.DESCRIPTOR.services_by_name["ExplanationService"],
        explanation_service_pb2_grpc.add_ExplanationServiceServicer_to_server,
        servicer,
    )
    with serving([service], keys=keys) as running:

        def call(*arguments):
            options = ["--runtime", running.target, "--token-file", str(token_file)]
            return run(app, Env(environ={}), ["explain", *arguments, *options]), capsys.readouterr()

        yield call


def test_an_answer_is_shown_as_a_table(tailorbird, servicer):
    code, printed = tailorbird(ARN, "RID-1", "--why-not", "film-2")

    assert code == 0
    for text in (
        "film-1",
        "0.2500000",
        "+0.500",
        "not there: filtered for-children",
        "not exact",
        "7:17",
        "Another model",
    ):
        assert text in printed.out
    (request,) = servicer.requests
    assert (request.campaign_arn, request.recommendation_id, list(request.explained_ids)) == (ARN, "RID-1", ["film-2"])
    assert not request.HasField("num_results")


def test_a_request_is_explained_as_json(tailorbird, servicer):
    code, printed = tailorbird(ARN.replace("campaign", "recommender"), "--user", "u", "--count", "3", "--json")

    assert (code, json.loads(printed.out)["items"][0]["itemId"]) == (0, "film-1")
    (request,) = servicer.requests
    assert (request.recommender_arn, request.user_id, request.num_results) == (
        ARN.replace("campaign", "recommender"), "u", 3,
    )  # fmt: skip


def test_what_is_not_known_is_an_error(tailorbird):
    code, printed = tailorbird(ARN, "RID-unknown")

    assert (code, "RID-unknown" in printed.err) == (1, True)


def test_another_arn_is_refused(tailorbird):
    code, printed = tailorbird("arn:aws:personalize:us-east-1:0:solution/x")

    assert (code, "campaign" in printed.err) == (1, True)
