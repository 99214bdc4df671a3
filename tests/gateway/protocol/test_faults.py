"""Errors and bare HTTP: what an SDK needs to raise the right exception, in both protocols."""

import json
import logging

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from common import errors
from common.access_keys import AccessKeys
from tests.gateway.conftest import MAX_BODY_BYTES, response_class, running_gateway

CAMPAIGN = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
EVENT = {"trackingId": "t", "sessionId": "s", "eventList": [{"eventType": "View", "sentAt": 1700000000}]}


def post(endpoint, path, body, *, target=None, key=None, headers=None):
    """Send a signed request as bare HTTP."""
    used = key or endpoint.key
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json", **({"X-Amz-Target": target} if target else {}), **(headers or {})}
    request = AWSRequest("POST", f"{endpoint.url}{path}", headers=given, data=content)
    SigV4Auth(Credentials(used.access_key_id, used.secret_access_key), "personalize", "us-east-1").add_auth(request)
    return httpx.post(f"{endpoint.url}{path}", content=content, headers=dict(request.headers.items()))


def describe(endpoint, **body):
    return post(endpoint, "/", body, target="AmazonPersonalize.DescribeCampaign")


MODELLED = [
    (errors.InvalidInput("`name`: got x"), "InvalidInputException"),
    (errors.InvalidNextToken("`nextToken`: got x"), "InvalidNextTokenException"),
    (errors.ResourceNotFound("no campaign films"), "ResourceNotFoundException"),
    (errors.ResourceAlreadyExists("Another resource exists"), "ResourceAlreadyExistsException"),
    (errors.ResourceInUse("still used"), "ResourceInUseException"),
    (errors.LimitExceeded("more than 5"), "LimitExceededException"),
    (errors.TooManyTags("51 tags"), "TooManyTagsException"),
    (errors.TooManyTagKeys("51 keys"), "TooManyTagKeysException"),
]


@pytest.mark.parametrize(("error", "name"), MODELLED, ids=[name for _, name in MODELLED])
def test_errors_of_the_control_plane_are_400(endpoint, error, name):
    client = endpoint.client("personalize")
    endpoint.servicers["personalize"].responses["DescribeCampaign"] = error

    with pytest.raises(getattr(client.exceptions, name)) as caught:
        client.describe_campaign(campaignArn=CAMPAIGN)

    assert caught.value.response["Error"] == {"Code": name, "Message": error.message}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    ("error", "name", "status"),
    [
        (errors.InvalidInput("bad"), "InvalidInputException", 400),
        (errors.ResourceNotFound("none"), "ResourceNotFoundException", 404),
        (errors.ResourceInUse("busy"), "ResourceInUseException", 409),
    ],
)
def test_errors_of_the_events_service_have_their_statuses(endpoint, error, name, status):
    client = endpoint.client("personalize-events")
    endpoint.servicers["personalize-events"].responses["PutEvents"] = error

    with pytest.raises(getattr(client.exceptions, name)) as caught:
        client.put_events(**EVENT)

    assert caught.value.response["Error"] == {"Code": name, "Message": error.message}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_an_unknown_campaign_is_404(endpoint):
    client = endpoint.client("personalize-runtime")
    endpoint.servicers["personalize-runtime"].responses["GetRecommendations"] = errors.ResourceNotFound("none")

    with pytest.raises(client.exceptions.ResourceNotFoundException) as caught:
        client.get_recommendations(campaignArn=CAMPAIGN)

    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


UNMODELLED = [
    (errors.OperationUnavailable("GetRecommendations is not built yet"), "NotImplementedException", 501),
    (errors.Unavailable("campaign films is loading"), "ServiceUnavailableException", 503),
    (errors.StorageFull("event log: the disk is full"), "InsufficientStorageException", 507),
]


