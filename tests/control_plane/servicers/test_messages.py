"""Messages to documents and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.errors import InvalidInput
from control_plane.servicers.messages import as_document, as_message
from protos.tailorbird.control.v1 import campaign_pb2, common_pb2, dataset_group_pb2, solution_config_pb2, solution_pb2

CAMPAIGN = {
    "name": "films",
    "minProvisionedTPS": 2,
    "status": "CREATE IN_PROGRESS",
    "creationDateTime": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "campaignConfig": {"itemExplorationConfig": {"explorationWeight": "0.3"}, "syncWithLatestSolutionVersion": False},
    "latestCampaignUpdate": {"minProvisionedTPS": 3, "campaignConfig": {}},
}


def test_document_and_message_are_converted_both_ways():
    message = as_message(campaign_pb2.DescribeCampaignResponse, {"campaign": CAMPAIGN})

    assert message.campaign.status == common_pb2.RESOURCE_STATUS_CREATE_IN_PROGRESS
    assert message.campaign.min_provisioned_tps == 2
    assert as_document(message) == {"campaign": CAMPAIGN}


def test_missing_members_are_left_out_both_ways():
    message = as_message(dataset_group_pb2.DatasetGroup, {"name": "films", "failureReason": None})

    assert not message.HasField("failure_reason")
    assert as_document(message) == {"name": "films"}


def test_false_and_empty_values_that_were_sent_are_kept():
    request = solution_pb2.CreateSolutionRequest(name="", perform_hpo=False)
    request.solution_config.SetInParent()

    assert as_document(request) == {"name": "", "performHPO": False, "solutionConfig": {}}


def test_empty_lists_and_maps_that_were_sent_are_kept():
    config = {
        "algorithmHyperParameters": {},
        "featureTransformationParameters": {"a": "1"},
        "autoMLConfig": {"recipeList": []},
        "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": []}, "includedDatasetColumns": {}},
    }

    message = as_message(solution_pb2.CreateSolutionRequest, {"solutionConfig": config})

    assert message.solution_config.empty_members == ["algorithmHyperParameters"]
    assert as_document(message) == {"solutionConfig": config}


def test_a_member_that_is_wrongly_called_empty_keeps_its_value():
    config = solution_config_pb2.SolutionConfig(
        algorithm_hyper_parameters={"a": "1"}, empty_members=["algorithmHyperParameters"]
    )

    assert as_document(config) == {"algorithmHyperParameters": {"a": "1"}}


@pytest.mark.parametrize("name", ["", "eventValueThreshold", "emptyMembers", "x" * 1000])
def test_members_that_cannot_be_empty_are_refused(name):
    config = solution_config_pb2.SolutionConfig(empty_members=[name])

    with pytest.raises(InvalidInput, match=r"`emptyMembers`.*want some of algorithmHyperParameters"):
        as_document(config)


def test_unspecified_enum_is_left_out_and_an_unknown_one_is_refused():
    assert as_document(dataset_group_pb2.CreateDatasetGroupRequest(domain=0)) == {}
    with pytest.raises(InvalidInput, match="`domain`: got 77, want one of ECOMMERCE, VIDEO_ON_DEMAND"):
        as_document(dataset_group_pb2.CreateDatasetGroupRequest(domain=77))


WITHOUT_GENRES = {"trainingDataConfig": {"excludedDatasetColumns": {"Items": ["GENRES"]}}}


def test_maps_of_lists_are_converted_both_ways():
    document = {"name": "films", "solutionConfig": WITHOUT_GENRES}
    assert as_document(as_message(solution_pb2.CreateSolutionRequest, document)) == document
