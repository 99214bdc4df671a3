"""Kinds of resources that cannot be made yet, seen by code that cleans up or takes stock: nothing is there."""

from __future__ import annotations

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from common.arn import Arn
from control_plane.domain.absent import ABSENT_KINDS, ABSENT_LISTS, ABSENT_LOOKS
from tests.control_plane.through_boto3 import personalize
from tests.control_plane.world import ACCOUNT, make_world
from tests.gateway import samples

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"
UNBUILT_CREATES = (
    "CreateBatchInferenceJob", "CreateBatchSegmentJob", "CreateDataDeletionJob", "CreateDatasetExportJob",
    "CreateFilter", "CreateMetricAttribution", "CreateRecommender",
)  # fmt: skip
OTHER_LISTS = {
    "ListCampaigns": "solutionArn",
    "ListDatasetImportJobs": "datasetArn",
    "ListDatasets": "datasetGroupArn",
    "ListEventTrackers": "datasetGroupArn",
    "ListSolutionVersions": "solutionArn",
    "ListSolutions": "datasetGroupArn",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("absent")
    world = make_world(folder)
    with personalize(world.plane, folder) as made:
        yield made
    world.catalogue.close()


def call(client, operation, **arguments):
    return getattr(client, xform_name(operation))(**arguments)


def refusal(client, operation, **arguments):
    with pytest.raises(ClientError) as caught:
        call(client, operation, **arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def needed(operation):
    shape = samples.model("personalize").operation_model(operation).input_shape
    return {name: samples.request_value(shape.members[name]) for name in shape.required_members}


@pytest.mark.parametrize("operation", ABSENT_LISTS)
def test_their_lists_are_empty(client, operation):
    what = ABSENT_LISTS[operation]
    parent = {what.parent: f"{ARN}:{what.parent_kind}/films"}

    for asked in ({}, {"maxResults": 5}, parent):
        answer = call(client, operation, **asked)
        assert answer[what.member] == []
        assert "nextToken" not in answer


@pytest.mark.parametrize("operation", ABSENT_LISTS)
def test_their_lists_are_asked_for_like_other_lists(client, operation):
    what = ABSENT_LISTS[operation]

    assert refusal(client, operation, nextToken="made-up")[0] == "InvalidNextTokenException"
    assert refusal(client, operation, maxResults=101)[0] == "InvalidInputException"
    assert refusal(client, operation, **{what.parent: f"{ARN}:schema/films"})[0] == "InvalidInputException"


@pytest.mark.parametrize("operation", OTHER_LISTS)
def test_parents_of_other_lists_are_of_their_kind(client, operation):
    code, message = refusal(client, operation, **{OTHER_LISTS[operation]: f"{ARN}:schema/films"})

    assert (code, f"`{OTHER_LISTS[operation]}`" in message) == ("InvalidInputException", True)


@pytest.mark.parametrize("operation", ABSENT_LOOKS)
def test_what_is_named_of_them_does_not_exist(client, operation):
    what = ABSENT_LOOKS[operation]
    arn = f"{ARN}:{what.kind}/films"

    assert refusal(client, operation, **{**needed(operation), what.member: arn}) == (
        "ResourceNotFoundException",
        f"Resource Arn {arn} does not exist.",
    )
    wrong = {**needed(operation), what.member: f"{ARN}:schema/films"}
    assert refusal(client, operation, **wrong)[0] == "InvalidInputException"


@pytest.mark.parametrize("operation", UNBUILT_CREATES)
def test_to_make_one_is_refused_by_name(client, operation):
    code, message = refusal(client, operation, **needed(operation))

    assert (code, f"`{operation}`" in message) == ("NotImplementedException", True)


@pytest.mark.parametrize("kind", sorted(ABSENT_KINDS - {"metric-attribution"}))
def test_their_tags_are_those_of_nothing(client, kind):
    arn = f"{ARN}:{kind}/films"

    assert refusal(client, "ListTagsForResource", resourceArn=arn) == (
        "ResourceNotFoundException",
        f"Resource Arn {arn} does not exist.",
    )


def test_every_kind_has_its_operations():
    looked_at = {what.kind for what in ABSENT_LOOKS.values()}

    assert looked_at == ABSENT_KINDS
    assert all(Arn.parse(f"{ARN}:{kind}/x", field="arn", kind=kind) for kind in ABSENT_KINDS)
