"""An account without resources, seen by code that cleans up or takes stock: lists are empty, and nothing is found."""

from __future__ import annotations

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from tests.control_plane.through_boto3 import personalize
from tests.control_plane.world import ACCOUNT, make_world
from tests.gateway import samples

ARN = f"arn:aws:personalize:eu-west-1:{ACCOUNT}"
#: Member of the response with the list, member of the request with the parent, and kind of the parent, by operation.
LISTS = {
    "ListBatchInferenceJobs": ("batchInferenceJobs", "solutionVersionArn", "solution"),
    "ListBatchSegmentJobs": ("batchSegmentJobs", "solutionVersionArn", "solution"),
    "ListDataDeletionJobs": ("dataDeletionJobs", "datasetGroupArn", "dataset-group"),
    "ListDatasetExportJobs": ("datasetExportJobs", "datasetArn", "dataset"),
    "ListFilters": ("Filters", "datasetGroupArn", "dataset-group"),
    "ListMetricAttributions": ("metricAttributions", "datasetGroupArn", "dataset-group"),
    "ListRecommenders": ("recommenders", "datasetGroupArn", "dataset-group"),
}
#: Member of the request with the resource, and its kind, by operation.
LOOKUPS = {
    "DeleteFilter": ("filterArn", "filter"),
    "DeleteMetricAttribution": ("metricAttributionArn", "metric-attribution"),
    "DeleteRecommender": ("recommenderArn", "recommender"),
    "DescribeBatchInferenceJob": ("batchInferenceJobArn", "batch-inference-job"),
    "DescribeBatchSegmentJob": ("batchSegmentJobArn", "batch-segment-job"),
    "DescribeDataDeletionJob": ("dataDeletionJobArn", "data-deletion-job"),
    "DescribeDatasetExportJob": ("datasetExportJobArn", "dataset-export-job"),
    "DescribeFilter": ("filterArn", "filter"),
    "DescribeMetricAttribution": ("metricAttributionArn", "metric-attribution"),
    "DescribeRecommender": ("recommenderArn", "recommender"),
    "ListMetricAttributionMetrics": ("metricAttributionArn", "metric-attribution"),
    "StartRecommender": ("recommenderArn", "recommender"),
    "StopRecommender": ("recommenderArn", "recommender"),
    "UpdateMetricAttribution": ("metricAttributionArn", "metric-attribution"),
    "UpdateRecommender": ("recommenderArn", "recommender"),
}
#: Kinds of resources that have tags.
TAGGED = (
    "batch-inference-job", "batch-segment-job", "campaign", "data-deletion-job", "dataset", "dataset-export-job",
    "dataset-group", "dataset-import-job", "event-tracker", "filter", "recommender", "solution",
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


@pytest.mark.parametrize("operation", LISTS)
def test_lists_of_kinds_without_resources_are_empty(client, operation):
    member, parent, kind = LISTS[operation]

    for arguments in ({}, {"maxResults": 5}, {parent: f"{ARN}:{kind}/films"}):
        answer = call(client, operation, **arguments)
        assert answer[member] == []
        assert "nextToken" not in answer


@pytest.mark.parametrize("operation", LISTS)
def test_lists_of_kinds_without_resources_check_their_requests_like_other_lists(client, operation):
    _, parent, _ = LISTS[operation]

    assert rejection(client, operation, nextToken="made-up")[0] == "InvalidNextTokenException"
    assert rejection(client, operation, maxResults=101)[0] == "InvalidInputException"
    assert rejection(client, operation, **{parent: f"{ARN}:schema/films"})[0] == "InvalidInputException"


@pytest.mark.parametrize("operation", OTHER_LISTS)
def test_parents_of_other_lists_are_of_their_kind(client, operation):
    code, message = rejection(client, operation, **{OTHER_LISTS[operation]: f"{ARN}:schema/films"})

    assert (code, f"`{OTHER_LISTS[operation]}`" in message) == ("InvalidInputException", True)


@pytest.mark.parametrize("operation", LOOKUPS)
def test_resources_of_every_kind_are_missed_by_their_arn(client, operation):
    member, kind = LOOKUPS[operation]
    arn = f"{ARN}:{kind}/films"

    assert rejection(client, operation, **{**required_arguments(operation), member: arn}) == (
        "ResourceNotFoundException",
        f"Resource Arn {arn} does not exist.",
    )
    wrong = {**required_arguments(operation), member: f"{ARN}:schema/films"}
    assert rejection(client, operation, **wrong)[0] == "InvalidInputException"


@pytest.mark.parametrize("kind", TAGGED)
def test_tags_of_missing_resources_are_missed_too(client, kind):
    arn = f"{ARN}:{kind}/films"

    assert rejection(client, "ListTagsForResource", resourceArn=arn) == (
        "ResourceNotFoundException",
        f"Resource Arn {arn} does not exist.",
    )
