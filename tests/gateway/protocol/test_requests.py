"""How JSON becomes a gRPC request: types, ranges, times, and what is refused."""

import json
import math

import pytest
from botocore.exceptions import ClientError
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput
from gateway.errors import Malformed
from gateway.protocol import load_operations
from tests.gateway import samples

OPERATIONS = {operation.name: operation for operation in load_operations()}
CAMPAIGN = "arn:aws:personalize:us-east-1:000000000000:campaign/films"
SOLUTION_VERSION = "arn:aws:personalize:us-east-1:000000000000:solution/films/00000000"


def decode(operation, **members):
    return OPERATIONS[operation].decode(json.dumps(members).encode())


def event(**members):
    return {"trackingId": "t", "sessionId": "s", "eventList": [{"eventType": "View", "sentAt": 1, **members}]}


def rejection(operation, **members):
    with pytest.raises(InvalidInput) as caught:
        decode(operation, **members)
    return caught.value


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"numResults": "25"}, "`numResults`: got a string, want an integer"),
        ({"numResults": True}, "`numResults`: got a boolean, want an integer"),
        ({"numResults": 2.5}, "`numResults`: got a number, want an integer"),
        ({"numResults": 2**31}, "`numResults`: got a number beyond the range of integers"),
        ({"userId": 7}, "`userId`: got a number, want a string"),
        ({"context": []}, "`context`: got a list, want an object"),
        ({"context": {"DEVICE": 1}}, "`context.DEVICE`: got a number, want a string"),
        ({"promotions": {}}, "`promotions`: got an object, want a list"),
        ({"promotions": ["x"]}, "`promotions.1.member`: got a string, want an object"),
        ({"metadataColumns": {"ITEMS": "TITLE"}}, "`metadataColumns.ITEMS`: got a string, want a list"),
    ],
)
def test_a_value_of_another_type_is_a_serialization_error(members, text):
    error = rejection("GetRecommendations", **members)

    assert isinstance(error, Malformed)
    assert error.message.startswith(text)


def test_a_whole_number_may_be_written_with_a_point():
    assert decode("GetRecommendations", numResults=25.0).num_results == 25


def test_all_broken_constraints_are_reported_at_once():
    error = rejection("CreateCampaign", name="-films", minProvisionedTPS=0)

    assert error.reason == "InvalidInputException"
    assert error.message == (
        "3 validation errors detected: Value '-films' at 'name' failed to satisfy constraint: Member must satisfy "
        r"regular expression pattern: ^[a-zA-Z0-9][a-zA-Z0-9\-_]*; "
        "Value '0' at 'minProvisionedTPS' failed to satisfy constraint: Member must have value greater than or equal "
        "to 1; Value null at 'solutionVersionArn' failed to satisfy constraint: Member must not be null"
    )
    assert [item.field for item in error.violations] == ["name", "minProvisionedTPS", "solutionVersionArn"]


def test_a_string_outside_of_an_enumeration_gets_the_valid_values():
    error = rejection("CreateSolutionVersion", solutionArn=SOLUTION_VERSION, trainingMode="full")

    assert "Value 'full' at 'trainingMode' failed to satisfy constraint: Member must satisfy enum value set: [" in (
        error.message
    )


def test_eleven_events_are_one_too_many():
    body = event()
    error = rejection("PutEvents", **{**body, "eventList": body["eventList"] * 11})

    assert (
        "at 'eventList' failed to satisfy constraint: Member must have length less than or equal to 10" in error.message
    )


def test_a_member_deep_inside_is_named_with_its_way():
    error = rejection("PutEvents", **event(impression=["a", ""]))

    assert "at 'eventList.1.member.impression.2.member' failed to satisfy constraint" in error.message


def test_a_hole_in_a_list_is_missing():
    error = rejection("PutEvents", **event(impression=["a", None]))

    assert "Value null at 'eventList.1.member.impression.2.member'" in error.message


@pytest.mark.parametrize(
    ("sent", "seconds", "nanos"),
    [
        (0, 0, 0),
        (1700000000, 1700000000, 0),
        (1700000000.123, 1700000000, 123000000),
        (1.7e9, 1700000000, 0),
        (-0.5, -1, 500000000),
        (253402300799, 253402300799, 0),
    ],
)
def test_times_are_seconds_since_1970(sent, seconds, nanos):
    moment = decode("PutEvents", **event(sentAt=sent)).event_list[0].sent_at

    assert (moment.seconds, moment.nanos) == (seconds, nanos)


