"""Two accounts of one installation, each called through boto3: what one has does not exist for the other."""

import json
from contextlib import ExitStack

import pytest
from botocore.exceptions import ClientError

from tests.control_plane.through_boto3 import personalize_of
from tests.control_plane.world import MOST_VIEWED, make_world

RECIPE = "arn:aws:personalize:::recipe/aws-user-personalization-v2"
SEEN = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'
ROLE = "arn:aws:iam::222222222222:role/r"
METRIC = {"metricName": "views", "eventType": "watch", "expression": "SAMPLECOUNT()"}
OUTPUT = {"s3DataDestination": {"path": "s3://bucket/output/"}}
ACCOUNTS = ("111111111111", "222222222222")
SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "Interactions",
        "namespace": "com.amazonaws.personalize.schema",
        "fields": [
            {"name": "USER_ID", "type": "string"},
            {"name": "ITEM_ID", "type": "string"},
            {"name": "TIMESTAMP", "type": "long"},
            {"name": "EVENT_TYPE", "type": "string"},
        ],
        "version": "1.0",
    }
)


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accounts")
    world = make_world(folder)
    with ExitStack() as stack:
        yield stack.enter_context(personalize_of(ACCOUNTS, world.plane, folder))
    world.metadata_store.close()


@pytest.fixture(scope="module")
def made(clients):
    """Make resources of the same names in both accounts, and return the ARNs of each."""
    return [make(client) for client in clients]


def make(client):
    group = client.create_dataset_group(name="films", domain="ECOMMERCE")["datasetGroupArn"]
    schema = client.create_schema(name="films", schema=SCHEMA, domain="ECOMMERCE")["schemaArn"]
    dataset = client.create_dataset(name="films", schemaArn=schema, datasetGroupArn=group, datasetType="Interactions")
    solution = client.create_solution(
        name="films",
        datasetGroupArn=group,
        recipeArn=RECIPE,
        performAutoTraining=False,
    )
    tracker = client.create_event_tracker(name="films", datasetGroupArn=group)
    recommender = client.create_recommender(name="films", datasetGroupArn=group, recipeArn=MOST_VIEWED)
    metrics = client.create_metric_attribution(
        name="films", datasetGroupArn=group, metrics=[METRIC], metricsOutputConfig={"roleArn": ROLE}
    )
    export = client.create_dataset_export_job(
        jobName="films", datasetArn=dataset["datasetArn"], roleArn=ROLE, jobOutput=OUTPUT
    )
    deletion = client.create_data_deletion_job(
        jobName="films", datasetGroupArn=group, roleArn=ROLE, dataSource={"dataLocation": "s3://bucket/users.csv"}
    )
    return {
        "filterArn": client.create_filter(name="films", datasetGroupArn=group, filterExpression=SEEN)["filterArn"],
        "metricAttributionArn": metrics["metricAttributionArn"],
        "datasetExportJobArn": export["datasetExportJobArn"],
        "dataDeletionJobArn": deletion["dataDeletionJobArn"],
        "datasetGroupArn": group,
        "schemaArn": schema,
        "datasetArn": dataset["datasetArn"],
        "solutionArn": solution["solutionArn"],
        "eventTrackerArn": tracker["eventTrackerArn"],
        "recommenderArn": recommender["recommenderArn"],
    }


def refused(call, arguments):
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response
    text = error["Error"]["Message"]
    for value in arguments.values():
        text = text.replace(str(value), "ARN")
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"], text


def test_names_are_free_in_every_account_and_arns_hold_it(made):
    for account, arns in zip(ACCOUNTS, made, strict=True):
        assert all(f":{account}:" in arn for arn in arns.values())


@pytest.mark.parametrize(
    ("operation", "member", "key"),
    [
        ("list_dataset_groups", "datasetGroups", "datasetGroupArn"),
        ("list_schemas", "schemas", "schemaArn"),
        ("list_datasets", "datasets", "datasetArn"),
        ("list_solutions", "solutions", "solutionArn"),
        ("list_event_trackers", "eventTrackers", "eventTrackerArn"),
        ("list_recommenders", "recommenders", "recommenderArn"),
        ("list_filters", "Filters", "filterArn"),
        ("list_metric_attributions", "metricAttributions", "metricAttributionArn"),
        ("list_dataset_export_jobs", "datasetExportJobs", "datasetExportJobArn"),
        ("list_data_deletion_jobs", "dataDeletionJobs", "dataDeletionJobArn"),
    ],
)
def test_lists_show_what_is_of_the_account(clients, made, operation, member, key):
    for client, arns in zip(clients, made, strict=True):
        assert [entry[key] for entry in getattr(client, operation)()[member]] == [arns[key]]


def missing(arn):
    """Return an ARN like this one, of something that was never made, in the same account."""
    return f"{arn.replace(ACCOUNTS[0], ACCOUNTS[1])[:-3]}xyz"


