"""A worse version, and a choice of recipes: what campaigns do, and what boto3 and the command line show of it.

For the worse one the other users' histories are shuffled among the items, as a broken export would; those of the test
users stay. So the version that learns from them is really worse on the users that both versions are compared on.
"""

import hashlib
import json
import random
from dataclasses import replace

import pytest

from benchmarks.system import running_system
from cli.app import Env, app, run
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS
from cli.demo.journey import ROLE_ARN, Journey
from common.testing import wait_until
from tests.system.test_lifecycle import STANDARD_METRICS

USERS = 400


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(tmp_path_factory.mktemp("evaluation")) as running:
        yield running


@pytest.fixture(scope="module")
def journey(system):
    return Journey(system.clients(), suffix="evaluation")


def key(user):
    return int.from_bytes(hashlib.blake2b(user.encode(), digest_size=8).digest(), "little")


def broken(data):
    """Give every interaction of the users who are learnt from any item, and those of the test users their own."""
    chance = random.Random(1)
    tested = set(sorted(data.users, key=key)[: USERS // 10])
    items = list(data.items)
    return replace(
        data,
        interactions=[
            watch if watch.user in tested else replace(watch, item=chance.choice(items)) for watch in data.interactions
        ],
    )


def bring(journey, system, data, name):
    """Replace the interactions."""
    path = data.write_csv(system.installation.buckets / name)["Interactions"]
    personalize = journey.clients.personalize
    job = personalize.create_dataset_import_job(
        jobName=name,
        datasetArn=journey.datasets["Interactions"],
        dataSource={"dataLocation": f"s3://{name}/{path.name}"},
        roleArn=ROLE_ARN,
        importMode="FULL",
    )["datasetImportJobArn"]
    journey.wait("import", lambda: personalize.describe_dataset_import_job(datasetImportJobArn=job)["datasetImportJob"])


def compared(system, solution, capsys, *options):
    """Return what the command line says."""
    capsys.readouterr()
    arguments = ["solutions", "compare", solution, *options, "--data-dir", str(system.installation.root)]
    assert run(app, Env(environ={}), arguments) == 0
    return capsys.readouterr().out


def test_a_worse_version_is_shown_and_refused(system, journey, capsys):
    personalize = journey.clients.personalize
    data = generate(users=USERS, genres=5, series=4)
    journey.create_datasets(SCHEMAS)
    bring(journey, system, data, "good")
    solution = journey.create_solution("films", "aws-sims")
    first = journey.train(solution)
    campaign = personalize.create_campaign(
        name="films", solutionVersionArn=f"{solution}/$LATEST", campaignConfig={"syncWithLatestSolutionVersion": True}
    )["campaignArn"]

    def described():
        return personalize.describe_campaign(campaignArn=campaign)["campaign"]

    journey.wait("campaign", described)

    # The broken import: trained, measured, told, and not served.
    bring(journey, system, broken(data), "broken")
    worse = journey.train(solution)
    refused = wait_until(lambda: described().get("latestCampaignUpdate"), seconds=60)
    assert (refused["solutionVersionArn"], refused["status"]) == (worse, "CREATE FAILED")
    assert refused["failureReason"].startswith(f"refused: {worse} is significantly worse than {first}")
    assert (described()["status"], described()["solutionVersionArn"]) == ("ACTIVE", first)
    assert set(journey.metrics(worse)) == STANDARD_METRICS
    newest, oldest = json.loads(compared(system, solution, capsys, "--output", "json"))
    assert (newest["solution_version_arn"], oldest["solution_version_arn"]) == (worse, first)
    comparison = newest["evaluation"]["comparison"]
    assert (comparison["verdict"], comparison["users"]) == ("VERDICT_WORSE", USERS // 10)
    assert newest["refusals"][0]["campaign_arn"] == campaign
    assert "comparison" not in oldest["evaluation"]
    assert "significantly worse" in " ".join(compared(system, solution, capsys).split())

    # A new campaign does not begin with it either.
    other = personalize.create_campaign(name="new", solutionVersionArn=f"{solution}/$LATEST")["campaignArn"]
    begun = personalize.describe_campaign(campaignArn=other)["campaign"]
    assert (begun["solutionVersionArn"], begun["latestCampaignUpdate"]["solutionVersionArn"]) == (first, worse)

    # Mended: compared with the first version, not with the broken one, and followed to.
    bring(journey, system, data, "mended")
    mended = journey.train(solution)
    wait_until(lambda: described()["solutionVersionArn"] == mended, seconds=60)
    (shown,) = json.loads(compared(system, solution, capsys, mended, "--output", "json"))
    comparison = shown["evaluation"]["comparison"]
    assert (comparison["solution_version_arn"], comparison["verdict"]) == (first, "VERDICT_UNDECIDED")

    # A person may serve the broken one nevertheless, and the campaign no longer follows.
    personalize.update_campaign(campaignArn=campaign, solutionVersionArn=worse, campaignConfig={})
    wait_until(lambda: described()["solutionVersionArn"] == worse, seconds=60)


def test_auto_ml_chooses_a_recipe_and_reports_every_candidate(system, capsys):
    journey = Journey(system.clients(), suffix="chosen")
    personalize = journey.clients.personalize
    journey.create_datasets(SCHEMAS)
    bring(journey, system, generate(users=USERS, genres=5, series=4), "chosen")
    names = ["aws-popularity-count", "tailorbird-ials"]
    solution = personalize.create_solution(
        name="chosen",
        datasetGroupArn=journey.dataset_group_arn,
        performAutoML=True,
        performAutoTraining=False,
        solutionConfig={
            "autoMLConfig": {
                "metricName": "precision_at_25",
                "recipeList": [f"arn:aws:personalize:::recipe/{name}" for name in reversed(names)],
            }
        },
    )["solutionArn"]
    assert "autoMLResult" not in personalize.describe_solution(solutionArn=solution)["solution"]

    version = journey.train(solution)

    described = personalize.describe_solution(solutionArn=solution)["solution"]
    best = described["autoMLResult"]["bestRecipeArn"]
    assert (described["performAutoML"], "recipeArn" in described) == (True, False)
    trained = personalize.describe_solution_version(solutionVersionArn=version)["solutionVersion"]
    assert (trained["recipeArn"], trained["performAutoML"], trained["trainingType"]) == (best, True, "MANUAL")
    (shown,) = json.loads(compared(system, solution, capsys, "--output", "json"))
    choice = shown["evaluation"]["recipe_choice"]
    assert [item["recipe"] for item in choice["candidates"]] == names
    (chosen,) = (item["recipe"] for item in choice["candidates"] if item.get("chosen"))
    assert best == f"arn:aws:personalize:::recipe/{chosen}"
    table = compared(system, solution, capsys)
    assert "Recipes tried for" in table
    assert all(name in table for name in names)
