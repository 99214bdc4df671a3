"""Requests for the model and the service: mostly ones that may succeed, on what exists; some that are wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.control_plane.model.outputs import COUNT, EXPRESSIONS
from tests.control_plane.model.rules import KINDS, REGION, Document, Rules
from tests.control_plane.model.training import PERSONALIZATION, POPULARITY, RECIPE, RECIPES
from tests.control_plane.world import INTERACTIONS, ITEMS, avro, column

ACCOUNTS = ("111111111111", "222222222222")
NAMES = ("a", "b", "c")
WRONG_NAMES = ("no blanks", "-a", "x" * 64)
ROLE = "arn:aws:iam::111111111111:role/Personalize"
KEY = "arn:aws:kms:eu-west-1:111111111111:key/1"
MORE_ITEMS = avro(
    "Items",
    column("ITEM_ID"),
    column("GENRES", ["null", "string"], categorical=True),
    column("PRICE", ["null", "float"]),
)
FOLLOWING = {"syncWithLatestSolutionVersion": True}
EXPLORING = {"itemExplorationConfig": {"explorationWeight": "0.5"}}
MANY_TAGS = [[{"tagKey": f"{word}-{number}", "tagValue": word} for number in range(26)] for word in ("x", "y")]
TAGS = [[{"tagKey": "team", "tagValue": value}] for value in ("shop", "films", "")]


def seldom(usual: st.SearchStrategy[Any], unusual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return values of which about one in eight is of the second kind."""
    return st.integers(0, 7).flatmap(lambda number: unusual if number == 7 else usual)


