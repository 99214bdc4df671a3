"""Configurations through boto3, from the request to what is recommended: events, context, objective, exploration."""

import csv
import json

import pytest

from benchmarks.system import running_system
from cli.demo.journey import RECIPE_ARN, Journey
from common.testing import wait_until
from tests.system.test_lifecycle import QUICK, STANDARD_METRICS

WEIGHTED = {f"normalized_discounted_cumulative_gain_with_event_weights_at_{cut}" for cut in (5, 10, 25)}
QUICK_V1 = {"hidden_dimension": 32, "epochs": 2, "max_length": 20}
USERS, STEPS, DAY = 80, 16, 86_400
#: Two shelves of films, one seen on TVs and one on phones; the last film of each came out on the last day.
SHELF = 20
NEW = {"tv-19", "phone-19"}


def schema(name, *fields):
    kinds = {"text": "string", "maybe": ["null", "string"]}
    return json.dumps(
        {
            "type": "record", "name": name, "namespace": "com.amazonaws.personalize.schema", "version": "1.0",
            "fields": [
                {"name": column, "type": kinds.get(kind, kind), **({"categorical": True} if more else {})}
                for column, kind, more in fields
            ],
        }
    )  # fmt: skip


SCHEMAS = {
    "Interactions": schema(
        "Interactions", ("USER_ID", "text", False), ("ITEM_ID", "text", False), ("TIMESTAMP", "long", False),
        ("EVENT_TYPE", "text", False), ("DEVICE", "maybe", True),
    ),
    "Items": schema(
        "Items", ("ITEM_ID", "text", False), ("PRICE", "float", False), ("CREATION_TIMESTAMP", "long", False),
        ("GENRE", "text", True),
    ),
}  # fmt: skip


def interactions():
    """Let every user watch by TV and by phone in turn; every fourth film is bought."""
    for user in range(USERS):
        for step in range(STEPS):
            device = ("tv", "phone")[(user + step) % 2]
            film = (user * 3 + step) % (SHELF - 1)
            kind = "buy" if film % 4 == 0 else "watch"
            yield f"u{user:02}", f"{device}-{film:02}", 1_700_000_000 + step * 5 * DAY + user, kind, device


def items():
    for place in range(2 * SHELF):
        device, film = ("tv", "phone")[place // SHELF], place % SHELF
        age = 0 if film == SHELF - 1 else 400 * DAY
        yield f"{device}-{film:02}", 1 + place % 10, 1_700_000_000 + (STEPS - 1) * 5 * DAY - age, device


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    with running_system(tmp_path_factory.mktemp("configuration")) as system:
        journey = Journey(system.clients(), suffix="configuration")
        journey.create_datasets(SCHEMAS)
        folder = system.installation.buckets / "films"
        folder.mkdir(parents=True)
        for kind, rows in (("Interactions", interactions()), ("Items", items())):
            with (folder / f"{kind}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([field["name"] for field in json.loads(SCHEMAS[kind])["fields"]])
                writer.writerows(rows)
        journey.import_csv({kind: f"s3://films/{kind}.csv" for kind in SCHEMAS})
        yield journey


def solution(journey, name, recipe, config):
    personalize = journey.clients.personalize
    arn = personalize.create_solution(
        name=name, datasetGroupArn=journey.dataset_group_arn, recipeArn=RECIPE_ARN + recipe,
        performAutoTraining=False, solutionConfig=config,
    )["solutionArn"]  # fmt: skip
    described = personalize.describe_solution(solutionArn=arn)["solution"]
    assert described["solutionConfig"] == config
    return arn


def recommended(journey, campaign, **more):
    answer = journey.clients.runtime.get_recommendations(campaignArn=campaign, userId="u03", numResults=10, **more)
    return [entry["itemId"] for entry in answer["itemList"]]


def texts(values):
    return {key: str(value) for key, value in values.items()}


def test_event_weights_and_the_context_of_a_request_count(journey):
    config = {
        "algorithmHyperParameters": texts(QUICK | {"epochs": 12, "learning_rate": 0.01}),
        "eventsConfig": {
            "eventParametersList": [{"eventType": "watch", "weight": 0.25}, {"eventType": "buy", "weight": 1.0}]
        },
    }
    version = journey.train(solution(journey, "weighted", "aws-user-personalization-v2", config))
    assert set(journey.metrics(version)) == STANDARD_METRICS | WEIGHTED
    campaign = journey.create_campaign("weighted", version)

    by_tv, by_phone = (
        recommended(journey, campaign, context={name: device})
        for name, device in (("DEVICE", "tv"), ("device", "phone"))
    )

    # The model alternates; the context moves the next items towards the device of the request.
    def on_phone(item_ids):
        return sum(item_id.startswith("phone") for item_id in item_ids)

    assert on_phone(by_phone) > on_phone(by_tv)


def test_version_1_has_an_objective_explores_and_is_updated(journey):
    personalize = journey.clients.personalize
    config = {
        "algorithmHyperParameters": texts(QUICK_V1),
        "optimizationObjective": {"itemAttribute": "PRICE", "objectiveSensitivity": "LOW"},
    }
    arn = solution(journey, "objective", "aws-user-personalization", config)
    version = journey.train(arn)
    metrics = journey.metrics(version)
    assert set(metrics) == STANDARD_METRICS | {"average_rewards_at_k"}

    updated = personalize.create_solution_version(solutionArn=arn, trainingMode="UPDATE")["solutionVersionArn"]
    journey.wait("update", lambda: personalize.describe_solution_version(solutionVersionArn=updated)["solutionVersion"])
    shown = personalize.describe_solution_version(solutionVersionArn=updated)["solutionVersion"]
    assert shown["trainingMode"] == "UPDATE"
    assert journey.metrics(updated) == metrics

    campaign = journey.create_campaign("objective", updated)
    exploring = {"itemExplorationConfig": {"explorationWeight": "1.0", "explorationItemAgeCutOff": "7"}}
    personalize.update_campaign(campaignArn=campaign, campaignConfig=exploring)
    wait_until(
        lambda: personalize.describe_campaign(campaignArn=campaign)["campaign"].get("campaignConfig") == exploring,
        seconds=60,
    )
    assert (
        set(wait_until(lambda: (item_ids := recommended(journey, campaign)) and set(item_ids) >= NEW and item_ids))
        >= NEW
    )