@pytest.mark.parametrize(("error", "name", "status"), UNMODELLED)
@pytest.mark.parametrize(
    ("service", "operation"), [("personalize", "DescribeCampaign"), ("personalize-runtime", "GetRecommendations")]
)
def test_what_no_model_names_has_a_clear_name_too(endpoint, service, operation, error, name, status):
    client = endpoint.client(service)
    endpoint.servicers[service].responses[operation] = error
    ask = client.describe_campaign if service == "personalize" else client.get_recommendations

    with pytest.raises(ClientError) as caught:
        ask(campaignArn=CAMPAIGN)

    assert caught.value.response["Error"] == {"Code": name, "Message": error.message}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password is sesame"),
        errors.Unauthenticated("sesame: the gateway's token is bad"),
        errors.PermissionDenied("sesame: role gateway not admitted"),
        errors.CorruptArtifact("sesame"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_fault_of_ours_shows_nothing_of_itself(endpoint, error):
    client = endpoint.client("personalize")
    endpoint.servicers["personalize"].responses["DescribeCampaign"] = error

    with pytest.raises(ClientError) as caught:
        client.describe_campaign(campaignArn=CAMPAIGN)

    assert caught.value.response["Error"]["Code"] == "InternalServerError"
    assert "sesame" not in str(caught.value)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_errors_of_awsjson_look_as_aws_sends_them(endpoint):
    response = describe(endpoint)

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/x-amz-json-1.1"
    assert response.json() == {
        "__type": "InvalidInputException",
        "message": "1 validation error detected: Value null at 'campaignArn' failed to satisfy constraint: "
        "Member must not be null",
    }


def test_errors_of_rest_json_look_as_aws_sends_them(endpoint):
    response = post(endpoint, "/events", {})

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-amzn-errortype"] == "InvalidInputException"
    assert response.json().keys() == {"message"}
    assert response.json()["message"].startswith("3 validation errors detected: Value null at 'trackingId'")


def test_one_request_id_goes_to_the_caller_and_to_the_service(endpoint):
    response = endpoint.client("personalize-runtime").get_recommendations(campaignArn=CAMPAIGN)

    (at_service,) = endpoint.servicers["personalize-runtime"].request_ids
    assert response["ResponseMetadata"]["RequestId"] == at_service
    assert len(at_service) == 36


@pytest.mark.parametrize("path", ["/", "/events", "/nothing", "/health"])
def test_every_response_has_a_request_id(endpoint, path):
    assert len(httpx.post(f"{endpoint.url}{path}", content=b"{}").headers["x-amzn-requestid"]) == 36


def test_an_operation_without_output_has_an_empty_body(endpoint):
    response = post(endpoint, "/events", EVENT)

    assert (response.status_code, response.content) == (200, b"")


def test_whole_numbers_and_times_are_numbers(endpoint):
    answer = response_class("personalize", "DescribeCampaign")()
    answer.campaign.creation_date_time.FromMilliseconds(1700000000123)
    answer.campaign.last_updated_date_time.FromSeconds(1700000000)
    answer.campaign.min_provisioned_tps = 5
    endpoint.servicers["personalize"].responses["DescribeCampaign"] = answer

    campaign = describe(endpoint, campaignArn=CAMPAIGN).json()["campaign"]

    assert campaign == {
        "creationDateTime": 1700000000.123,
        "lastUpdatedDateTime": 1700000000.0,
        "minProvisionedTPS": 5,
    }


def test_an_enumeration_that_says_nothing_is_left_out(endpoint):
    answer = response_class("personalize", "DescribeDatasetGroup")()
    answer.dataset_group.name = "films"
    answer.dataset_group.domain = 0
    endpoint.servicers["personalize"].responses["DescribeDatasetGroup"] = answer

    body = {"datasetGroupArn": CAMPAIGN}
    response = post(endpoint, "/", body, target="AmazonPersonalize.DescribeDatasetGroup")

    assert response.json() == {"datasetGroup": {"name": "films"}}


def test_a_value_that_this_gateway_does_not_know_is_our_fault(endpoint):
    answer = response_class("personalize", "DescribeDatasetGroup")()
    answer.dataset_group.domain = 99
    endpoint.servicers["personalize"].responses["DescribeDatasetGroup"] = answer

    body = {"datasetGroupArn": CAMPAIGN}
    response = post(endpoint, "/", body, target="AmazonPersonalize.DescribeDatasetGroup")

    assert (response.status_code, response.json()["__type"]) == (500, "InternalServerError")


@pytest.mark.parametrize("target", [None, "AmazonPersonalize.MakeCoffee", "AmazonForecast.ListDatasets", "ListRecipes"])
def test_an_unknown_target_is_an_unknown_operation(endpoint, target):
    response = post(endpoint, "/", {}, target=target)

    assert response.status_code == 400
    assert response.json()["__type"] == "UnknownOperationException"


def test_an_unknown_address_is_an_unknown_operation(endpoint):
    response = post(endpoint, "/event", EVENT)

    assert response.status_code == 404
    assert response.headers["x-amzn-errortype"] == "UnknownOperationException"


def test_another_method_is_not_allowed(endpoint):
    response = httpx.get(f"{endpoint.url}/events")

    assert response.status_code == 405
    assert response.headers["x-amzn-errortype"] == "UnknownOperationException"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000,
        b'{"trackingId": "\\ud800", "sessionId": "s", "eventList": [{"eventType": "v", "sentAt": 1}]}',
    ],
    ids=["cut", "list", "null", "text", "bytes", "nan", "digits", "depth", "surrogate"],
)
def test_a_body_that_is_no_json_object_is_a_serialization_error(endpoint, body):
    response = post(endpoint, "/events", body)

    assert response.status_code == 400
    assert response.headers["x-amzn-errortype"] == "SerializationException"


