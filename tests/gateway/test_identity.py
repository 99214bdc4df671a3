"""Who calls, as services behind the gateway see it."""

import json

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from common.auth import Caller
from tests.gateway.wire import CAMPAIGN


@pytest.mark.parametrize("account", [None, "123456789012"])
@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("personalize", "list_recipes", {}),
        (
            "personalize-events",
            "put_items",
            {
                "datasetArn": "arn:aws:personalize:us-east-1:000000000000:dataset/films/ITEMS",
                "items": [{"itemId": "1"}],
            },
        ),
        (
            "personalize-runtime",
            "get_recommendations",
            {"campaignArn": "arn:aws:personalize:us-east-1:000000000000:campaign/films"},
        ),
    ],
)
def test_services_see_the_key_and_its_account(endpoint, service, operation, arguments, account):
    key = endpoint.access_keys.create("shop", account=account)
    client = endpoint.client(service, key=key)

    getattr(client, operation)(**arguments)
    client.close()

    assert endpoint.servicers[service].callers == [Caller("gateway", key.access_key_id, account or "000000000000")]


def test_a_presigned_address_is_answered(endpoint):
    url = endpoint.client("personalize").generate_presigned_url("list_recipes", ExpiresIn=60)
    headers = {"X-Amz-Target": "AmazonPersonalize.ListRecipes", "Content-Type": "application/x-amz-json-1.1"}

    response = post_raw(url, headers)

    assert (response.status, json.loads(response.data)) == (200, {"recipes": []})


@pytest.mark.parametrize(("service", "status"), [("personalize", 400), ("personalize-runtime", 403)])
def test_a_session_token_is_answered_as_by_aws(endpoint, service, status):
    client = boto3.session.Session().client(
        service,
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=endpoint.key.access_key_id,
        aws_secret_access_key=endpoint.key.secret_access_key,
        aws_session_token="session",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as caught:
        client.list_recipes() if service == "personalize" else client.get_recommendations(campaignArn=CAMPAIGN)
    client.close()

    error = caught.value.response
    assert error["ResponseMetadata"]["HTTPStatusCode"] == status
    assert error["Error"]["Code"] == "UnrecognizedClientException"
    assert error["Error"]["Message"] == "The security token included in the request is invalid."


def post_raw(url, headers):
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, headers=headers, body=b"")
