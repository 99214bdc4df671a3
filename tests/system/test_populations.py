"""Trends, actions, segments and the use cases of domains through boto3: trained, measured, served or refused."""

import json

import pytest
from botocore.exceptions import ClientError

from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import RECIPE_ARN, ROLE_ARN, Journey
from common.testing import wait_until
from tests.control_plane.world import avro, column
from tests.system.test_lifecycle import STANDARD_METRICS
from tests.system.use_cases import USE_CASES, UseCaseData, create_recommenders, wait_for_recommender

ACTION_SCHEMAS = {
    "ACTIONS": avro(
        "Actions", column("ACTION_ID"), column("KIND", categorical=True), column("VALUE", ["null", "long"])
    ),
    "ACTION_INTERACTIONS": avro(
        "ActionInteractions", column("USER_ID"), column("ACTION_ID"), column("EVENT_TYPE"), column("TIMESTAMP", "long")
    ),
}
START = 1_700_000_000


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(tmp_path_factory.mktemp("populations")) as running:
        yield running


@pytest.fixture(scope="module")
def clients(system):
    return system.clients()


@pytest.fixture(scope="module")
def use_case_data():
    return UseCaseData.generate()


@pytest.fixture(scope="module")
def recommenders(system, clients, use_case_data):
    """Give the ARNs of a recommender of each use case by its recipe, all being trained."""
    return create_recommenders(clients, use_case_data, system.installation.buckets)


@pytest.fixture(scope="module")
def journey(system, clients):
    journey = Journey(clients, suffix="populations")
    journey.create_datasets({**SCHEMAS, **ACTION_SCHEMAS})
    data, bucket = generate(users=150, genres=4, series=4), system.installation.buckets / "films"
    files = data.write_csv(bucket)
    lines = ["USER_ID,ACTION_ID,EVENT_TYPE,TIMESTAMP"]
    for number, user in enumerate(sorted({watch.user for watch in data.interactions})):
        kind = ("Taken", "Not taken")[number % 2]
        lines += [f"{user},join,{kind},{START + number}", f"{user},leave,Viewed,{START + number}"]
    (bucket / "acts.csv").write_text("\n".join(lines) + "\n")
    (bucket / "actions.csv").write_text("ACTION_ID,KIND,VALUE\njoin,club,3\nleave,club,\n")
    locations = {kind: f"s3://films/{path.name}" for kind, path in files.items()}
    journey.import_csv({**locations, "ACTIONS": "s3://films/actions.csv", "ACTION_INTERACTIONS": "s3://films/acts.csv"})
    return journey


def test_an_item_that_no_training_has_seen_trends_after_events(journey):
    arn = journey.clients.personalize.create_solution(
        name="trends-populations",
        datasetGroupArn=journey.dataset_group_arn,
        recipeArn=RECIPE_ARN + "aws-trending-now",
        performAutoTraining=False,
        solutionConfig={"featureTransformationParameters": {"trend_discovery_frequency": "30 minutes"}},
    )["solutionArn"]
    version = journey.train(arn)
    assert set(journey.metrics(version)) == STANDARD_METRICS | {"trend_prediction_accuracy"}
    campaign, tracker = journey.create_campaign("trends", version), journey.create_event_tracker()
    before = journey.clients.runtime.get_recommendations(campaignArn=campaign)["itemList"]
    assert len(before) == 25

    for number in range(12):
        journey.put_events(tracker, f"visitor-{number}", ["film-of-today"], event_type=EVENT)

    def first():
        return journey.clients.runtime.get_recommendations(campaignArn=campaign, numResults=1)["itemList"]

    wait_until(lambda: first() == [{"itemId": "film-of-today"}], seconds=20)


def test_actions_are_recommended(journey):
    version = journey.train(journey.create_solution("acts", "aws-next-best-action"))
    assert set(journey.metrics(version)) == {"coverage", "precision", "recall", "auc"}
    campaign = journey.create_campaign("acts", version)

    answer = journey.clients.runtime.get_action_recommendations(campaignArn=campaign, userId="user-0001")

    assert answer["recommendationId"].startswith("RID-")
    assert [action["actionId"] for action in answer["actionList"]] == ["join", "leave"]
    assert 0.0 < answer["actionList"][0]["score"] < 1.0
    assert answer["actionList"][1]["score"] == 0.0  # nobody ever took it


