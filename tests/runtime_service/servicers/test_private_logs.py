"""Nothing of what callers send stands in the log, whatever it is refused for."""

from __future__ import annotations

import grpc
import pytest
from structlog.testing import capture_logs

from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from tests.runtime_service.servicers.wire import as_role
from tests.runtime_service.world import campaign

MARK = "MARKED"
LONG = MARK * 300


def recommendations(name="films", **members):
    return "GetRecommendations", messages.GetRecommendationsRequest(campaign_arn=campaign(name), **members)


def ranking(**members):
    return "GetPersonalizedRanking", messages.GetPersonalizedRankingRequest(campaign_arn=campaign("ranked"), **members)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        recommendations(MARK, user_id=MARK),
        recommendations(user_id=LONG),
        recommendations(user_id=MARK, num_results=-1),
        recommendations(user_id=MARK, context={"DEVICE": MARK}),
        recommendations("films-with-context", user_id=MARK, context={MARK: MARK}),
        recommendations("films-with-context", user_id=MARK, context={f"{MARK}.": MARK}),
        recommendations("films-with-context", user_id=MARK, context={"DEVICE": LONG}),
        recommendations("films-with-context", user_id=MARK, context={MARK: LONG}),
        recommendations("alike", item_id=LONG),
        recommendations("alike", user_id=MARK),
        ranking(user_id=LONG, input_list=[MARK]),
        ranking(user_id=MARK, input_list=[LONG]),
        ranking(user_id=MARK, input_list=[MARK] * 600),
    ],
)
def test_rejections_are_logged_without_what_was_sent(grpc_stub, method, request_):
    with capture_logs() as logs, pytest.raises(grpc.RpcError):
        getattr(grpc_stub, method)(request_, metadata=as_role("client"), timeout=60)

    loud = [line for line in logs if line["log_level"] != "debug"]
    assert [line["event"] for line in loud] == ["rpc"]
    assert MARK not in str(loud)
