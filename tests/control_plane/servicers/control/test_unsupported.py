"""Kinds of resources that cannot be made yet, seen by code that cleans up or takes stock: nothing is there."""

from __future__ import annotations

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from common.arn import Arn
from control_plane.domain.unsupported_kinds import UNSUPPORTED_KINDS, UNSUPPORTED_LISTS, UNSUPPORTED_LOOKUPS
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
    world.metadata_store.close()


def call(client, operation, **arguments):
    return getattr(client, xform_name(operation))(**arguments)


def rejection(client, operation, **arguments):
    with pytest.raises(ClientError) as caught:
        call(client, operation, **arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def required_arguments(operation):
    shape = samples.model("personalize").operation_model(operation).input_shape
    return {name: samples.request_value(shape.members[name]) for name in shape.required_members}


@pytest.mark.parametrize("operation", UNSUPPORTED_LISTS)
def test_lists_of_unsupported_kinds_are_empty(client, operation):
    spec = UNSUPPORTED_LISTS[operation]
    parent = {spec.parent: f"{ARN}:{spec.parent_kind}/films"}

    for arguments in ({}, {"maxResults": 5}, parent):
        answer = call(client, operation, **arguments)
        assert answer[spec.member] == []
        assert "nextToken" not in answer


@pytest.mark.parametrize("operation", UNSUPPORTED_LISTS)
def test_lists_of_unsupported_kinds_check_their_requests_like_other_lists(client, operation):
    spec = UNSUPPORTED_LISTS[operation]

    assert rejection(client, operation, nextToken="made-up")[0] == "InvalidNextTokenException"
    assert rejection(client, operation, maxResults=101)[0] == "InvalidInputException"
    assert rejection(client, operation, **{spec.parent: f"{ARN}:schema/films"})[0] == "InvalidInputException"


@pytest.mark.parametrize("operation", OTHER_LISTS)
def test_parents_of_other_lists_are_of_their_kind(client, operation):
    code, message = rejection(client, operation, **{OTHER_LISTS[operation]: f"{ARN}:schema/films"})

    assert (code, f"`{OTHER_LISTS[operation]}`" in message) == ("InvalidInputException", True)


@pytest.mark.parametrize("operation", UNSUPPORTED_LOOKUPS)
def test_resources_of_unsupported_kinds_do_not_exist(client, operation):
    spec = UNSUPPORTED_LOOKUPS[operation]
    arn = f"{ARN}:{spec.kind}/films"

    assert rejection(client, operation, **{**required_arguments(operation), spec.member: arn}) == (
        "ResourceNotFoundException",
        f"Resource Arn {arn} does not exist.",
    )
    wrong = {**required_arguments(operation), spec.member: f"{ARN}:schema/films"}
    assert rejection(client, operation, **wrong)[0] == "InvalidInputException"


@pytest.mark.parametrize("operation", UNBUILT_CREATES)
def test_creating_a_resource_of_an_unsupported_kind_is_refused_by_name(client, operation):
    code, message = rejection(client, operation, **required_arguments(operation))

    assert (code, f"`{operation}`" in message) == ("NotImplementedException", True)


@pytest.mark.parametrize("kind", sorted(UNSUPPORTED_KINDS - {"metric-attribution"}))
def test_tags_of_unsupported_kinds_are_those_of_missing_resources(client, kind):
    arn = f"{ARN}:{kind}/films"

    assert rejection(client, "ListTagsForResource", resourceArn=arn) == (
        "ResourceNotFoundException",
        f"Resource Arn {arn} does not exist.",
    )


def test_every_unsupported_kind_has_its_operations():
    described_kinds = {spec.kind for spec in UNSUPPORTED_LOOKUPS.values()}

    assert described_kinds == UNSUPPORTED_KINDS
    assert all(Arn.parse(f"{ARN}:{kind}/x", field="arn", kind=kind) for kind in UNSUPPORTED_KINDS)