@pytest.mark.parametrize("sent", ["2023-11-14T22:13:20Z", True, 253402300800, -62135596801, 1e300, 10**400])
def test_what_is_no_time_is_a_serialization_error(sent):
    assert isinstance(rejection("PutEvents", **event(sentAt=sent)), Malformed)


def test_milliseconds_are_called_so():
    error = rejection("PutEvents", **event(sentAt=1_700_000_000_000))

    assert error.message == (
        "`eventList.1.member.sentAt`: got a time outside of the years 1 to 9999, want seconds since 1970-01-01 UTC; "
        "these look like milliseconds: of those it is 1700000000 seconds"
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    sorted(
                        {"trackingId", "sessionId", "eventList", "eventType", "sentAt", "properties", "impression", "x"}
                    )
                ),
                inner,
                max_size=8,
            )
        ),
        max_leaves=20,
    )
)
def test_no_json_breaks_the_decoder(value):
    try:
        message = OPERATIONS["PutEvents"].decode(json.dumps(value).encode())
    except InvalidInput:
        return
    assert message.tracking_id


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(body):
    try:
        message = OPERATIONS["GetRecommendations"].decode(body)
    except InvalidInput:
        return
    assert isinstance(message, Message)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "campaignArn": st.just(CAMPAIGN),
            "userId": st.text(max_size=256),
            "itemId": st.text(max_size=256),
            "numResults": st.integers(0, 2**31 - 1),
            "context": st.dictionaries(
                st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True), st.text(max_size=1000), max_size=3
            ),
            "metadataColumns": st.dictionaries(st.sampled_from(["ITEMS"]), st.lists(st.text(max_size=150)), min_size=1),
        },
    )
)
def test_what_is_valid_arrives_as_it_is(value):
    message = OPERATIONS["GetRecommendations"].decode(json.dumps(value).encode())

    arrived = samples.as_aws(message)
    assert {**arrived, **({"context": {}} if value.get("context") == {} else {})} == value


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=0, max_value=4e9))
def test_times_keep_their_microseconds(seconds):
    moment = decode("PutEvents", **event(sentAt=seconds)).event_list[0].sent_at

    assert math.isclose(moment.seconds + moment.nanos / 1e9, seconds, abs_tol=1e-6)


@pytest.mark.parametrize("value", [1e39, -1e39, 10**400])
def test_a_value_beyond_single_precision_does_not_become_infinite(value):
    assert isinstance(rejection("PutEvents", **event(eventValue=value)), Malformed)


def test_boto3_sees_an_error_as_the_modelled_exception(endpoint):
    client = endpoint.client("personalize", parameter_validation=False)

    with pytest.raises(client.exceptions.InvalidInputException) as caught:
        client.create_dataset_group(name="no blanks please")
    client.close()

    assert isinstance(caught.value, ClientError)
    assert "at 'name' failed to satisfy constraint" in caught.value.response["Error"]["Message"]
    assert not endpoint.servicers["personalize"].requests


@pytest.mark.parametrize("location", ["file:///data/films.csv", "s3://ab/films.csv", "films.csv"])
def test_places_of_files_arrive_whatever_their_form_and_the_services_words_about_them_come_back(endpoint, location):
    client = endpoint.client("personalize")
    words = f"`dataLocation`: got '{location}', want another"
    endpoint.servicers["personalize"].responses["CreateDatasetImportJob"] = InvalidInput(words)

    with pytest.raises(client.exceptions.InvalidInputException) as caught:
        client.create_dataset_import_job(
            jobName="films",
            datasetArn="arn:aws:personalize:us-east-1:000000000000:dataset/films/INTERACTIONS",
            dataSource={"dataLocation": location},
            roleArn="arn:aws:iam::000000000000:role/personalize",
        )

    assert caught.value.response["Error"]["Message"] == words
    (request,) = endpoint.servicers["personalize"].requests
    assert request.data_source.data_location == location
