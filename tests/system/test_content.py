"""Items known by what they are, through boto3: names and texts without interactions, columns chosen by the solution."""

import csv
import json

import pytest
from botocore.exceptions import ClientError

from benchmarks.system import running_system
from cli.demo.journey import RECIPE_ARN, ROLE_ARN, Journey
from common.testing import wait_until
from tests.control_plane.world import avro, column

WORDS = ("dragon sword castle", "rocket planet laser", "murder clue alibi", "kitchen butter oven")
ITEMS = avro(
    "Items",
    column("ITEM_ID"),
    column("TITLE", itemName=True),
    column("PLOT", ["null", "string"], textual=True),
    column("GENRES", ["null", "string"], categorical=True),
    column("CREATION_TIMESTAMP", ["null", "long"]),
)
USERS = avro("Users", column("USER_ID"), column("AGE", ["null", "int"]))
CHOICE = {"excludedDatasetColumns": {"ITEMS": ["GENRES"]}}


@pytest.fixture(scope="module")
def journey(tmp_path_factory):
    often = {"TAILORBIRD_INCREMENTAL_UPDATE_SECONDS": "1"}
    with running_system(tmp_path_factory.mktemp("content"), settings=often) as system:
        journey = Journey(system.clients(), suffix="content")
        journey.create_datasets({"Items": ITEMS, "Users": USERS})
        folder = system.installation.buckets / "films"
        folder.mkdir(parents=True)
        for name, rows in (("items", range(60)), ("later", range(8, 62))):
            with (folder / f"{name}.csv").open("w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["ITEM_ID", "TITLE", "PLOT", "GENRES", "CREATION_TIMESTAMP"])
                writer.writerows([f"film-{row}", f"Film {row}", WORDS[row % 4], "war", 1000 + row] for row in rows)
        journey.import_csv({"Items": "s3://films/items.csv"})
        yield journey


def create(journey, name, choice, **members):
    return journey.clients.personalize.create_solution(
        name=name,
        datasetGroupArn=journey.dataset_group_arn,
        recipeArn=RECIPE_ARN + "aws-semantic-similarity",
        performAutoTraining=False,
        solutionConfig={"trainingDataConfig": choice},
        **members,
    )["solutionArn"]


def test_items_of_like_texts_are_related_and_campaigns_may_prefer_new_ones(journey):
    personalize = journey.clients.personalize
    solution = create(journey, "like", CHOICE)
    version = journey.train(solution)
    campaign = personalize.create_campaign(
        name="like", solutionVersionArn=version, campaignConfig={"rankingInfluence": {"FRESHNESS": 0.5}}
    )["campaignArn"]
    journey.wait("campaign", lambda: personalize.describe_campaign(campaignArn=campaign)["campaign"])

    answer = journey.clients.runtime.get_recommendations(campaignArn=campaign, itemId="film-2", numResults=5)

    assert [entry["itemId"] for entry in answer["itemList"]] == [f"film-{row}" for row in (58, 54, 50, 46, 42)]
    described = personalize.describe_solution(solutionArn=solution)["solution"]
    assert described["solutionConfig"]["trainingDataConfig"] == CHOICE
    assert described["performIncrementalUpdate"] is True
    assert set(journey.metrics(version)) == {"coverage", "item_similarity", "item_freshness", "item_popularity"}

    # Two films come and eight go: what is served takes that up, and the version stays the only one.
    job = personalize.create_dataset_import_job(
        jobName="later",
        datasetArn=journey.datasets["Items"],
        dataSource={"dataLocation": "s3://films/later.csv"},
        roleArn=ROLE_ARN,
    )["datasetImportJobArn"]
    describe = personalize.describe_dataset_import_job
    journey.wait("import", lambda: describe(datasetImportJobArn=job)["datasetImportJob"])

    def related_to(film):
        answer = journey.clients.runtime.get_recommendations(campaignArn=campaign, itemId=film, numResults=20)
        return {int(entry["itemId"].removeprefix("film-")) for entry in answer["itemList"]}

    # Each worker takes it up in its own time, and any may answer.
    wait_until(lambda: 61 in related_to("film-57"))
    wait_until(lambda: related_to("film-60") >= set(range(8, 60, 4)))
    wait_until(lambda: not related_to("film-58") & set(range(8)))
    (only,) = personalize.list_solution_versions(solutionArn=solution)["solutionVersions"]
    assert only["solutionVersionArn"] == version


def test_filters_and_columns_see_what_is_put_at_once(journey):
    personalize = journey.clients.personalize
    version = journey.train(create(journey, "filtered", CHOICE, performIncrementalUpdate=False))
    campaign = personalize.create_campaign(name="filtered", solutionVersionArn=version)["campaignArn"]
    filter_arn = personalize.create_filter(
        name="for-grown-ups",
        datasetGroupArn=journey.dataset_group_arn,
        filterExpression="INCLUDE ItemID WHERE Items.GENRES IN ($GENRE) | "
        'EXCLUDE ItemID WHERE Items.GENRES IN ("gore") IF CurrentUser.AGE < 18',
    )["filterArn"]
    journey.wait("campaign", lambda: personalize.describe_campaign(campaignArn=campaign)["campaign"])
    journey.wait("filter", lambda: personalize.describe_filter(filterArn=filter_arn)["filter"])

    def put(item, genres, **more):
        properties = json.dumps({"title": f"Film {item}", "genres": genres, **more})
        journey.clients.events.put_items(
            datasetArn=journey.datasets["Items"], items=[{"itemId": item, "properties": properties}]
        )

    def answered(user):
        answer = journey.clients.runtime.get_recommendations(
            campaignArn=campaign, itemId="film-9", userId=user, numResults=50, filterArn=filter_arn,
            filterValues={"GENRE": '"noir"'}, metadataColumns={"ITEMS": ["GENRES", "TITLE"]},
        )  # fmt: skip
        return {entry["itemId"]: entry["metadata"] for entry in answer["itemList"]}

    # The filter comes with the next answer of the control plane.
    wait_until(lambda: _succeeds(answered, "child"))
    assert answered("child") == {}
    put("film-12", "noir|war")
    put("film-13", "noir|gore")
    both = {
        "film-12": {"GENRES": "noir|war", "TITLE": "Film film-12"},
        "film-13": {"GENRES": "noir|gore", "TITLE": "Film film-13"},
    }
    wait_until(lambda: answered("child") == both, seconds=5)

    journey.clients.events.put_users(
        datasetArn=journey.datasets["Users"], users=[{"userId": "child", "properties": '{"age": 7}'}]
    )
    wait_until(lambda: answered("child").keys() == {"film-12"}, seconds=5)
    assert answered("parent") == both

    # An item that no training has seen is found by its texts, filtered and described, and others are found by it.
    put("film-1001", "noir", plot=WORDS[1])
    tomorrow = {"film-1001": {"GENRES": "noir", "TITLE": "Film film-1001"}}
    wait_until(lambda: answered("child") == {"film-12": both["film-12"], **tomorrow}, seconds=10)

    def like_tomorrow():
        answer = journey.clients.runtime.get_recommendations(campaignArn=campaign, itemId="film-1001", numResults=10)
        return {int(entry["itemId"].removeprefix("film-")) % 4 for entry in answer["itemList"]}

    wait_until(lambda: like_tomorrow() == {1}, seconds=10)


def _succeeds(call, *arguments):
    try:
        call(*arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        return False
    return True


def test_columns_that_there_are_not_are_refused(journey):
    with pytest.raises(ClientError, match="got 'COLOUR', want one of ITEM_ID, TITLE, PLOT"):
        create(journey, "unlike", {"excludedDatasetColumns": {"ITEMS": ["COLOUR"]}})
