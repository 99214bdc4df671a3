"""Offsets of the event log pass the gateway in both directions, as headers of HTTP."""

import pytest
from botocore.exceptions import ClientError

from common.errors import DeadlineExceeded
from common.event_offsets import OFFSET_KEY, WAIT_KEY
from common.positions import Position
from common.rpc import Service, required_offset, tell_offset
from common.testing import serving
from gateway.backends import BACKENDS
from gateway.protocol import CONTRACTS
from protos.tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc
from tests.gateway.conftest import ADD, running_gateway
from tests.gateway.wire import CAMPAIGN

RUNTIME = "personalize-runtime"
INCLUDED = Position(7, 100)


class OffsetTellingServicer(runtime_service_pb2_grpc.RuntimeServiceServicer):
    """Includes offsets up to 100 of one epoch."""

    async def GetRecommendations(self, request, context):
        required = required_offset()
        if required is not None and required.offset > INCLUDED.offset:
            raise DeadlineExceeded(f"got {required}, want {INCLUDED}")
        tell_offset(context, INCLUDED)
        return runtime_service_pb2.GetRecommendationsResponse(recommendation_id=str(required))


@pytest.fixture(scope="module")
def ask(shared_endpoint, rpc_keys):
    """Give a call through a gateway before a runtime that tells offsets."""
    service = Service(CONTRACTS[RUNTIME], ADD[RUNTIME], OffsetTellingServicer())
    with serving([service], keys=rpc_keys) as runtime:
        targets = {**shared_endpoint.targets, BACKENDS[RUNTIME]: runtime.target}
        with running_gateway(shared_endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
            client = shared_endpoint.client(RUNTIME, key=shared_endpoint.key, endpoint_url=url)
            metadata = {}
            client.meta.events.register("before-call", lambda params, **_: params["headers"].update(metadata))

            def call(wait_for=None):
                metadata.clear()
                metadata.update({} if wait_for is None else {WAIT_KEY: wait_for})
                return client.get_recommendations(campaignArn=CAMPAIGN)

            yield call
            client.close()


def test_the_offset_of_an_answer_is_a_header(ask):
    assert ask()["ResponseMetadata"]["HTTPHeaders"][OFFSET_KEY] == str(INCLUDED)


def test_what_a_caller_waits_for_reaches_the_runtime(ask):
    assert ask("7:100")["recommendationId"] == "7:100"


def test_a_wait_that_is_too_long_is_a_timeout(ask):
    with pytest.raises(ClientError, match="got 7:101, want 7:100") as caught:
        ask("7:101")

    assert caught.value.response["Error"]["Code"] == "RequestTimeoutException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_a_header_that_is_no_offset_is_refused_here(ask):
    with pytest.raises(ClientError, match="EPOCH:OFFSET") as caught:
        ask("soon")

    assert caught.value.response["Error"]["Code"] == "InvalidInputException"
