"""Nothing of what callers send stands in the gateway's log, whatever it is refused for."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from time import monotonic

import pytest
from botocore.exceptions import ClientError
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


@pytest.mark.parametrize("state", ["sound", "wrong mode"])
def test_callers_who_prove_nothing_do_not_fill_the_log(endpoint, state):
    file = endpoint.access_keys.path
    unknown = dataclasses.replace(endpoint.key, access_key_id="TBUNKNOWN")
    mode = 0o600 if state == "sound" else 0o644
    file.chmod(mode)
    began = monotonic()
    try:
        with capture_logs() as logs, closing(endpoint.client("personalize", key=unknown)) as client:
            codes = [error_code(client) for _ in range(100)]
    finally:
        file.chmod(0o600)

    assert set(codes) == {"UnrecognizedClientException" if state == "sound" else "InternalServerError"}
    lines = [line for line in logs if line["event"] == "request"]
    # Ten in each second that the calls touched, however many those are.
    assert 1 <= len(lines) <= 10 * (monotonic() - began + 2)


def error_code(client):
    with pytest.raises(ClientError) as caught:
        client.list_recipes()
    return caught.value.response["Error"]["Code"]
