"""What boto3 sends as a configuration is what it reads back: automation compares the two for equality."""

from __future__ import annotations

import pytest

from tests.control_plane.through_boto3 import personalize
from tests.control_plane.world import avro, column, make_world

V1 = "arn:aws:personalize:::recipe/aws-user-personalization"
V2 = "arn:aws:personalize:::recipe/aws-user-personalization-v2"
SCHEMA = avro(
    "Interactions", column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long"), column("EVENT_TYPE"),
    column("EVENT_VALUE", ["float", "null"]),
)  # fmt: skip
SOLUTION_CONFIGS = [
    {},
    {"algorithmHyperParameters": {}, "featureTransformationParameters": {}},
    {"algorithmHyperParameters": {"bptt": "10"}, "featureTransformationParameters": {}},
    {"trainingDataConfig": {}},
    {"trainingDataConfig": {"excludedDatasetColumns": {}, "includedDatasetColumns": {}}},
    {"trainingDataConfig": {"excludedDatasetColumns": {"ITEMS": []}}},
    {"eventValueThreshold": "0.5", "algorithmHyperParameters": {}},
]
HPO_CONFIGS = [
    {},
    {"algorithmHyperParameterRanges": {}, "hpoResourceConfig": {}},
    {
        "algorithmHyperParameterRanges": {
            "integerHyperParameterRanges": [{"name": "hidden_dimension", "minValue": 32, "maxValue": 64}],
            "continuousHyperParameterRanges": [],
            "categoricalHyperParameterRanges": [],
        },
        "hpoResourceConfig": {"maxNumberOfTrainingJobs": "2", "maxParallelTrainingJobs": "1"},
    },
]
CAMPAIGN_CONFIGS = [
    {},
    {"itemExplorationConfig": {}},
    {"itemExplorationConfig": {}, "rankingInfluence": {}, "enableMetadataWithRecommendations": False},
    {"itemExplorationConfig": {"explorationWeight": "0.3"}, "syncWithLatestSolutionVersion": False},
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("echo"))
    yield made
    made.metadata_store.close()


@pytest.fixture(scope="module")
def client(world, tmp_path_factory):
    with personalize(world.plane, tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture(scope="module")
def group(world):
    group = world.group()
    world.import_job(world.dataset(group, schema=SCHEMA))
    world.finish_next({"imported_rows": 5000, "files": 1})
    return group


def described(client, world, group, config, **more):
    """Return the configurations of a solution made with one, and of a version of it."""
    solution = client.create_solution(
        name=world.name("echo"), datasetGroupArn=group, solutionConfig=config, **{"recipeArn": V1, **more}
    )["solutionArn"]
    version = client.create_solution_version(solutionArn=solution)["solutionVersionArn"]
    return (
        client.describe_solution(solutionArn=solution)["solution"]["solutionConfig"],
        client.describe_solution_version(solutionVersionArn=version)["solutionVersion"]["solutionConfig"],
    )


@pytest.mark.parametrize("config", SOLUTION_CONFIGS, ids=str)
def test_the_configuration_of_a_solution_comes_back_as_it_was_sent(client, world, group, config):
    assert described(client, world, group, config) == (config, config)


@pytest.mark.parametrize("config", HPO_CONFIGS, ids=str)
def test_the_configuration_of_tuning_comes_back_as_it_was_sent(client, world, group, config):
    sent = {"hpoConfig": config}

    assert described(client, world, group, sent, performHPO=True) == (sent, sent)


def test_weights_of_events_come_back_as_they_were_sent(client, world, group):
    entries = [{"eventType": "watch", "eventValueThreshold": 0.1, "weight": 0.7}, {"eventType": "click", "weight": 0.0}]
    sent = {"eventsConfig": {"eventParametersList": entries}, "algorithmHyperParameters": {}}

    assert described(client, world, group, sent, recipeArn=V2) == (sent, sent)


@pytest.mark.parametrize("config", CAMPAIGN_CONFIGS, ids=str)
def test_the_configuration_of_a_campaign_comes_back_as_it_was_sent(client, world, group, config):
    version = world.version(world.solution(group, V1))
    while world.resources.versions.describe(version).status != "ACTIVE":
        world.finish_next({"training_hours": 0.01, "metrics": {"coverage": 0.5}})

    campaign = client.create_campaign(name=world.name("echo"), solutionVersionArn=version, campaignConfig=config)
    arn = campaign["campaignArn"]
    assert client.describe_campaign(campaignArn=arn)["campaign"]["campaignConfig"] == config

    world.serve("worker")
    client.update_campaign(campaignArn=arn, campaignConfig=config)
    assert client.describe_campaign(campaignArn=arn)["campaign"]["latestCampaignUpdate"]["campaignConfig"] == config