def test_segments_are_measured_and_made_by_batch_jobs_alone(journey, system):
    solution = journey.create_solution("segments", "aws-item-affinity", hyperparameters={"hidden_dimension": 32})
    version = journey.train(solution)

    assert set(journey.metrics(version)) == {"coverage", "hits_at_1_percent", "recall_at_1_percent"}
    with pytest.raises(ClientError, match="user segments are made by batch segment jobs"):
        journey.create_campaign("segments", version)

    personalize, bucket = journey.clients.personalize, system.installation.buckets / "films"
    (bucket / "segments").mkdir()
    lines = [{"itemId": "film-0001"}, {"itemId": "nothing"}]
    (bucket / "segments" / "items.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    filter_arn = personalize.create_filter(
        name="segments", datasetGroupArn=journey.dataset_group_arn,
        filterExpression='EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("nothing")',
    )["filterArn"]  # fmt: skip
    job = personalize.create_batch_segment_job(
        jobName="segments", solutionVersionArn=version, filterArn=filter_arn, numResults=7, roleArn=ROLE_ARN,
        jobInput={"s3DataSource": {"path": "s3://films/segments/items.json"}},
        jobOutput={"s3DataDestination": {"path": "s3://films/segments-out/"}},
    )["batchSegmentJobArn"]  # fmt: skip

    def described():
        return personalize.describe_batch_segment_job(batchSegmentJobArn=job)["batchSegmentJob"]

    wait_until(lambda: described()["status"] in ("ACTIVE", "CREATE FAILED"), seconds=120)
    assert described().get("failureReason") is None
    output = (bucket / "segments-out" / "items.json.out").read_text().splitlines()
    segment, missing = map(json.loads, output)
    assert segment["input"] == {"itemId": "film-0001"}
    assert len(set(segment["output"]["usersList"])) == 7
    assert missing["error"].startswith("`itemId`: got 'nothing'")


def test_use_cases_of_domains_are_listed_and_refused_in_solutions(journey):
    listed = journey.clients.personalize.list_recipes(domain="ECOMMERCE")["recipes"]

    assert len(listed) == 5
    assert {recipe["domain"] for recipe in listed} == {"ECOMMERCE"}
    with pytest.raises(ClientError, match="is for recommenders of ECOMMERCE only"):
        journey.create_solution("shop", listed[0]["name"])


@pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.recipe)
def test_every_use_case_of_a_domain_is_trained_and_answers_what_it_is_for(
    clients, recommenders, use_case_data, use_case
):
    arn, data = recommenders[use_case.recipe], use_case_data
    item = data.seen_by(data.user)[0]

    recommender = wait_for_recommender(clients, arn)
    answer = clients.runtime.get_recommendations(recommenderArn=arn, userId=data.user, itemId=item)

    assert set(recommender["modelMetrics"]) == STANDARD_METRICS | use_case.metrics
    assert answer["recommendationId"].startswith("RID-")
    assert all(entry.keys() == {"itemId"} for entry in answer["itemList"])
    items = [entry["itemId"] for entry in answer["itemList"]]
    assert len(set(items)) == 25
    assert use_case.fits(data, items, item)


@pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.recipe)
def test_every_use_case_of_a_domain_wants_what_it_needs_and_no_more(clients, recommenders, use_case_data, use_case):
    arn, data = recommenders[use_case.recipe], use_case_data
    request = use_case.request(data.user, data.seen_by(data.user)[0])

    wait_for_recommender(clients, arn)

    assert clients.runtime.get_recommendations(recommenderArn=arn, **request)["itemList"]
    for member in request:
        others = {name: value for name, value in request.items() if name != member}
        with pytest.raises(ClientError, match=f"`{member}`: got ''") as caught:
            clients.runtime.get_recommendations(recommenderArn=arn, **others)
        assert caught.value.response["Error"]["Code"] == "InvalidInputException"
