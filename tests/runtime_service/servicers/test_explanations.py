"""ExplainRecommendations: of earlier answers, and of requests, for each kind of recipe."""

from __future__ import annotations

import grpc
import pytest

from common.errors import InvalidInput, PermissionDenied, ResourceNotFound, Throttled, Unauthenticated
from common.event_offsets import OFFSET_KEY
from common.rpc import from_rpc_error
from protos.tailorbird.runtime.v1 import explanation_service_pb2 as api
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from protos.tailorbird.runtime.v1.explanation_service_pb2_grpc import ExplanationServiceStub
from runtime_service.recorded_answers.ring import erase_answers
from tests.runtime_service.servicers.wire import as_role, ids, ranked_ids
from tests.runtime_service.world import N_ITEMS, campaign, item, recommender, user


@pytest.fixture
def explain(grpc_channel):
    stub = ExplanationServiceStub(grpc_channel)

    def call(name="films", *, role="client", account=None, **members):
        if "recommender_arn" not in members:
            members = {"campaign_arn": campaign(name) if name else None, **members}
        metadata = as_role(role, account=account) if role else []
        return stub.ExplainRecommendations(api.ExplainRecommendationsRequest(**members), metadata=metadata, timeout=60)

    return call


@pytest.fixture
def explanation_refused(explain):
    def call(*arguments, **members):
        with pytest.raises(grpc.RpcError) as caught:
            explain(*arguments, **members)
        return from_rpc_error(caught.value)

    return call


def explained_ids(explanation):
    return [entry.item_id for entry in explanation.items]


def sources(explanation):
    return {api.CandidateSource.Name(entry.source).removeprefix("CANDIDATE_SOURCE_") for entry in explanation.items}


def absence(entry):
    return api.AbsenceReason.Name(entry.absence_reason).removeprefix("ABSENCE_REASON_")


def test_an_earlier_answer_is_explained_in_its_order(recommend, explain):
    answer = recommend(user_id=user(7), num_results=8)

    explanation = explain(recommendation_id=answer.recommendation_id)

    assert explained_ids(explanation) == ids(answer)
    assert [entry.place for entry in explanation.items] == list(range(1, 9))
    assert [entry.rank for entry in explanation.items] == list(range(1, 9))
    assert [entry.score for entry in explanation.items] == [entry.score for entry in answer.item_list]
    assert sources(explanation) == {"ALL_ITEMS"}
    assert explanation.exact
    earlier = explanation.earlier_answer
    assert (earlier.recommendation_id, earlier.model_changed) == (answer.recommendation_id, False)
    assert earlier.event_offset == explanation.event_offset != ""
    assert earlier.answered_at.seconds > 1_700_000_000
    # What was done a moment ago counts, and is told.
    assert {one.item_id for entry in explanation.items for one in entry.contributions} >= {item(N_ITEMS - 2)}
    assert all(len(entry.contributions) <= 3 for entry in explanation.items)


def test_an_answer_to_a_request_is_explained_without_one(recommend, explain):
    explanation = explain(user_id=user(0), num_results=5, num_contributions=1)

    assert explained_ids(explanation) == ids(recommend(user_id=user(0), num_results=5))
    assert not explanation.HasField("earlier_answer")
    for entry in explanation.items:
        parts = entry.model_score + entry.ranking_influence + entry.history_rules + entry.exploration_bonus
        assert entry.total_score == pytest.approx(parts, rel=1e-5)
        assert len(entry.contributions) == 1
    model = explanation.model
    assert (model.recipe, model.index, model.artifact_location) == (
        "aws-user-personalization-v2", "exact", "artifacts/personal",
    )  # fmt: skip


def test_items_that_are_missed_are_explained_beside(explain):
    explanation = explain(user_id=user(0), num_results=5, explained_ids=[item(31), "no-such-item"])

    missed, unknown = explanation.other_items
    assert (missed.item_id, absence(missed)) == (item(31), "RANKED_BELOW")
    assert missed.rank > 5
    assert (unknown.item_id, absence(unknown)) == ("no-such-item", "UNKNOWN_ID")
    assert not missed.HasField("place")
    assert not unknown.HasField("model_score")


def test_explored_items_are_told_apart_although_others_may_be_explored_now(recommend, explain):
    answer = recommend("explored", user_id=user(1), num_results=8)

    explanation = explain("explored", recommendation_id=answer.recommendation_id)

    by_source = {entry.item_id: api.CandidateSource.Name(entry.source) for entry in explanation.items}
    explored = {entry.item_id for entry in answer.item_list if entry.reason}
    assert {item_id for item_id, source in by_source.items() if source == "CANDIDATE_SOURCE_EXPLORATION"} == explored


def test_a_ranking_is_explained(rank, explain):
    answer = rank(item(3), item(30), "no-such-item", item(8), user_id=user(0))

    explanation = explain("ranked", recommendation_id=answer.recommendation_id, explained_ids=[item(9)])

    assert explained_ids(explanation) == ranked_ids(answer)
    assert sources(explanation) == {"INPUT_LIST"}
    assert [entry.HasField("model_score") for entry in explanation.items] == [True, True, True, False]
    assert absence(explanation.other_items[0]) == "NOT_LISTED"
    again = explain("ranked", input_list=[item(3), item(30), "no-such-item", item(8)], user_id=user(0))
    assert explained_ids(again) == ranked_ids(answer)


