"""The checker of responses finds what is wrong with them."""

import json
from contextlib import suppress
from datetime import datetime
from io import BytesIO

import boto3
import pytest
from botocore.awsrequest import AWSResponse

from tests.aws_shapes import assert_matches, assert_modelled_error, output_shape, responses_checked
from tests.gateway import samples

CAMPAIGN = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
NOW = 1_741_064_767.25


def described(**members):
    return {"campaign": {"name": "films", "campaignArn": CAMPAIGN, "creationDateTime": NOW, **members}}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"campaign": None}, "got null"),
        ({"campaigns": {}}, r"got members \['campaigns'\]"),
        ([], "want an object"),
        (described(name=7), r"campaign\.name: got 7, want a string"),
        (described(name="x" * 64), "got 64, want at most 63"),
        (described(name=""), "got 0, want at least 1"),
        (described(name="a b"), "does not match"),
        (described(name="films\n"), "does not match"),
        (described(campaignArn="films"), "does not match"),
        (described(minProvisionedTPS="1"), "want an integer"),
        (described(minProvisionedTPS=1.0), "want an integer"),
        (described(minProvisionedTPS=True), "want an integer"),
        (described(minProvisionedTPS=0), "want at least 1"),
        (described(creationDateTime="2025-03-04T05:06:07Z"), "want seconds"),
        (described(creationDateTime=NOW * 1000), "no time of a resource in seconds"),
        (described(campaignConfig={"enableMetadataWithRecommendations": 1}), "want true or false"),
        (described(campaignConfig={"itemExplorationConfig": {"explorationWeight": 0.3}}), "want a string"),
        (described(campaignConfig={"rankingInfluence": {"PRICE": 0.5}}), r"want one of \['POPULARITY', 'FRESHNESS'\]"),
        (described(campaignConfig={"rankingInfluence": {"POPULARITY": 1.5}}), "want at most 1"),
    ],
)
def test_a_document_of_another_shape_is_told_with_its_place(document, text):
    with pytest.raises(AssertionError, match=text):
        assert_matches(output_shape("personalize", "DescribeCampaign"), document)


def test_a_required_member_is_missed():
    shape = samples.model("personalize").shape_for("Tag")

    with pytest.raises(AssertionError, match=r"got no \['tagValue'\]"):
        assert_matches(shape, {"tagKey": "k"})


@pytest.mark.parametrize(("key", "fits"), [("Größe 1²\u00a0@", True), ("a!b", False)])
def test_tags_have_letters_of_all_languages(key, fits):
    shape = samples.model("personalize").shape_for("TagKey")

    if fits:
        assert_matches(shape, key)
    else:
        with pytest.raises(AssertionError, match="does not match"):
            assert_matches(shape, key)


def test_an_operation_without_output_has_an_empty_document():
    assert_matches(output_shape("personalize", "DeleteCampaign"), {})
    with pytest.raises(AssertionError, match="want nothing"):
        assert_matches(output_shape("personalize", "DeleteCampaign"), {"campaignArn": CAMPAIGN})


@pytest.mark.parametrize(("service", "operation"), samples.all_operations())
def test_what_is_right_passes_for_every_operation(service, operation):
    shape = output_shape(service, operation)
    value = json.dumps({} if shape is None else samples.request_value(shape), default=datetime.timestamp)
    value = value.replace(f'"roleArn": "{CAMPAIGN}"', '"roleArn": "arn:aws:iam::000000000000:role/personalize"')

    assert_matches(shape, json.loads(value))


def test_a_role_is_one_of_iam_although_the_model_says_otherwise():
    shape = output_shape("personalize", "DescribeDatasetImportJob")

    with pytest.raises(AssertionError, match="want what matches arn:aws:iam"):
        assert_matches(shape, {"datasetImportJob": {"roleArn": CAMPAIGN}})


def test_only_errors_of_the_model_pass():
    assert_modelled_error("personalize", "DescribeCampaign", "ResourceNotFoundException")
    with pytest.raises(AssertionError, match="LimitExceededException"):
        assert_modelled_error("personalize", "DescribeCampaign", "LimitExceededException")


@pytest.fixture
def client():
    made = boto3.session.Session().client(
        "personalize", region_name="eu-west-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    yield made
    made.close()


class _Body(BytesIO):
    def stream(self):
        return iter([self.read()])


def respond(client, document, status=200):
    """Let all calls of a client be answered so, without a server."""

    def answer(request, **_):
        return AWSResponse(request.url, status, {}, _Body(json.dumps(document).encode()))

    client.meta.events.unregister("before-send.personalize", unique_id="answer")
    client.meta.events.register("before-send.personalize", answer, unique_id="answer")


def test_every_response_of_a_client_is_checked(client):
    seen = []
    with responses_checked(client, seen=seen.append):
        respond(client, described())
        client.describe_campaign(campaignArn=CAMPAIGN)
        respond(client, {"__type": "ResourceNotFoundException", "message": "none"}, status=400)
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_campaign(campaignArn=CAMPAIGN)

    assert seen == ["DescribeCampaign"]


@pytest.mark.parametrize(
    ("document", "status", "text"),
    [
        (described(minProvisionedTPS=0), 200, "want at least 1"),
        ({"__type": "LimitExceededException", "message": "many"}, 400, "got LimitExceededException"),
    ],
)
def test_a_wrong_response_fails_the_block_even_where_the_call_is_caught(client, document, status, text):
    respond(client, document, status=status)

    def block():
        with responses_checked(client), suppress(AssertionError):
            client.describe_campaign(campaignArn=CAMPAIGN)

    with pytest.raises(AssertionError, match=text):
        block()


def test_a_client_is_checked_within_the_block_only(client):
    respond(client, described(minProvisionedTPS=0))
    with responses_checked(client):
        pass

    assert client.describe_campaign(campaignArn=CAMPAIGN)["campaign"]["minProvisionedTPS"] == 0