def test_a_body_beyond_the_limit_is_refused(endpoint):
    response = post(endpoint, "/events", b" " * (MAX_BODY_BYTES + 1))

    assert response.status_code == 413


def test_an_empty_body_means_no_members(endpoint):
    assert post(endpoint, "/recommendations", b"").json() == {"itemList": []}


def test_members_that_the_model_does_not_know_are_ignored(endpoint):
    assert describe(endpoint, campaignArn=CAMPAIGN, colour="green").status_code == 200


def test_explicit_nulls_are_absent(endpoint):
    response = post(endpoint, "/recommendations", {"campaignArn": CAMPAIGN, "userId": None})

    assert response.status_code == 200
    (request,) = endpoint.servicers["personalize-runtime"].requests
    assert not request.HasField("user_id")


def test_personal_data_in_a_refused_request_is_not_repeated(endpoint):
    body = {**EVENT, "userId": "alice@example.com" * 20}

    message = post(endpoint, "/events", body).json()["message"]

    assert "at 'userId' failed to satisfy constraint: Member must have length less than or equal to 256" in message
    assert "alice" not in message


@pytest.mark.parametrize(
    ("path", "status"), [("/", 400), ("/events", 403), ("/recommendations", 403)], ids=["json", "events", "runtime"]
)
def test_an_unsigned_request_gets_nowhere(endpoint, path, status):
    response = httpx.post(f"{endpoint.url}{path}", content=b"{}")

    assert response.status_code == status
    assert response.headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert not any(servicer.requests for servicer in endpoint.servicers.values())


def test_a_revoked_key_stops_working_at_once(endpoint):
    key = endpoint.access_keys.create("to be revoked")
    client = endpoint.client("personalize", key=key)
    client.list_recipes()

    endpoint.access_keys.revoke(key.access_key_id)

    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client.list_recipes()
    client.close()


def test_a_wrong_secret_is_an_invalid_signature(endpoint):
    client = boto3.session.Session().client(
        "personalize-runtime",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=endpoint.key.access_key_id,
        aws_secret_access_key="x" * 40,
        config=Config(retries={"total_max_attempts": 1}),
    )

    with pytest.raises(ClientError, match="InvalidSignatureException") as caught:
        client.get_recommendations(campaignArn=CAMPAIGN)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    client.close()


def test_no_log_line_holds_a_secret_or_a_user(endpoint, caplog):
    with caplog.at_level(logging.DEBUG):
        post(endpoint, "/recommendations", {"campaignArn": CAMPAIGN, "userId": "alice@example.com"})
        post(endpoint, "/events", {**EVENT, "userId": "alice@example.com" * 20})
        post(endpoint, "/events", EVENT, key=AccessKeys(endpoint.access_keys.path).create("other"))

    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert text
    assert "alice" not in text
    assert all(key.secret_access_key not in text for key in endpoint.access_keys.list())


def test_services_that_cannot_be_reached_are_unavailable(endpoint, rpc_keys, unused_target):
    targets = dict.fromkeys(("control_plane", "events_service", "runtime_service"), unused_target)
    with running_gateway(endpoint.access_keys, targets, token=rpc_keys.token("gateway")) as url:
        client = boto3.session.Session().client(
            "personalize",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=endpoint.key.access_key_id,
            aws_secret_access_key=endpoint.key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(ClientError) as caught:
            client.list_recipes()
        client.close()

    assert caught.value.response["Error"] == {
        "Code": "ServiceUnavailableException",
        "Message": "control_plane cannot be reached in time; try again",
    }
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
