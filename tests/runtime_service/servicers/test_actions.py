"""GetActionRecommendations."""

from __future__ import annotations

import grpc
import pytest

from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from tests.runtime_service.servicers.wire import as_role
from tests.runtime_service.world import campaign, user


@pytest.fixture
def act(grpc_stub):
    def call(**members):
        request = messages.GetActionRecommendationsRequest(**{"campaign_arn": campaign("acts"), **members})
        return grpc_stub.GetActionRecommendations(request, metadata=as_role("client"), timeout=60)

    return call


def test_actions_are_recommended_with_how_likely_they_are_taken(act):
    lower, upper = (
        {entry.action_id: entry.score for entry in act(user_id=user(number)).action_list} for number in (4, 5)
    )
    assert set(lower) == {"lower", "upper"} | {"never"}
    assert lower["lower"] > 0.5 > lower["upper"]
    assert upper["upper"] > 0.5 > upper["lower"]
    assert lower["never"] == 0.0  # nobody took it, so it is not trained


def test_actions_come_best_first_and_as_many_as_wanted(act):
    answer = act(user_id=user(5), num_results=2)
    assert [entry.action_id for entry in answer.action_list] == ["upper", "lower"]
    assert answer.recommendation_id.startswith("RID-")
    assert not act(user_id=user(5), num_results=0).action_list
    assert len(act(user_id="nobody").action_list) == 3


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"user_id": "u", "num_results": 101}, "want an integer from 0 to 100"),
        ({}, "`userId`"),
        ({"user_id": "u", "filter_arn": "f"}, "`filterArn`: got 'f', want an ARN of a filter"),
        ({"user_id": "u", "filter_values": {"A": "1"}}, "want none without a filterArn"),
        ({"user_id": "u", "campaign_arn": campaign("films")}, "call GetRecommendations"),
    ],
)
def test_requests_for_actions_that_are_wrong_are_refused(act, members, text):
    with pytest.raises(grpc.RpcError, match=text):
        act(**members)
