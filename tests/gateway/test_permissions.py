"""Policies of access keys as boto3 meets them, and the audit log of what keys did."""

import json

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from structlog.testing import capture_logs

from common.errors import ResourceNotFound
from tests.gateway.conftest import response_class

ACCOUNT = "123456789012"
GROUP = f"arn:aws:personalize:us-east-1:{ACCOUNT}:dataset-group/films"
SOLUTION = f"arn:aws:personalize:us-east-1:{ACCOUNT}:solution/films"
CAMPAIGN = f"arn:aws:personalize:us-east-1:{ACCOUNT}:campaign/films"
EVENTS = {
    "trackingId": "TRACKINGID",
    "sessionId": "s",
    "userId": "someone",
    "eventList": [{"eventType": "watch", "itemId": "1", "sentAt": 1700000000}],
}


@pytest.fixture
def clients(endpoint):
    """Give clients of a key with some statements."""
    opened = []

    def open_client(service, *statements):
        key = endpoint.access_keys.create("shop", account=ACCOUNT)
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
            key = endpoint.access_keys.attach_policy(key.access_key_id, "p", document)
        client = endpoint.client(service, key=key)
        opened.append(client)
        return client, key

    yield open_client
    for client in opened:
        client.close()


def allow(action, resource="*", effect="Allow"):
    return {"Effect": effect, "Action": f"personalize:{action}", "Resource": resource}


def refused(call, **arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], error["Error"]["Message"]


def test_a_key_without_policies_may_do_everything(clients):
    client, _ = clients("personalize")

    client.describe_solution(solutionArn=SOLUTION)


def test_what_is_allowed_is_done_and_all_else_is_denied_in_aws_words(endpoint, clients):
    client, _ = clients("personalize", allow("Describe*", SOLUTION))

    client.describe_solution(solutionArn=SOLUTION)
    denied = [
        refused(client.describe_solution, solutionArn=f"{SOLUTION}-2"),
        refused(client.create_solution, name="films", datasetGroupArn=GROUP),
        refused(client.list_solutions),
    ]

    user = f"User: arn:aws:iam::{ACCOUNT}:user/shop is not authorized to perform: personalize:"
    because = "because no identity-based policy allows the personalize:"
    assert denied == [
        (
            400,
            "AccessDeniedException",
            f"{user}DescribeSolution on resource: {SOLUTION}-2 {because}DescribeSolution action",
        ),
        (400, "AccessDeniedException", f"{user}CreateSolution on resource: {SOLUTION} {because}CreateSolution action"),
        (400, "AccessDeniedException", f"{user}ListSolutions on resource: * {because}ListSolutions action"),
    ]
    assert len(endpoint.servicers["personalize"].requests) == 1


def test_a_creation_needs_permission_for_what_it_is_made_of(endpoint, clients):
    client, _ = clients("personalize", allow("CreateSolution", SOLUTION))

    assert f"on resource: {GROUP} because" in refused(client.create_solution, name="films", datasetGroupArn=GROUP)[2]

    client, _ = clients("personalize", allow("CreateSolution", [SOLUTION, GROUP]))
    client.create_solution(name="films", datasetGroupArn=GROUP)
    assert len(endpoint.servicers["personalize"].requests) == 1


def test_an_explicit_denial_wins_and_is_a_403_in_rest_json(endpoint, clients):
    client, _ = clients("personalize-runtime", allow("*"), allow("Get*", CAMPAIGN, effect="Deny"))

    client.get_recommendations(campaignArn=f"{CAMPAIGN}-2")
    status, code, message = refused(client.get_recommendations, campaignArn=CAMPAIGN)

    assert (status, code) == (403, "AccessDeniedException")
    assert message.endswith(f"on resource: {CAMPAIGN} with an explicit deny in an identity-based policy")
    assert len(endpoint.servicers["personalize-runtime"].requests) == 1


