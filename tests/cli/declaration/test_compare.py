"""What counts as a difference, and what an update is made of."""

import pytest

from cli.declaration.compare import differences, merge
from cli.declaration.kinds import Kind, updatable_members
from cli.declaration.members import fill, to_members
from protos.tailorbird.control.v1.campaign_pb2 import Campaign, CreateCampaignRequest
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest, Solution


def made(kind, **members):
    message = kind()
    fill(message, members)
    return message


def texts(declared, described):
    return [str(item) for item in differences(declared, described)]


@pytest.mark.parametrize(
    ("declared", "described", "expected"),
    [
        ({}, {"minProvisionedTPS": 2}, []),
        ({"minProvisionedTPS": 2}, {"minProvisionedTPS": 2}, []),
        ({"minProvisionedTPS": 3}, {"minProvisionedTPS": 2}, ["minProvisionedTPS: 2 -> 3"]),
        ({"campaignConfig": {}}, {"campaignConfig": {"syncWithLatestSolutionVersion": True}}, []),
        ({"campaignConfig": {"itemExplorationConfig": {}}}, {}, []),
        (
            {"campaignConfig": {"itemExplorationConfig": {}}},
            {"campaignConfig": {"itemExplorationConfig": {"explorationWeight": "0.3"}}},
            ["campaignConfig.itemExplorationConfig: {'explorationWeight': '0.3'} -> {}"],
        ),
        (
            {"campaignConfig": {"itemExplorationConfig": {"b": "5"}}},
            {"campaignConfig": {"itemExplorationConfig": {"b": "5", "a": "9"}}},
            ["campaignConfig.itemExplorationConfig: {'a': '9', 'b': '5'} -> {'b': '5'}"],
        ),
        ({"campaignConfig": {"syncWithLatestSolutionVersion": False}}, {}, []),
        (
            {"campaignConfig": {"syncWithLatestSolutionVersion": False}},
            {"campaignConfig": {"syncWithLatestSolutionVersion": True}},
            ["campaignConfig.syncWithLatestSolutionVersion: True -> False"],
        ),
    ],
    ids=range(9),
)  # fmt: skip
def test_only_what_is_declared_counts(declared, described, expected):
    assert texts(made(CreateCampaignRequest, **declared), made(Campaign, **described)) == expected


def test_lists_inside_of_maps_and_configurations_are_compared():
    config = {
        "trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": ["PRICE"]}},
        "eventsConfig": {"eventParametersList": [{"eventType": "watch", "weight": 0.5}]},
    }
    described = made(Solution, solutionConfig=config)
    assert texts(made(CreateSolutionRequest, solutionConfig=config), described) == []
    config["trainingDataConfig"] = {"excludedDatasetColumns": {"ITEMS": ["PRICE", "YEAR"]}}
    assert texts(made(CreateSolutionRequest, solutionConfig=config), described) == [
        "solutionConfig.trainingDataConfig.excludedDatasetColumns: {'ITEMS': ['PRICE']} -> {'ITEMS': ['PRICE', 'YEAR']}"
    ]


def test_a_merge_keeps_what_is_not_declared():
    target = made(Campaign, campaignConfig={"syncWithLatestSolutionVersion": True, "itemExplorationConfig": {"a": "1"}})
    merge(target, made(CreateCampaignRequest, minProvisionedTPS=2, campaignConfig={"itemExplorationConfig": {}}))
    assert to_members(target) == {
        "minProvisionedTPS": 2,
        "campaignConfig": {"syncWithLatestSolutionVersion": True, "itemExplorationConfig": {}},
    }


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (Kind.CAMPAIGN, {"solutionVersionArn", "minProvisionedTPS", "campaignConfig"}),
        (
            Kind.SOLUTION,
            {
                "performAutoTraining",
                "performIncrementalUpdate",
                "solutionConfig.autoTrainingConfig",
                "solutionConfig.eventsConfig",
            },
        ),
        (Kind.RECOMMENDER, {"recommenderConfig"}),
        (Kind.DATASET, {"schemaArn"}),
        (Kind.FILTER, set()),
    ],
)
def test_the_contracts_say_what_can_be_updated(kind, members):
    assert updatable_members(kind) == members


def test_what_is_shown_cannot_steer_a_terminal():
    (difference,) = differences(made(CreateCampaignRequest, name="\x1b[2J"), made(Campaign, name="films"))
    assert str(difference) == "name: films -> '\\x1b[2J'"
