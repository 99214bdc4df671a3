"""Who makes a call, as the method that serves it sees it."""

import json

import grpc
import pytest

from common.auth import Caller, current_caller, forwarded
from common.errors import TailorbirdError
from common.event_offsets import WAIT_KEY
from common.rpc import Service
from common.testing import serving
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc

ACCOUNT = "123456789012"
OWN = "000000000000"
Recommendations = runtime_service_pb2.GetRecommendationsResponse
Ranking = runtime_service_pb2.GetPersonalizedRankingResponse


def describe_caller():
    caller = current_caller()
    return json.dumps([caller.role, caller.subject, caller.account])


class CallerTellingServicer(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Answers with the caller, in a coroutine and in a thread."""

    async def GetRecommendations(self, request, context):
        return Recommendations(recommendation_id=describe_caller())

    def GetPersonalizedRanking(self, request, context):
        return Ranking(recommendation_id=describe_caller())


@pytest.fixture(scope="module")
def server():
    service = Service(
        runtime_service_pb2.DESCRIPTOR.services_by_name["RuntimeService"],
        runtime_service_pb2_grpc.add_RuntimeServiceServicer_to_server,
        CallerTellingServicer(),
    )
    with serving([service]) as running:
        yield running


def callers(server, role, *, account=None, metadata=()):
    """Return the caller that each form of method sees."""
    with server.channel(role, account=account) as channel:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        responses = [
            stub.GetRecommendations(runtime_service_pb2.GetRecommendationsRequest(), metadata=metadata),
            stub.GetPersonalizedRanking(runtime_service_pb2.GetPersonalizedRankingRequest(), metadata=metadata),
        ]
    return [Caller(*json.loads(response.recommendation_id)) for response in responses]


def test_coroutines_and_threads_see_the_holder_of_the_token(server):
    assert callers(server, "client", account=ACCOUNT) == 2 * [Caller("client", "test-client", ACCOUNT)]


def test_token_without_account_is_of_the_installations_own(server):
    assert callers(server, "operator") == 2 * [Caller("operator", "test-operator", OWN)]


@pytest.mark.parametrize("account", [None, ACCOUNT])
def test_gateway_passes_its_caller_on(server, account):
    caller = Caller("gateway", "TBKEY", account)

    assert callers(server, "gateway", metadata=forwarded(caller)) == 2 * [Caller("gateway", "TBKEY", account or OWN)]


@pytest.mark.parametrize("role", ["client", "operator"])
@pytest.mark.parametrize("name", ["x-tailorbird-account", "x-tailorbird-caller", "x-tailorbird-other"])
def test_nobody_else_names_a_caller(server, role, name):
    with pytest.raises(grpc.RpcError) as caught:
        callers(server, role, metadata=((name, ACCOUNT),))

    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert name in caught.value.details()


def test_anybody_says_which_offset_to_wait_for(server):
    assert callers(server, "client", metadata=((WAIT_KEY, "1:2"),)) == 2 * [Caller("client", "test-client", OWN)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-tailorbird-account", "12"), ("x-tailorbird-account", "1" * 13), ("x-tailorbird-caller", "a b")],
)
def test_malformed_names_are_refused(server, name, value):
    with pytest.raises(grpc.RpcError) as caught:
        callers(server, "gateway", metadata=((name, value),))

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_there_is_no_caller_outside_of_a_call():
    with pytest.raises(TailorbirdError, match="caller"):
        current_caller()