def test_popular_and_similar_items_are_explained(explain):
    popular = explain("hits", num_results=3)
    similar = explain("alike", item_id=item(3), num_results=3, explained_ids=[item(3)])

    assert not any(entry.contributions or entry.HasField("score") for entry in popular.items)
    assert all(1 <= entry.rank <= entry.place for entry in popular.items)
    assert {one.item_id for entry in similar.items for one in entry.contributions} == {item(3)}
    assert absence(similar.other_items[0]) == "CURRENT_ITEM"


def test_actions_are_explained(grpc_stub, explain):
    request = messages.GetActionRecommendationsRequest(campaign_arn=campaign("acts"), user_id=user(0))
    answer = grpc_stub.GetActionRecommendations(request, metadata=as_role("client"), timeout=60)

    explanation = explain("acts", recommendation_id=answer.recommendation_id)

    assert explained_ids(explanation) == [entry.action_id for entry in answer.action_list]
    assert [entry.total_score for entry in explanation.items] == pytest.approx(
        [entry.score for entry in answer.action_list], abs=1e-6
    )


def test_a_recommender_is_explained_and_context_counts(explain, recommend):
    arn = recommender("aws-ecomm-recommended-for-you")
    assert len(explain(recommender_arn=arn, user_id=user(0), num_results=4).items) == 4

    on_tv = explain("films-with-context", user_id=user(0), context={"DEVICE": "tv"}, num_results=2)
    assert explained_ids(on_tv) == ids(
        recommend("films-with-context", user_id=user(0), context={"DEVICE": "tv"}, num_results=2)
    )


def test_nothing_is_noted_by_an_explanation(explain, recommend, ring):
    answer = recommend("explored", user_id=user(1), num_results=8)
    before = ring.folder.joinpath("worker-0.ring").read_bytes()

    explain("explored", user_id=user(1), num_results=8)
    explain("explored", recommendation_id=answer.recommendation_id)

    assert ring.folder.joinpath("worker-0.ring").read_bytes() == before


def test_an_answer_that_is_not_known_here_says_what_to_do(explanation_refused, recommend):
    error = explanation_refused(recommendation_id="RID-6ba7b810-9dad-41d1-80b4-00c04fd430c8")

    assert isinstance(error, ResourceNotFound)
    assert "another host" in error.message
    assert "without a recommendationId" in error.message


def test_answers_are_explained_for_their_campaign_and_account_alone(explanation_refused, recommend):
    answer = recommend(user_id=user(0))

    for arguments in ({"name": "hits"}, {"account": "111122223333"}):
        assert isinstance(
            explanation_refused(recommendation_id=answer.recommendation_id, **arguments), ResourceNotFound
        )


def test_an_answer_is_not_known_once_users_were_deleted(explanation_refused, recommend, ring):
    answer = recommend(user_id=user(0))

    erase_answers(ring.folder)

    assert isinstance(explanation_refused(recommendation_id=answer.recommendation_id), ResourceNotFound)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"num_contributions": 11}, "numContributions"),
        ({"num_contributions": -1}, "numContributions"),
        ({"explained_ids": ["x"] * 26}, "explainedIds"),
        ({"explained_ids": ["x", ""]}, "explainedIds[1]"),
        ({"num_results": 0}, "numResults"),
        ({"num_results": 501}, "numResults"),
        ({"input_list": ["x"]}, "inputList"),
        ({"recommendation_id": "RID-1"}, "userId"),
        ({"user_id": ""}, "userId"),
    ],
)
def test_what_cannot_be_explained_is_refused_by_name(explanation_refused, members, field):
    error = explanation_refused(**{"user_id": user(0), **members})

    assert isinstance(error, InvalidInput)
    assert [violation.field for violation in error.violations] == [field]


@pytest.mark.parametrize(("role", "kind"), [("trainer", PermissionDenied), (None, Unauthenticated)])
def test_others_may_not_ask(explanation_refused, role, kind):
    assert isinstance(explanation_refused(role=role, user_id=user(0)), kind)


def test_an_explanation_tells_its_offset_as_answers_do(grpc_channel):
    request = api.ExplainRecommendationsRequest(campaign_arn=campaign("films"), user_id=user(0))

    explanation, answered = ExplanationServiceStub(grpc_channel).ExplainRecommendations.with_call(
        request, metadata=as_role("operator"), timeout=60
    )

    assert dict(answered.trailing_metadata())[OFFSET_KEY] == explanation.event_offset


def test_few_explanations_are_made_at_a_time(explanation_refused, explanations, monkeypatch):
    monkeypatch.setattr(explanations, "_in_progress", 4)

    assert isinstance(explanation_refused(user_id=user(0)), Throttled)