def test_events_need_permission_for_everything_as_in_aws(clients):
    client, _ = clients(
        "personalize-events", allow("PutEvents", f"arn:aws:personalize:us-east-1:{ACCOUNT}:event-tracker/*")
    )
    assert refused(client.put_events, **EVENTS)[1] == "AccessDeniedException"

    client, _ = clients("personalize-events", allow("PutEvents"))
    client.put_events(**EVENTS)


def test_a_policy_counts_from_the_next_request_on(endpoint, clients):
    client, key = clients("personalize")
    client.list_solutions()

    endpoint.access_keys.attach_policy(key.access_key_id, "p", json.dumps({"Statement": allow("ListCampaigns")}))
    assert refused(client.list_solutions)[1] == "AccessDeniedException"

    endpoint.access_keys.detach_policy(key.access_key_id, "p")
    client.list_solutions()


def audit(logs):
    return [line for line in logs if line.get("logger") == "tailorbird.audit"]


def test_changes_are_audited_once_with_who_what_where_and_outcome(endpoint, clients):
    client, key = clients("personalize")
    servicer = endpoint.servicers["personalize"]
    servicer.responses["CreateEventTracker"] = response_class("personalize", "CreateEventTracker")(
        event_tracker_arn="arn:aws:personalize:us-east-1:123456789012:event-tracker/abc", tracking_id="SECRETID"
    )
    servicer.responses["DeleteSolution"] = ResourceNotFound("no such solution")
    with capture_logs() as logs:
        client.create_event_tracker(name="films", datasetGroupArn=GROUP)
        refused(client.delete_solution, solutionArn=SOLUTION)
        client.describe_solution(solutionArn=SOLUTION)
        client.list_solutions()

    lines = audit(logs)
    common = {"account": ACCOUNT, "subject": key.access_key_id, "role": "gateway"}
    assert [{name: line[name] for name in ("operation", "resource", "outcome", *common)} for line in lines] == [
        {
            "operation": "CreateEventTracker",
            "resource": "arn:aws:personalize:us-east-1:123456789012:event-tracker/abc",
            "outcome": "OK",
            **common,
        },
        {"operation": "DeleteSolution", "resource": SOLUTION, "outcome": "ResourceNotFoundException", **common},
    ]
    assert all(line["peer"].startswith("127.0.0.1:") and line["log_level"] == "info" for line in lines)


def test_denied_and_malformed_changes_are_audited(clients):
    client, _ = clients("personalize", allow("Describe*"))
    with capture_logs() as logs:
        refused(client.delete_solution, solutionArn=SOLUTION)
        refused(client.delete_solution, solutionArn="x" * 300)

    assert [(line["resource"], line["outcome"]) for line in audit(logs)] == [
        (SOLUTION, "AccessDeniedException"),
        ("*", "InvalidInputException"),
    ]


def test_a_change_by_nobody_is_not_audited(endpoint, clients):
    _, key = clients("personalize")
    forged = boto3.session.Session().client(
        "personalize",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key="x" * 40,
        config=Config(retries={"total_max_attempts": 1}),
    )
    with capture_logs() as logs:
        refused(forged.delete_solution, solutionArn=SOLUTION)
    forged.close()

    assert audit(logs) == []


def test_headers_that_name_an_address_are_not_believed(clients):
    client, _ = clients("personalize")
    client.meta.events.register(
        "before-sign.*", lambda request, **_: request.headers.add_header("X-Forwarded-For", "6.6.6.6")
    )
    with capture_logs() as logs:
        client.delete_solution(solutionArn=SOLUTION)

    assert "6.6.6.6" not in str(logs)
    assert audit(logs)[0]["peer"].startswith("127.0.0.1:")


def test_events_are_audited_without_what_they_say(clients):
    client, _ = clients("personalize-events")
    with capture_logs() as logs:
        client.put_events(**EVENTS)

    assert [(line["operation"], line["resource"]) for line in audit(logs)] == [("PutEvents", "*")]
    assert "TRACKINGID" not in str(audit(logs))
    assert "someone" not in str(audit(logs))
