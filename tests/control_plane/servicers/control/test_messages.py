"""What is checked of every request, and how enums are converted."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.states import Status
from control_plane.servicers.control.messages import check_message, enum_text, enum_value, status
from protos.tailorbird.control.v1 import campaign_pb2, common_pb2, dataset_group_pb2, solution_config_pb2, solution_pb2


def test_a_member_that_is_wrongly_called_empty_keeps_its_value():
    request = campaign_pb2.CreateCampaignRequest(
        campaign_config=campaign_pb2.CampaignConfig(
            item_exploration_config={"a": "1"},
            empty_members=["itemExplorationConfig", "rankingInfluence", "rankingInfluence"],
        )
    )

    check_message(request)

    assert dict(request.campaign_config.item_exploration_config) == {"a": "1"}
    assert request.campaign_config.empty_members == ["rankingInfluence"]


@pytest.mark.parametrize("name", ["", "eventValueThreshold", "emptyMembers", "x" * 1000])
def test_members_that_cannot_be_empty_are_refused(name):
    config = solution_config_pb2.SolutionConfig(empty_members=[name])

    with pytest.raises(InvalidInput, match=r"`emptyMembers`.*want some of algorithmHyperParameters"):
        check_message(solution_pb2.CreateSolutionRequest(solution_config=config))


def test_unspecified_enums_pass_and_unknown_ones_are_refused_wherever_they_are():
    check_message(dataset_group_pb2.CreateDatasetGroupRequest(domain=0))
    with pytest.raises(InvalidInput, match="`domain`: got 77, want one of ECOMMERCE, VIDEO_ON_DEMAND"):
        check_message(dataset_group_pb2.CreateDatasetGroupRequest(domain=77))
    objective = solution_config_pb2.OptimizationObjective(objective_sensitivity=77)
    config = solution_config_pb2.SolutionConfig(optimization_objective=objective)
    with pytest.raises(InvalidInput, match="`objectiveSensitivity`: got 77"):
        check_message(solution_pb2.CreateSolutionRequest(solution_config=config))


@pytest.mark.parametrize("text", Status)
def test_every_state_has_a_value_in_the_contract(text):
    assert enum_text(common_pb2.ResourceStatus.DESCRIPTOR, status(text)) == text


def test_enums_are_converted_both_ways_and_unspecified_is_none():
    domain = common_pb2.Domain.DESCRIPTOR
    assert enum_value(domain, "ECOMMERCE") == common_pb2.DOMAIN_ECOMMERCE
    assert enum_text(domain, common_pb2.DOMAIN_ECOMMERCE) == "ECOMMERCE"
    assert enum_text(domain, 0) is None