@pytest.mark.parametrize(
    ("operation", "member", "others"),
    [
        ("describe_dataset_group", "datasetGroupArn", {}),
        ("describe_schema", "schemaArn", {}),
        ("describe_dataset", "datasetArn", {}),
        ("describe_solution", "solutionArn", {}),
        ("describe_event_tracker", "eventTrackerArn", {}),
        ("delete_dataset_group", "datasetGroupArn", {}),
        ("delete_schema", "schemaArn", {}),
        ("delete_dataset", "datasetArn", {}),
        ("delete_solution", "solutionArn", {}),
        ("delete_event_tracker", "eventTrackerArn", {}),
        ("create_event_tracker", "datasetGroupArn", {"name": "mine"}),
        ("create_solution_version", "solutionArn", {}),
        ("create_solution", "datasetGroupArn", {"name": "mine", "recipeArn": RECIPE}),
        ("list_solution_versions", "solutionArn", {}),
        (
            "create_dataset_import_job",
            "datasetArn",
            {
                "jobName": "j",
                "dataSource": {"dataLocation": "s3://bucket/data.csv"},
                "roleArn": ROLE,
            },
        ),
        ("describe_filter", "filterArn", {}),
        ("delete_filter", "filterArn", {}),
        ("create_filter", "datasetGroupArn", {"name": "mine", "filterExpression": SEEN}),
        ("describe_metric_attribution", "metricAttributionArn", {}),
        ("list_metric_attribution_metrics", "metricAttributionArn", {}),
        ("update_metric_attribution", "metricAttributionArn", {"removeMetrics": ["views"]}),
        ("delete_metric_attribution", "metricAttributionArn", {}),
        (
            "create_metric_attribution",
            "datasetGroupArn",
            {"name": "mine", "metrics": [METRIC], "metricsOutputConfig": {"roleArn": ROLE}},
        ),
        ("describe_dataset_export_job", "datasetExportJobArn", {}),
        ("create_dataset_export_job", "datasetArn", {"jobName": "j", "roleArn": ROLE, "jobOutput": OUTPUT}),
        ("describe_data_deletion_job", "dataDeletionJobArn", {}),
        (
            "create_data_deletion_job",
            "datasetGroupArn",
            {"jobName": "j", "roleArn": ROLE, "dataSource": {"dataLocation": "s3://bucket/users.csv"}},
        ),
        ("update_solution", "solutionArn", {"performAutoTraining": True}),
        ("describe_recommender", "recommenderArn", {}),
        ("start_recommender", "recommenderArn", {}),
        ("stop_recommender", "recommenderArn", {}),
        ("delete_recommender", "recommenderArn", {}),
        (
            "update_recommender",
            "recommenderArn",
            {"recommenderConfig": {"minRecommendationRequestsPerSecond": 2}},
        ),
        ("create_recommender", "datasetGroupArn", {"name": "mine", "recipeArn": MOST_VIEWED}),
    ],
)
def test_resources_of_another_account_are_like_missing_ones(clients, made, operation, member, others):
    call = getattr(clients[1], operation)
    arn = made[0][member]

    assert refused(call, {**others, member: arn}) == refused(call, {**others, member: missing(arn)})
    assert refused(call, {**others, member: arn})[1] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("operation", "member", "listed"),
    [
        ("list_datasets", "datasetGroupArn", "datasets"),
        ("list_solutions", "datasetGroupArn", "solutions"),
        ("list_event_trackers", "datasetGroupArn", "eventTrackers"),
        ("list_recommenders", "datasetGroupArn", "recommenders"),
        ("list_campaigns", "solutionArn", "campaigns"),
        ("list_dataset_import_jobs", "datasetArn", "datasetImportJobs"),
        ("list_filters", "datasetGroupArn", "Filters"),
        ("list_metric_attributions", "datasetGroupArn", "metricAttributions"),
        ("list_dataset_export_jobs", "datasetArn", "datasetExportJobs"),
        ("list_data_deletion_jobs", "datasetGroupArn", "dataDeletionJobs"),
    ],
)
def test_lists_of_what_another_account_has_are_empty(clients, made, operation, member, listed):
    call, arn = getattr(clients[1], operation), made[0][member]

    assert call(**{member: arn})[listed] == call(**{member: missing(arn)})[listed] == []


@pytest.mark.parametrize("operation", ["list_tags_for_resource", "tag_resource", "untag_resource"])
def test_tags_of_another_account_are_like_those_of_missing_resources(clients, made, operation):
    others = {"tag_resource": {"tags": [{"tagKey": "a", "tagValue": "b"}]}, "untag_resource": {"tagKeys": ["a"]}}
    call, arn = getattr(clients[1], operation), made[0]["datasetGroupArn"]
    arguments = others.get(operation, {})

    assert refused(call, {**arguments, "resourceArn": arn}) == refused(call, {**arguments, "resourceArn": missing(arn)})


def test_a_schema_or_a_filter_of_another_account_cannot_be_used(clients, made):
    mine, theirs = made[1], made[0]
    update = clients[1].update_dataset
    assert refused(update, {"datasetArn": mine["datasetArn"], "schemaArn": theirs["schemaArn"]}) == refused(
        update, {"datasetArn": mine["datasetArn"], "schemaArn": missing(theirs["schemaArn"])}
    )


def test_nothing_was_changed_by_what_another_account_tried(clients, made):
    for operation, member, status in (
        ("describe_dataset_group", "datasetGroupArn", "ACTIVE"),
        ("describe_solution", "solutionArn", "ACTIVE"),
        ("describe_recommender", "recommenderArn", "CREATE PENDING"),
    ):
        (described,) = [
            value
            for name, value in getattr(clients[0], operation)(**{member: made[0][member]}).items()
            if name != "ResponseMetadata"
        ]
        assert described["status"] == status