def sometimes(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """Return documents that have some of the members."""
    return st.fixed_dictionaries({}, optional=members)


class Requests:
    """Draws requests that fit what exists in the model.

    Args:
        model: The model.
    """

    CREATED = tuple(sorted(KINDS))
    UPDATED = ("Campaign", "Campaign", "Dataset", "MetricAttribution", "Solution")
    DELETED = (
        "DatasetGroup",
        "Schema",
        "Dataset",
        "EventTracker",
        "Solution",
        "Solution",
        "Campaign",
        "Campaign",
        "Filter",
        "MetricAttribution",
    )
    ON_VERSIONS = ("StopSolutionVersionCreation", "GetSolutionMetrics", "DescribeSolutionVersion")

    def __init__(self, model: Rules) -> None:
        self._model = model
        #: By kind: the members that a creation has, and those that it may have.
        self._members = {
            "Campaign": self._campaign,
            "Dataset": self._dataset,
            "DatasetGroup": self._dataset_group,
            "DatasetImportJob": self._dataset_import_job,
            "EventTracker": self._event_tracker,
            "Filter": self._filter,
            "MetricAttribution": self._metric_attribution,
            "DatasetExportJob": self._export_job,
            "DataDeletionJob": self._deletion_job,
            "BatchInferenceJob": self._batch_job,
            "BatchSegmentJob": self._batch_job,
            "Schema": self._schema,
            "Solution": self._solution,
            "SolutionVersion": self._solution_version,
        }

    def accounts(self) -> st.SearchStrategy[str]:
        return seldom(st.just(ACCOUNTS[0]), st.just(ACCOUNTS[1]))

    def names(self) -> st.SearchStrategy[str]:
        return seldom(st.sampled_from(NAMES), st.sampled_from((*NAMES, *WRONG_NAMES)))

    def tags(self) -> st.SearchStrategy[list[Document]]:
        wrong = [[{"tagKey": "aws:team", "tagValue": "shop"}], [*MANY_TAGS[0], *MANY_TAGS[1]]]
        return seldom(st.sampled_from(TAGS), st.sampled_from((*MANY_TAGS, *wrong)))

    def arns(self, word: str, account: str) -> st.SearchStrategy[str]:
        """Return ARNs of a kind: of the account's resources, seldom of another's, of none, of another kind."""
        existing = [resource for resource in self._model.resources.values() if resource.kind.word == word]
        same = sorted(resource.arn for resource in existing if resource.account == account)
        missing = f"arn:aws:personalize:{REGION}:{account}:{KINDS[word].name}/missing"
        others = [*(resource.arn for resource in existing), missing, "nonsense", f"arn:aws:iam::{account}:role/a"]
        return seldom(st.sampled_from(same or [missing]), st.sampled_from(sorted(others)))

    def of(self, word: str, account: str) -> st.SearchStrategy[Document]:
        """Return requests that name one resource."""
        return st.fixed_dictionaries({KINDS[word].arn_member: self.arns(word, account)})

    def page(self, word: str, account: str) -> st.SearchStrategy[Document]:
        tokens = [token for token, (scope, _) in self._model.tokens.items() if scope[:2] == (word, account)]
        wrong = [*sorted(self._model.tokens), *(token[:-5] for token in tokens), "nonsense"]
        parents = {
            member: self.arns(next(kind.word for kind in KINDS.values() if kind.arn_member == member), account)
            for member in KINDS[word].parents
        }
        return sometimes(
            maxResults=seldom(st.integers(1, 2), st.sampled_from((-1, 0, 100, 101))),
            nextToken=seldom(st.sampled_from(tokens or ["nonsense"]), st.sampled_from(wrong)),
            **parents,
        )

    def tagging(self, operation: str, account: str) -> st.SearchStrategy[Document]:
        members = {"resourceArn": st.sampled_from(sorted(KINDS)).flatmap(lambda word: self.arns(word, account))}
        if operation == "TagResource":
            members["tags"] = self.tags()
        if operation == "UntagResource":
            members["tagKeys"] = st.sampled_from((["team"], ["x-1", "x-2"], ["missing"]))
        return st.fixed_dictionaries(members)

    def creation(self, word: str, account: str) -> st.SearchStrategy[Document]:
        required, optional = self._members[word](account)
        if KINDS[word].has_tags:
            optional["tags"] = self.tags()
        return st.fixed_dictionaries(required, optional=optional)

    def change(self, word: str, account: str) -> st.SearchStrategy[Document]:
        if word == "Campaign":
            return st.fixed_dictionaries(
                {"campaignArn": self.arns("Campaign", account)},
                optional={
                    "solutionVersionArn": self._served(account),
                    "minProvisionedTPS": seldom(st.integers(1, 3), st.just(0)),
                    "campaignConfig": self._campaign_configs(),
                },
            )
        if word == "Dataset":
            return st.fixed_dictionaries(
                {"datasetArn": self.arns("Dataset", account), "schemaArn": self.arns("Schema", account)}
            )
        if word == "MetricAttribution":
            return st.fixed_dictionaries(
                {"metricAttributionArn": self.arns("MetricAttribution", account)},
                optional={
                    "addMetrics": self._metrics(),
                    "removeMetrics": st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True),
                },
            )
        return st.fixed_dictionaries(
            {"solutionArn": self.arns("Solution", account)},
            optional={
                "performAutoTraining": st.booleans(),
                "solutionUpdateConfig": st.sampled_from(
                    [{"autoTrainingConfig": {"schedulingExpression": f"rate({days} days)"}} for days in (1, 30)]
                ),
            },
        )

    def _dataset_group(self, _: str):
        return {"name": self.names()}, {
            "domain": seldom(st.just("ECOMMERCE"), st.just("VIDEO_ON_DEMAND")),
            "roleArn": st.just(ROLE),
            "kmsKeyArn": st.just(KEY),
        }

    def _schema(self, _: str):
        return {
            "name": self.names(),
            "schema": st.sampled_from((INTERACTIONS, ITEMS, MORE_ITEMS)),
        }, {}

    def _dataset(self, account: str):
        return {
            "name": self.names(),
            "datasetType": seldom(st.sampled_from(("Interactions", "INTERACTIONS", "Items")), st.just("Films")),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "schemaArn": self.arns("Schema", account),
        }, {}

    def _dataset_import_job(self, account: str):
        locations = seldom(st.just("s3://bucket/films.csv"), st.just("ftp://bucket/films.csv"))
        return {
            "jobName": self.names(),
            "datasetArn": self.arns("Dataset", account),
            "dataSource": st.fixed_dictionaries({"dataLocation": locations}),
        }, {"roleArn": st.just(ROLE), "importMode": st.sampled_from(("FULL", "INCREMENTAL"))}

    def _event_tracker(self, account: str):
        return {"name": self.names(), "datasetGroupArn": self.arns("DatasetGroup", account)}, {}

    def _solution(self, account: str):
        return {
            "name": self.names(),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "recipeArn": seldom(st.sampled_from(RECIPES), st.sampled_from((f"{RECIPE}missing", "nonsense"))),
            "performAutoTraining": st.just(False),
        }, {"solutionConfig": st.just({"autoTrainingConfig": {"schedulingExpression": "rate(2 days)"}})}

    def _solution_version(self, account: str):
        return {"solutionArn": self.arns("Solution", account)}, {
            "name": self.names(),
            "trainingMode": st.sampled_from(("FULL", "UPDATE")),
        }

    def _campaign(self, account: str):
        return {"name": self.names(), "solutionVersionArn": self._served(account)}, {
            "minProvisionedTPS": seldom(st.integers(1, 3), st.just(0)),
            "campaignConfig": self._campaign_configs(),
        }

    def _filter(self, account: str):
        return {
            "name": self.names(),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "filterExpression": seldom(st.sampled_from(sorted(EXPRESSIONS)), st.just("INCLUDE everything")),
        }, {}

    def _metric_attribution(self, account: str):
        return {
            "name": self.names(),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "metrics": self._metrics(),
            "metricsOutputConfig": st.just({"roleArn": ROLE}),
        }, {}

    @staticmethod
    def _metrics() -> st.SearchStrategy[list[Document]]:
        metric = st.fixed_dictionaries(
            {
                "metricName": st.sampled_from(NAMES),
                "eventType": st.just("watch"),
                "expression": seldom(st.just(COUNT), st.just("SUM(Items.GENRES)")),
            }
        )
        return st.lists(metric, min_size=1, max_size=2)

    def _export_job(self, account: str):
        return {
            "jobName": self.names(),
            "datasetArn": self.arns("Dataset", account),
            "roleArn": st.just(ROLE),
            "jobOutput": self._places("s3DataDestination"),
        }, {"ingestionMode": st.sampled_from(("BULK", "PUT", "ALL"))}

    def _deletion_job(self, account: str):
        return {
            "jobName": self.names(),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "roleArn": st.just(ROLE),
            "dataSource": st.just({"dataLocation": "s3://bucket/users.csv"}),
        }, {}

    def _batch_job(self, account: str):
        return {
            "jobName": self.names(),
            "solutionVersionArn": self.arns("SolutionVersion", account),
            "roleArn": st.just(ROLE),
            "jobInput": st.just({"s3DataSource": {"path": "s3://bucket/in.jsonl"}}),
            "jobOutput": self._places("s3DataDestination"),
        }, {"filterArn": self.arns("Filter", account), "numResults": seldom(st.integers(1, 500), st.just(0))}

    @staticmethod
    def _places(member: str) -> st.SearchStrategy[Document]:
        return seldom(st.just("s3://bucket/out/"), st.just("bucket/out/")).map(lambda path: {member: {"path": path}})

    def metrics_page(self, account: str) -> st.SearchStrategy[Document]:
        tokens = [token for token, (scope, _) in self._model.tokens.items() if scope[:2] == ("metrics", account)]
        return st.fixed_dictionaries(
            {"metricAttributionArn": self.arns("MetricAttribution", account), "maxResults": st.integers(1, 2)},
            optional={"nextToken": seldom(st.sampled_from(tokens or ["nonsense"]), st.just("nonsense"))},
        )

    def _served(self, account: str) -> st.SearchStrategy[str]:
        latest = self.arns("Solution", account).map(lambda arn: f"{arn}/$LATEST")
        return st.one_of(self.arns("SolutionVersion", account), seldom(latest, self.arns("Solution", account)))

    @staticmethod
    def _campaign_configs() -> st.SearchStrategy[Document]:
        return st.sampled_from(({}, FOLLOWING, EXPLORING, {**FOLLOWING, **EXPLORING}))

    # The usual way

    def path(self, account: str) -> tuple[tuple[str, Document], ...]:
        """Return the creations that lead to a campaign; what a function gives is looked up when it is its turn."""

        def newest(word: str):
            return lambda: (
                max(
                    (one for one in self._model.resources.values() if one.kind.word == word),
                    key=lambda one: one.position,
                ).arn
            )

        return (
            ("CreateDatasetGroup", {"name": "a"}),
            ("CreateSchema", {"name": "a", "schema": INTERACTIONS}),
            (
                "CreateDataset",
                {
                    "name": "a",
                    "datasetType": "Interactions",
                    "datasetGroupArn": newest("DatasetGroup"),
                    "schemaArn": newest("Schema"),
                },
            ),
            (
                "CreateDatasetImportJob",
                {
                    "jobName": "a",
                    "datasetArn": newest("Dataset"),
                    "dataSource": {"dataLocation": "s3://bucket/films.csv"},
                },
            ),
            (
                "CreateSolution",
                {
                    "name": "a",
                    "datasetGroupArn": newest("DatasetGroup"),
                    "recipeArn": PERSONALIZATION,
                    "performAutoTraining": False,
                },
            ),
            ("CreateSolutionVersion", {"solutionArn": newest("Solution")}),
            ("CreateCampaign", {"name": "a", "solutionVersionArn": newest("SolutionVersion")}),
            (
                "CreateSolution",
                {
                    "name": "b",
                    "datasetGroupArn": newest("DatasetGroup"),
                    "recipeArn": POPULARITY,
                    "performAutoTraining": False,
                },
            ),
        )

    @staticmethod
    def completed(request: Document) -> Document:
        """Return a request with the values that are known only now."""
        return {member: value() if callable(value) else value for member, value in request.items()}
