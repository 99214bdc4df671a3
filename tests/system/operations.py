"""One call of every operation of Personalize, in an order in which all of them succeed.

`SCENARIO` has an entry for each operation that is built: a function that returns the arguments of its call. The calls
are made in the order of the table. Whatever single values a response has are in `walk.values` for the entries below it:
`walk.values["campaignArn"]`. After a Create the walk waits until its Describe, which has an entry too, says ACTIVE;
after a Delete until its Describe finds nothing any more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from botocore import xform_name

from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import RECIPE_ARN, ROLE_ARN, Clients, Journey
from common.testing import wait_until
from tests.gateway import samples
from tests.system.test_lifecycle import QUICK
from tests.system.test_populations import ACTION_SCHEMAS

__all__ = ["SCENARIO", "Walk", "write_files"]

_SERVICES: Final = {name: service for service, name in samples.all_operations()}
_PATIENCE_SECONDS: Final = 120.0
_USER: Final = "user-0001"
#: Jobs that stay as they were created: no worker has a handler for them yet.
_PENDING: Final = frozenset({"BatchInferenceJob", "BatchSegmentJob"})
#: States at which what a Create began is done; None is of kinds without a state.
_DONE: Final = ("ACTIVE", "COMPLETED", None)
_ITEMS: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Items",
    "version": "1.0",
    "fields": [{"name": "ITEM_ID", "type": "string"}],
}


class Walk:
    """Calls operations by name and remembers what they return.

    Args:
        clients: boto3 clients of a whole system.
        files: Places of CSV files by dataset type, from `write_files`.

    Attributes:
        values: The single values of all responses so far, by member.
    """

    def __init__(self, clients: Clients, files: Mapping[str, str]) -> None:
        self.clients = clients
        self.files = files
        self.values: dict[str, str] = {}
        self._by_service = {
            "personalize": clients.personalize,
            "personalize-events": clients.events,
            "personalize-runtime": clients.runtime,
        }

    @cached_property
    def group_of_records(self) -> str:
        """ARN of a dataset group for datasets that take single records."""
        return str(self.call("CreateDatasetGroup", {"name": "records"})["datasetGroupArn"])

    @cached_property
    def second_group(self) -> Journey:
        """A dataset group with interactions and actions, for campaigns of other recipes."""
        journey = Journey(self.clients, suffix="walk", patience_seconds=_PATIENCE_SECONDS)
        journey.create_datasets({"Interactions": SCHEMAS["Interactions"], **ACTION_SCHEMAS})
        journey.import_csv(self.files)
        return journey

    def run(self, name: str) -> dict[str, Any]:
        """Make the call of the table's entry, and wait until what it began is done."""
        response = self.call(name, SCENARIO[name](self))
        if not name.startswith("Update"):
            # An update may have been one of another resource than those that the entries below are about.
            self.values |= {member: value for member, value in response.items() if isinstance(value, str)}
        kind = name.removeprefix("Create").removeprefix("Delete")
        if name.startswith("Create") and f"Describe{kind}" in SCENARIO and kind not in _PENDING:
            wait_until(lambda: self._status(kind) in _DONE, seconds=_PATIENCE_SECONDS, every=0.2)
        if name.startswith("Delete") and f"Describe{kind}" in SCENARIO:
            wait_until(lambda: not self._exists(kind), seconds=_PATIENCE_SECONDS, every=0.2)
        return response

    def call(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call an operation of whatever service it belongs to."""
        response: dict[str, Any] = getattr(self._by_service[_SERVICES[name]], xform_name(name))(**arguments)
        return response

    def _status(self, kind: str) -> str | None:
        """Return a resource's status, None for kinds without one."""
        response = self.call(f"Describe{kind}", SCENARIO[f"Describe{kind}"](self))
        (described,) = (value for member, value in response.items() if member != "ResponseMetadata")
        status: str | None = described.get("status")
        assert status is None or "FAILED" not in status, described
        return status

    def _exists(self, kind: str) -> bool:
        try:
            self._status(kind)
        except self.clients.personalize.exceptions.ResourceNotFoundException:
            return False
        return True


def write_files(bucket: Path) -> dict[str, str]:
    """Write small CSV files of interactions and actions; return their places by dataset type."""
    data = generate(users=60, genres=4, series=4)
    files = data.write_csv(bucket)
    lines = ["USER_ID,ACTION_ID,EVENT_TYPE,TIMESTAMP"]
    for number, user in enumerate(data.users):
        taken = ("Taken", "Not taken")[number % 2]
        lines += [f"{user},join,{taken},{1_700_000_000 + number}", f"{user},leave,Viewed,{1_700_000_000 + number}"]
    (bucket / "acts.csv").write_text("\n".join(lines) + "\n")
    (bucket / "users.csv").write_text(f"USER_ID\n{list(data.users)[-1]}\n")
    (bucket / "actions.csv").write_text("ACTION_ID,KIND,VALUE\njoin,club,3\nleave,club,\n")
    names = {"ACTIONS": "actions.csv", "ACTION_INTERACTIONS": "acts.csv", "Interactions": files["Interactions"].name}
    return {kind: f"s3://{bucket.name}/{name}" for kind, name in names.items()}


def _campaign_of(recipe: str, walk: Walk, **hyperparameters: object) -> str:
    """Return a campaign of a recipe in a second dataset group."""
    journey, kind = walk.second_group, recipe.removeprefix("aws-")
    version = journey.train(journey.create_solution(kind, recipe, hyperparameters=hyperparameters))
    return journey.create_campaign(kind, version)


def _new_version(walk: Walk) -> str:
    """Return a version whose training has just been asked for, and takes longer than to stop it."""
    solution = walk.second_group.create_solution("stopped", "aws-personalized-ranking-v2")
    return str(walk.call("CreateSolutionVersion", {"solutionArn": solution})["solutionVersionArn"])


def _dataset_of_items(walk: Walk) -> str:
    """Return a new dataset of items in the second dataset group."""
    arguments = {"name": "items", "datasetType": "Items", "datasetGroupArn": walk.second_group.dataset_group_arn}
    return str(
        walk.call("CreateDataset", {**arguments, "schemaArn": _schema_of_items(walk, "items", "GENRES")})["datasetArn"]
    )


def _schema_of_items(walk: Walk, name: str, *columns: str) -> str:
    """Return a new schema of items with some columns."""
    new = [{"name": column, "type": ["null", "string"], "categorical": True} for column in columns]
    schema = json.dumps({**_ITEMS, "fields": [*_ITEMS["fields"], *new]})
    return str(walk.call("CreateSchema", {"name": f"walk-{name}", "schema": schema})["schemaArn"])


def _new_dataset(walk: Walk, dataset_type: str, **required: str) -> str:
    """Return a new dataset in the group of records, with some columns besides those required."""
    name = f"put-{dataset_type.lower().replace('_', '-')}"
    fields = [
        *({"name": column, "type": kind} for column, kind in required.items()),
        {"name": "GENRES", "type": ["null", "string"], "categorical": True},
        {"name": "PRICE", "type": ["null", "float"]},
    ]
    document = {"type": "record", "name": dataset_type.replace("_", ""), "version": "1.0", "fields": fields}
    schema = walk.call("CreateSchema", {"name": name, "schema": json.dumps(document)})["schemaArn"]
    arguments = {"name": name, "datasetType": dataset_type, "schemaArn": schema}
    return str(walk.call("CreateDataset", {**arguments, "datasetGroupArn": walk.group_of_records})["datasetArn"])


def _first_dataset(walk: Walk) -> str:
    """Return a dataset of the second dataset group."""
    group = walk.second_group.dataset_group_arn
    return str(walk.call("ListDatasets", {"datasetGroupArn": group})["datasets"][0]["datasetArn"])


def _batch_job(kind: str, recipe: str, walk: Walk) -> dict[str, Any]:
    """Return the arguments of a batch job of a new version in the second dataset group."""
    journey = walk.second_group
    return {
        "jobName": f"walk-{kind}", "roleArn": ROLE_ARN,
        "solutionVersionArn": journey.train(journey.create_solution(kind, recipe)),
        "jobInput": {"s3DataSource": {"path": "s3://walk/input/users.json"}},
        "jobOutput": {"s3DataDestination": {"path": "s3://walk/output/"}},
    }  # fmt: skip


def _domain_group(walk: Walk) -> str:
    """Return a new dataset group of videos, with interactions."""
    schema = {"name": "walk-domain", "schema": SCHEMAS["Interactions"], "domain": "VIDEO_ON_DEMAND"}
    journey = Journey(walk.clients, suffix="domain", patience_seconds=_PATIENCE_SECONDS)
    group = walk.call("CreateDatasetGroup", {"name": "walk-domain", "domain": "VIDEO_ON_DEMAND"})["datasetGroupArn"]
    arguments = {"name": "walk", "datasetType": "Interactions", "datasetGroupArn": group}
    schema_arn = walk.call("CreateSchema", schema)["schemaArn"]
    journey.datasets["Interactions"] = walk.call("CreateDataset", {**arguments, "schemaArn": schema_arn})["datasetArn"]
    journey.import_csv({"Interactions": walk.files["Interactions"]})
    return str(group)


def _recommender_that_is(state: str, walk: Walk) -> dict[str, Any]:
    """Return the recommender, once it is in a state and its update has ended."""
    arguments = _by("recommenderArn")(walk)

    def ready() -> bool:
        described = walk.call("DescribeRecommender", arguments)["recommender"]
        return described["status"] == state and described["latestRecommenderUpdate"]["status"] == "ACTIVE"

    wait_until(ready, seconds=_PATIENCE_SECONDS, every=0.2)
    return arguments


def _by(*members: str) -> Callable[[Walk], dict[str, Any]]:
    """Return an entry whose arguments all came in responses before."""
    return lambda walk: {member: walk.values[member] for member in members}


def _nothing(_: Walk) -> dict[str, Any]:
    return {}


#: Arguments of each operation's call, by its name, in the order of the calls.
SCENARIO: Final[Mapping[str, Callable[[Walk], dict[str, Any]]]] = {
    "CreateDatasetGroup": lambda _: {"name": "walk", "tags": [{"tagKey": "team", "tagValue": "shop"}]},
    "DescribeDatasetGroup": _by("datasetGroupArn"),
    "ListDatasetGroups": _nothing,
    "CreateSchema": lambda _: {"name": "walk", "schema": SCHEMAS["Interactions"]},
    "DescribeSchema": _by("schemaArn"),
    "ListSchemas": _nothing,
    "CreateDataset": lambda walk: {
        "name": "walk", "datasetType": "Interactions", **_by("schemaArn", "datasetGroupArn")(walk),
    },
    "DescribeDataset": _by("datasetArn"),
    "ListDatasets": _by("datasetGroupArn"),
    "TagResource": lambda walk: {
        "resourceArn": walk.values["datasetArn"], "tags": [{"tagKey": "season", "tagValue": "winter"}],
    },
    "ListTagsForResource": lambda walk: {"resourceArn": walk.values["datasetArn"]},
    "UntagResource": lambda walk: {"resourceArn": walk.values["datasetArn"], "tagKeys": ["season"]},
    "CreateDatasetImportJob": lambda walk: {
        "jobName": "walk", "roleArn": ROLE_ARN, "datasetArn": walk.values["datasetArn"],
        "dataSource": {"dataLocation": walk.files["Interactions"]},
    },
    "DescribeDatasetImportJob": _by("datasetImportJobArn"),
    "ListDatasetImportJobs": _by("datasetArn"),
    "CreateEventTracker": lambda walk: {"name": "walk", **_by("datasetGroupArn")(walk)},
    "DescribeEventTracker": _by("eventTrackerArn"),
    "ListEventTrackers": _by("datasetGroupArn"),
    "PutEvents": lambda walk: {
        "trackingId": walk.values["trackingId"], "userId": _USER, "sessionId": "walk",
        "eventList": [{"eventType": EVENT, "itemId": "film-0001", "sentAt": int(time.time()), "eventValue": 4.0}],
    },
    "PutItems": lambda walk: {
        "datasetArn": _new_dataset(walk, "Items", ITEM_ID="string"),
        "items": [{"itemId": "film-new", "properties": json.dumps({"genres": "War|Drama", "price": "3.5"})}],
    },
    "PutUsers": lambda walk: {
        "datasetArn": _new_dataset(walk, "Users", USER_ID="string"),
        "users": [{"userId": _USER, "properties": json.dumps({"genres": "War", "price": 1})}],
    },
    "PutActions": lambda walk: {
        "datasetArn": _new_dataset(walk, "Actions", ACTION_ID="string"),
        "actions": [{"actionId": "join", "properties": json.dumps({"genres": None})}],
    },
    "PutActionInteractions": lambda walk: {
        "trackingId": walk.call("DescribeDataset", {"datasetArn": _new_dataset(
            walk, "Action_Interactions", USER_ID="string", ACTION_ID="string", EVENT_TYPE="string", TIMESTAMP="long",
        )})["dataset"]["trackingId"],
        "actionInteractions": [
            {"actionId": "join", "userId": _USER, "sessionId": "walk", "timestamp": 1.5e9, "eventType": "Taken"}
        ],
    },
    "ListRecipes": _nothing,
    "DescribeRecipe": lambda _: {"recipeArn": f"{RECIPE_ARN}aws-popularity-count"},
    "CreateSolution": lambda walk: {
        "name": "walk", "recipeArn": f"{RECIPE_ARN}aws-popularity-count", "performAutoTraining": False,
        **_by("datasetGroupArn")(walk),
    },
    "DescribeSolution": _by("solutionArn"),
    "ListSolutions": _by("datasetGroupArn"),
    "UpdateSolution": lambda walk: {
        "performAutoTraining": True,
        "solutionUpdateConfig": {"autoTrainingConfig": {"schedulingExpression": "rate(30 days)"}},
        **_by("solutionArn")(walk),
    },
    "CreateSolutionVersion": lambda walk: {"name": "walk-1", "trainingMode": "FULL", **_by("solutionArn")(walk)},
    "DescribeSolutionVersion": _by("solutionVersionArn"),
    "ListSolutionVersions": _by("solutionArn"),
    "GetSolutionMetrics": _by("solutionVersionArn"),
    "CreateCampaign": lambda walk: {
        "name": "walk", "minProvisionedTPS": 1, "campaignConfig": {"enableMetadataWithRecommendations": False},
        **_by("solutionVersionArn")(walk),
    },
    "DescribeCampaign": _by("campaignArn"),
    "ListCampaigns": _by("solutionArn"),
    "UpdateCampaign": lambda walk: {"minProvisionedTPS": 2, **_by("campaignArn")(walk)},
    "GetRecommendations": lambda walk: {"userId": _USER, "numResults": 10, **_by("campaignArn")(walk)},
    "GetPersonalizedRanking": lambda walk: {
        "userId": _USER, "inputList": ["film-0001", "film-0002", "film-9999"],
        "campaignArn": _campaign_of("aws-personalized-ranking-v2", walk, **QUICK),
    },
    "GetActionRecommendations": lambda walk: {
        "userId": _USER, "campaignArn": _campaign_of("aws-next-best-action", walk),
    },
    "StopSolutionVersionCreation": lambda walk: {"solutionVersionArn": _new_version(walk)},
    "CreateFilter": lambda walk: {
        "name": "walk", "filterExpression": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
        **_by("datasetGroupArn")(walk),
    },
    "DescribeFilter": _by("filterArn"),
    "ListFilters": _by("datasetGroupArn"),
    "CreateMetricAttribution": lambda walk: {
        "name": "walk", "metricsOutputConfig": {"roleArn": ROLE_ARN},
        "metrics": [{"metricName": "views", "eventType": EVENT, "expression": "SAMPLECOUNT()"}],
        **_by("datasetGroupArn")(walk),
    },
    "DescribeMetricAttribution": _by("metricAttributionArn"),
    "ListMetricAttributions": _by("datasetGroupArn"),
    "UpdateMetricAttribution": lambda walk: {
        "addMetrics": [{"metricName": "rows", "eventType": EVENT, "expression": "SAMPLECOUNT()"}],
        "removeMetrics": ["views"], **_by("metricAttributionArn")(walk),
    },
    "ListMetricAttributionMetrics": _by("metricAttributionArn"),
    "DescribeAlgorithm": lambda _: {"algorithmArn": RECIPE_ARN.replace("recipe", "algorithm") + "aws-hrnn"},
    "DescribeFeatureTransformation": lambda _: {
        "featureTransformationArn": RECIPE_ARN.replace("recipe", "feature-transformation") + "sims",
    },
    "UpdateDataset": lambda walk: {
        "datasetArn": _dataset_of_items(walk),
        "schemaArn": _schema_of_items(walk, "more", "GENRES", "COUNTRY"),
    },
    "CreateDatasetExportJob": lambda walk: {
        "jobName": "walk", "roleArn": ROLE_ARN, "ingestionMode": "ALL",
        "datasetArn": _first_dataset(walk),
        "jobOutput": {"s3DataDestination": {"path": "s3://walk/exports/"}},
    },
    "DescribeDatasetExportJob": _by("datasetExportJobArn"),
    "ListDatasetExportJobs": _nothing,
    "CreateBatchInferenceJob": lambda walk: _batch_job("inference", "aws-popularity-count", walk),
    "DescribeBatchInferenceJob": _by("batchInferenceJobArn"),
    "ListBatchInferenceJobs": _nothing,
    "CreateBatchSegmentJob": lambda walk: _batch_job("segment", "aws-item-affinity", walk),
    "DescribeBatchSegmentJob": _by("batchSegmentJobArn"),
    "ListBatchSegmentJobs": _nothing,
    "CreateDataDeletionJob": lambda walk: {
        "jobName": "walk", "roleArn": ROLE_ARN, "datasetGroupArn": walk.second_group.dataset_group_arn,
        "dataSource": {"dataLocation": "s3://walk/users.csv"},
    },
    "DescribeDataDeletionJob": _by("dataDeletionJobArn"),
    "ListDataDeletionJobs": _nothing,
    "CreateRecommender": lambda walk: {
        "name": "walk", "recipeArn": f"{RECIPE_ARN}aws-vod-most-popular", "datasetGroupArn": _domain_group(walk),
        "recommenderConfig": {"minRecommendationRequestsPerSecond": 1},
    },
    "DescribeRecommender": _by("recommenderArn"),
    "ListRecommenders": _nothing,
    "UpdateRecommender": lambda walk: {
        "recommenderConfig": {"minRecommendationRequestsPerSecond": 2}, **_by("recommenderArn")(walk),
    },
    "StopRecommender": lambda walk: _recommender_that_is("ACTIVE", walk),
    "StartRecommender": lambda walk: _recommender_that_is("INACTIVE", walk),
    "DeleteRecommender": lambda walk: _recommender_that_is("ACTIVE", walk),
    "DeleteMetricAttribution": _by("metricAttributionArn"),
    "DeleteFilter": _by("filterArn"),
    "DeleteCampaign": _by("campaignArn"),
    "DeleteSolution": _by("solutionArn"),
    "DeleteEventTracker": _by("eventTrackerArn"),
    "DeleteDataset": _by("datasetArn"),
    "DeleteSchema": _by("schemaArn"),
    "DeleteDatasetGroup": _by("datasetGroupArn"),
}  # fmt: skip
