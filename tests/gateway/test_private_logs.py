"""Nothing of what callers send stands in the gateway's log, whatever it is refused for."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from common.errors import invalid
from tests.gateway.protocol.test_faults import CAMPAIGN, post

MARK = "MARKED"
EVENT = {"eventType": MARK, "sentAt": 1700000000, "itemId": MARK}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/recommendations", {"campaignArn": CAMPAIGN, "userId": MARK * 300}),
        ("/recommendations", {"campaignArn": CAMPAIGN, "userId": 5, "context": {MARK: MARK * 900}}),
        ("/recommendations", {"campaignArn": MARK, MARK: MARK}),
        ("/recommendations", f'{{"userId": "{MARK}'.encode()),
        ("/events", {"trackingId": MARK, "sessionId": MARK * 300, "eventList": [EVENT]}),
        ("/events", {"trackingId": MARK, "sessionId": MARK, "eventList": [{**EVENT, "sentAt": MARK}]}),
        ("/events", {"trackingId": MARK, "sessionId": MARK, "eventList": [{**EVENT, "properties": {MARK: MARK}}]}),
        ("/events", {"trackingId": MARK, "sessionId": MARK, "eventList": [{**EVENT, "impression": [MARK] * 30}]}),
        ("/events", {"trackingId": MARK, "sessionId": MARK, "userId": MARK, "eventList": [EVENT] * 11}),
    ],
)
def test_rejections_of_the_gateway_are_logged_without_what_was_sent(endpoint, path, body):
    with capture_logs() as logs:
        answer = post(endpoint, path, body)

    assert answer.status_code == 400
    assert logs
    assert MARK not in str([line for line in logs if line["log_level"] != "debug"])


def test_rejection_of_a_service_is_logged_without_what_was_sent(endpoint):
    endpoint.servicers["personalize-events"].responses["PutEvents"] = invalid("userId", got=MARK, want="another")

    with capture_logs() as logs:
        answer = post(endpoint, "/events", {"trackingId": MARK, "sessionId": MARK, "eventList": [EVENT]})

    assert MARK in answer.text
    assert len(logs) == 3  # of the service, of the gateway, and for the audit
    assert MARK not in str(logs)
