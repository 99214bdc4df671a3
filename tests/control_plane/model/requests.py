"""Requests for the model and the service: mostly ones that may succeed, on what exists; some that are wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.control_plane.model.outputs import COUNT, EXPRESSIONS, ON_INTERACTIONS
from tests.control_plane.model.rules import KINDS, REGION, Document, Rules
from tests.control_plane.model.training import PERSONALIZATION, POPULARITY, RECIPE, RECIPES, USE_CASES, VIEWS
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
TEAM, OWNER = {"tagKey": "team", "tagValue": "shop"}, {"tagKey": "owner", "tagValue": ""}
TAGS = ([TEAM], [TEAM, OWNER], [OWNER], [{"tagKey": "team", "tagValue": "films"}])
#: Columns on which recommenders are trained: as all of them, or chosen.
COLUMNS = [{"includedDatasetColumns": {"INTERACTIONS": names}} for names in (["EVENT_TYPE"], ["EVENT_TYPE", "ITEM_ID"])]
#: What a step of a beginning does that is no call of an operation.
JOB, SERVED = "do a job", "load everything"
#: How sequences begin: the more there is, the more rules hold of it. Those named twice begin so twice as often.
BEGINNINGS = (
    "nothing",
    *("dataset",) * 3,
    *("training",) * 2,
    *("campaign",) * 2,
    *("served",) * 5,
    *("shop",) * 2,
    *("recommending",) * 4,
    *("everything",) * 2,
)


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
    #: What most rules are about.
    MODELS = (
        *("Solution", "Filter", "EventTracker", "BatchSegmentJob"),
        *("Campaign", "Recommender", "BatchInferenceJob") * 2,
        *("SolutionVersion", "DatasetImportJob") * 3,
    )
    UPDATED = (*("Campaign", "Recommender") * 3, *("Solution",) * 2, "Dataset", "MetricAttribution")
    DELETED = (
        *("DatasetGroup", "Schema", "Dataset", "EventTracker", "MetricAttribution"),
        *("Campaign", "Filter", "Recommender", "Solution") * 2,
    )
    ON_VERSIONS = (*("StopSolutionVersionCreation",) * 2, "GetSolutionMetrics")
    ON_RECOMMENDERS = ("StartRecommender", "StopRecommender")

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
            "Recommender": self._recommender,
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
        same = [resource.arn for resource in existing if resource.account == account]
        # The newest half of the time, with which most is going on.
        same += same[-1:] * len(same)
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

    def tagged(self, account: str) -> st.SearchStrategy[str]:
        return st.sampled_from(sorted(KINDS)).flatmap(lambda word: self.arns(word, account))

    def tagging(self, operation: str, arn: str) -> st.SearchStrategy[Document]:
        members: dict[str, st.SearchStrategy[Any]] = {"resourceArn": st.just(arn)}
        if operation == "TagResource":
            members["tags"] = self.tags()
        if operation == "UntagResource":
            members["tagKeys"] = st.sampled_from((["team"], ["owner", "x-1"], ["missing"]))
        return st.fixed_dictionaries(members)

    def creation(self, word: str, account: str) -> st.SearchStrategy[Document]:
        required, optional = self._members[word](account)
        if KINDS[word].has_tags:
            optional["tags"] = self.tags()
        return st.fixed_dictionaries(required, optional=optional)

    def change(self, word: str, account: str) -> st.SearchStrategy[Document]:
        if word == "Campaign":
            arn = self.arns("Campaign", account)
            everything = st.fixed_dictionaries(
                {"campaignArn": arn},
                optional={
                    "solutionVersionArn": self._served(account),
                    "minProvisionedTPS": seldom(st.integers(1, 3), st.just(0)),
                    "campaignConfig": self._campaign_configs(),
                },
            )
            # Half of the time one that is refused only for the campaign's state.
            return st.one_of(st.fixed_dictionaries({"campaignArn": arn, "minProvisionedTPS": st.just(2)}), everything)
        if word == "Dataset":
            return st.fixed_dictionaries(
                {"datasetArn": self.arns("Dataset", account), "schemaArn": self.arns("Schema", account)}
            )
        if word == "Recommender":
            return st.fixed_dictionaries(
                {
                    "recommenderArn": self.arns("Recommender", account),
                    "recommenderConfig": self._recommender_configs(),
                }
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
        }, {"domain": seldom(st.just("ECOMMERCE"), st.just("VIDEO_ON_DEMAND"))}

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
            # Without it, too: so do the imports of the beginnings.
            "importMode": st.sampled_from(("FULL", "INCREMENTAL")),
        }, {"roleArn": st.just(ROLE)}

    def _event_tracker(self, account: str):
        return {"name": self.names(), "datasetGroupArn": self.arns("DatasetGroup", account)}, {}

    def _solution(self, account: str):
        return {
            "name": self.names(),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "recipeArn": seldom(st.sampled_from(RECIPES), st.sampled_from((f"{RECIPE}missing", "nonsense"))),
        }, {
            "performAutoTraining": st.booleans(),
            "solutionConfig": st.just({"autoTrainingConfig": {"schedulingExpression": "rate(2 days)"}}),
        }

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

    def _recommender(self, account: str):
        return {
            "name": self.names(),
            "datasetGroupArn": self.arns("DatasetGroup", account),
            "recipeArn": seldom(
                st.sampled_from(sorted(USE_CASES)), st.sampled_from((POPULARITY, f"{RECIPE}missing", "nonsense"))
            ),
        }, {"recommenderConfig": self._recommender_configs()}

    @staticmethod
    def _recommender_configs() -> st.SearchStrategy[Document]:
        return sometimes(
            minRecommendationRequestsPerSecond=seldom(st.integers(1, 3), st.just(0)),
            itemExplorationConfig=st.just(EXPLORING["itemExplorationConfig"]),
            trainingDataConfig=st.sampled_from(COLUMNS),
        )

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

    # How sequences begin

    def beginning(self, name: str) -> list[str | tuple[str, Document]]:
        """Return the creations that lead to a state; what a function gives is looked up when it is its turn."""
        steps = {
            "nothing": [],
            "dataset": self._data("a")[:3],
            "training": [*self._data("a"), JOB, *self._models()[:2]],
            "campaign": [*self._data("a"), JOB, *self._models()[:2], JOB, *self._models()[2:4]],
            "shop": [*self._data("b", "ECOMMERCE"), JOB, self._recommended()],
        }
        steps["served"] = [*steps["campaign"], SERVED, *self._models()[4:]]
        steps["recommending"] = [*steps["shop"], JOB, SERVED]
        steps["everything"] = [*steps["served"], JOB, *steps["recommending"]]
        return steps[name]

    def _newest(self, word: str):
        resources = self._model.resources
        return lambda: [one.arn for one in resources.values() if one.kind.word == word][-1]

    def _data(self, name: str, domain: str | None = None) -> list[tuple[str, Document]]:
        """Return what is created for data in a group."""
        dataset = {
            "name": name,
            "datasetType": "Interactions",
            "datasetGroupArn": self._newest("DatasetGroup"),
            "schemaArn": self._newest("Schema"),
        }
        location = {"dataLocation": "s3://bucket/films.csv"}
        import_job = {"jobName": name, "datasetArn": self._newest("Dataset"), "dataSource": location}
        of_domain = {} if domain is None else {"domain": domain}
        return [
            ("CreateDatasetGroup", {"name": name, **of_domain}),
            ("CreateSchema", {"name": name, "schema": INTERACTIONS, **of_domain}),
            ("CreateDataset", dataset),
            ("CreateDatasetImportJob", import_job),
        ]

    def _models(self) -> list[tuple[str, Document]]:
        """Return what is created for a campaign, and beside it."""
        group, version = self._newest("DatasetGroup"), self._newest("SolutionVersion")
        solution = {"datasetGroupArn": group, "performAutoTraining": False}
        batch_job = {
            "jobName": "a",
            "solutionVersionArn": version,
            "filterArn": self._newest("Filter"),
            "roleArn": ROLE,
            "jobInput": {"s3DataSource": {"path": "s3://bucket/in.jsonl"}},
            "jobOutput": {"s3DataDestination": {"path": "s3://bucket/out/"}},
        }
        return [
            ("CreateSolution", {"name": "a", "recipeArn": PERSONALIZATION, **solution}),
            ("CreateSolutionVersion", {"solutionArn": self._newest("Solution")}),
            ("CreateCampaign", {"name": "a", "solutionVersionArn": version}),
            ("CreateSolution", {"name": "b", "recipeArn": POPULARITY, **solution}),
            ("CreateFilter", {"name": "a", "datasetGroupArn": group, "filterExpression": ON_INTERACTIONS}),
            ("CreateBatchInferenceJob", batch_job),
        ]

    def _recommended(self) -> tuple[str, Document]:
        return (
            "CreateRecommender",
            {"name": "a", "datasetGroupArn": self._newest("DatasetGroup"), "recipeArn": VIEWS},
        )

    @staticmethod
    def completed(request: Document) -> Document:
        """Return a request with the values that are known only now."""
        return {member: value() if callable(value) else value for member, value in request.items()}
