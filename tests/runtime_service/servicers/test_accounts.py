"""Campaigns of other accounts: they do not exist, whatever is asked of them."""

import grpc
import pytest

from common.rpc import from_rpc_error
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from tests.runtime_service.servicers.wire import KEYS
from tests.runtime_service.world import campaign

FOREIGN = "123456789012"
CALLS = {
    "GetRecommendations": messages.GetRecommendationsRequest(user_id="1"),
    "GetPersonalizedRanking": messages.GetPersonalizedRankingRequest(user_id="1", input_list=["1"]),
    "GetActionRecommendations": messages.GetActionRecommendationsRequest(user_id="1"),
}


def answered(stub, operation, arn, *metadata):
    request = type(CALLS[operation])()
    request.CopyFrom(CALLS[operation])
    request.campaign_arn = arn
    return getattr(stub, operation)(request, metadata=metadata, timeout=60)


def refused(stub, operation, arn, *metadata):
    """Return what is answered, without the ARN that was sent."""
    with pytest.raises(grpc.RpcError) as caught:
        answered(stub, operation, arn, *metadata)
    error = from_rpc_error(caught.value)
    return type(error), error.message.replace(arn, "ARN"), sorted(error.metadata)


@pytest.mark.parametrize(
    ("operation", "name"),
    [("GetRecommendations", "films"), ("GetPersonalizedRanking", "ranked"), ("GetActionRecommendations", "acts")],
)
def test_a_campaign_of_another_account_is_like_none(grpc_stub, operation, name):
    holder = ("authorization", f"Bearer {KEYS.token('client')}")
    foreign = ("authorization", f"Bearer {KEYS.token('client', account=FOREIGN)}")
    passed_on = [
        ("authorization", f"Bearer {KEYS.token('gateway')}"),
        ("x-tailorbird-caller", "TBKEY"),
        ("x-tailorbird-account", FOREIGN),
    ]
    assert answered(grpc_stub, operation, campaign(name), holder).recommendation_id

    missing = refused(grpc_stub, operation, campaign("missing"), holder)

    assert missing == refused(grpc_stub, operation, campaign(name), foreign)
    assert missing == refused(grpc_stub, operation, campaign(name), *passed_on)
    # An operation that another kind of recipe answers tells no more.
    others = {"films": "ranked", "ranked": "films", "acts": "films"}
    assert missing == refused(grpc_stub, operation, campaign(others[name]), foreign)
