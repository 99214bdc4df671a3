"""The rules of what is made of data and models: filters, metric attributions, export, deletion and batch jobs."""

from __future__ import annotations

import re

from tests.control_plane.model.jobs import BATCH_INFERENCE, BATCH_SEGMENT, DELETION, EXPORT
from tests.control_plane.model.rules import (
    ACTIVE,
    IN_PROGRESS,
    IN_USE,
    INVALID,
    INVALID_TOKEN,
    KINDS,
    PENDING,
    Document,
    Refused,
    Resource,
    check_name,
    check_tags,
    require_active,
    without_none,
)
from tests.control_plane.model.training import WITH_CAMPAIGNS, TrainingRules

#: The expressions that the model knows, with the type of the dataset whose columns they read.
ON_ITEMS = 'INCLUDE ItemID WHERE Items.GENRES IN ("drama")'
ON_INTERACTIONS = 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("watch")'
EXPRESSIONS = {ON_ITEMS: "ITEMS", ON_INTERACTIONS: "INTERACTIONS"}
COUNT = "SAMPLECOUNT()"


class OutputRules(TrainingRules):
    """What is made of data and models."""

    def active_types(self, group: Resource) -> set[str]:
        """Return the types of a group's datasets that are ACTIVE."""
        datasets = self.all("Dataset", datasetGroupArn=group.arn)
        return {dataset.described["datasetType"] for dataset in datasets if dataset.status == ACTIVE}

    # Filters: ACTIVE when CreateFilter returns

    def create_filter(self, request: Document) -> Document:
        """Create a filter, whose expression fits the datasets that the group has now."""
        name, tags = check_name(request["name"]), check_tags(request.get("tags", []))
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        expression = request["filterExpression"]
        if expression not in EXPRESSIONS or EXPRESSIONS[expression] not in self.active_types(group):
            raise Refused(INVALID)
        row = self.add(
            "Filter",
            {
                "name": name,
                "filterArn": self.arn("filter", name),
                "datasetGroupArn": group.arn,
                "filterExpression": expression,
                "status": ACTIVE,
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        self.check_new("filters_per_group", row, len(self.all("Filter", datasetGroupArn=group.arn)) - 1)
        return {"filterArn": row.arn}

    def delete_filter(self, request: Document) -> None:
        """Delete a filter that no batch job which waits or runs has."""
        row = self.find(KINDS["Filter"], request["filterArn"])
        if any(job.described.get("filterArn") == row.arn for job in self.batch_jobs_under_way()):
            raise Refused(IN_USE)
        self.remove(row)

    def batch_jobs_under_way(self) -> list[Resource]:
        jobs = [*self.all("BatchInferenceJob"), *self.all("BatchSegmentJob")]
        return [job for job in jobs if job.status in (PENDING, IN_PROGRESS)]

    # Metric attributions: one in a group, ACTIVE when CreateMetricAttribution returns

    def create_metric_attribution(self, request: Document) -> Document:
        """Begin to count events by their types, which the group's interactions therefore have."""
        name = check_name(request["name"])
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        if "INTERACTIONS" not in self.active_types(group):
            raise Refused(INVALID)
        metrics = check_metrics(request["metrics"])
        if not metrics:
            raise Refused(INVALID)
        row = self.add(
            "MetricAttribution",
            {
                "name": name,
                "metricAttributionArn": self.arn("metric-attribution", name),
                "datasetGroupArn": group.arn,
                "metricsOutputConfig": request["metricsOutputConfig"],
                "status": ACTIVE,
            },
            tags=[],
            datasetGroupArn=group.arn,
        )
        used = len(self.all("MetricAttribution", datasetGroupArn=group.arn)) - 1
        self.check_new("metric_attributions_per_group", row, used)
        self.counted[row] = metrics
        return {"metricAttributionArn": row.arn}

    def update_metric_attribution(self, request: Document) -> Document:
        """Remove metrics, which have to exist, and add others, whose names have to be free then."""
        row = require_active(self.find(KINDS["MetricAttribution"], request["metricAttributionArn"]))
        metrics = dict(self.counted[row])
        for name in request.get("removeMetrics", []):
            if metrics.pop(name, None) is None:
                raise Refused(INVALID)
        added = check_metrics(request.get("addMetrics", []))
        if metrics.keys() & added.keys():
            raise Refused(INVALID)
        self.counted[row] = metrics | added
        row.described["lastUpdatedDateTime"] = self.now()
        return {"metricAttributionArn": row.arn}

    def list_metric_attribution_metrics(self, request: Document) -> Document:
        """Return a page of the metrics, by name."""
        row = self.find(KINDS["MetricAttribution"], request["metricAttributionArn"])
        scope, names = ("metrics", self.account, row.arn), sorted(self.counted[row])
        if token := request.get("nextToken"):
            if token not in self.tokens or self.tokens[token][0] != scope:
                raise Refused(INVALID_TOKEN)
            names = [name for name in names if name > self.tokens[token][1][1]]
        page, rest = names[: request["maxResults"]], names[request["maxResults"] :]
        response: Document = {"metrics": [self.counted[row][name] for name in page]}
        if rest:
            response["nextToken"] = self.response.get("nextToken", "a token")
            self.tokens[response["nextToken"]] = (scope, (self.started, page[-1]))
        return response

    def delete_metric_attribution(self, request: Document) -> None:
        row = self.find(KINDS["MetricAttribution"], request["metricAttributionArn"])
        self.remove(row)
        del self.counted[row]

    # Export jobs: of what was sent record by record, unless the request says otherwise

    def create_dataset_export_job(self, request: Document) -> Document:
        name = check_name(request["jobName"])
        check_place(request["jobOutput"]["s3DataDestination"]["path"])
        tags = check_tags(request.get("tags", []))
        dataset = require_active(self.find(KINDS["Dataset"], request["datasetArn"]))
        job = self.add(
            "DatasetExportJob",
            {
                "jobName": name,
                "datasetExportJobArn": self.arn("dataset-export-job", name),
                "datasetArn": dataset.arn,
                "ingestionMode": request.get("ingestionMode", "PUT"),
                "roleArn": request["roleArn"],
                "jobOutput": request["jobOutput"],
                "status": PENDING,
            },
            tags=tags,
            datasetArn=dataset.arn,
        )
        pending = [item for item in self.all("DatasetExportJob") if item.status in (PENDING, IN_PROGRESS)]
        self.check_new("pending_exports", job, len(pending) - 1)
        self.enqueue(EXPORT, job, dataset.parents["datasetGroupArn"])
        return {"datasetExportJobArn": job.arn}

    # Data deletion jobs: of all datasets of a group; their states have other names, and lists show the newest first

    def create_data_deletion_job(self, request: Document) -> Document:
        name = check_name(request["jobName"])
        check_place(request["dataSource"]["dataLocation"])
        tags = check_tags(request.get("tags", []))
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        if not self.active_types(group):
            raise Refused(INVALID)
        job = self.add(
            "DataDeletionJob",
            {
                "jobName": name,
                "dataDeletionJobArn": self.arn("data-deletion-job", name),
                "datasetGroupArn": group.arn,
                "dataSource": request["dataSource"],
                "roleArn": request["roleArn"],
                "status": "PENDING",
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        jobs = self.all("DataDeletionJob", datasetGroupArn=group.arn)
        used = sum(item.status == "PENDING" for item in jobs) - 1
        self.check_new("pending_deletions_per_group", job, used)
        self.enqueue(DELETION, job, group.arn)
        return {"dataDeletionJobArn": job.arn}

    # Batch jobs: with a version that is ACTIVE, whose recipe decides which of the two

    def create_batch_inference_job(self, request: Document) -> Document:
        members = {"batchInferenceJobMode": "BATCH_INFERENCE"}
        return self.create_batch_job("BatchInferenceJob", BATCH_INFERENCE, request, members, most=500)

    def create_batch_segment_job(self, request: Document) -> Document:
        return self.create_batch_job("BatchSegmentJob", BATCH_SEGMENT, request, {}, most=5_000_000)

    def create_batch_job(self, word: str, kind: str, request: Document, members: Document, *, most: int) -> Document:
        """Ask for results for the lines of a file: 25 for each where the request does not say, `most` at most."""
        name = check_name(request["jobName"])
        check_place(request["jobInput"]["s3DataSource"]["path"])
        check_place(request["jobOutput"]["s3DataDestination"]["path"])
        tags = check_tags(request.get("tags", []))
        version = require_active(self.find(KINDS["SolutionVersion"], request["solutionVersionArn"]))
        require_active(self.find(KINDS["Solution"], version.parents["solutionArn"]))
        if (version.described["recipeArn"] in WITH_CAMPAIGNS) != (word == "BatchInferenceJob"):
            raise Refused(INVALID)
        group = version.described["datasetGroupArn"]
        if "filterArn" in request:
            row = require_active(self.find(KINDS["Filter"], request["filterArn"]))
            # The model's filters choose items, and segments are of users.
            if row.parents["datasetGroupArn"] != group or word == "BatchSegmentJob":
                raise Refused(INVALID)
        if not 1 <= request.get("numResults", 25) <= most:
            raise Refused(INVALID)
        arn_member = KINDS[word].arn_member
        job = self.add(
            word,
            {
                "jobName": name,
                arn_member: self.arn(KINDS[word].name, name),
                "solutionVersionArn": version.arn,
                "filterArn": request.get("filterArn"),
                "numResults": request.get("numResults", 25),
                "jobInput": request["jobInput"],
                "jobOutput": request["jobOutput"],
                "roleArn": request["roleArn"],
                "status": PENDING,
                **members,
            },
            tags=tags,
            solutionVersionArn=version.arn,
        )
        pending = [item for item in self.all(word) if item.status in (PENDING, IN_PROGRESS)]
        self.check_new(f"pending_{kind}_jobs", job, len(pending) - 1)
        self.enqueue(kind, job, group)
        return {arn_member: job.arn}


def check_place(place: str) -> None:
    """Check the place of files: a bucket and a path within it."""
    if not re.fullmatch(r"s3://[a-z0-9.-]{3,63}/.*", place):
        raise Refused(INVALID)


def check_metrics(metrics: list[Document]) -> dict[str, Document]:
    """Return metrics by their names, which differ; of the expressions the model knows that one which counts events."""
    by_name = {metric["metricName"]: without_none(metric) for metric in metrics}
    if len(by_name) < len(metrics) or any(metric["expression"] != COUNT for metric in metrics):
        raise Refused(INVALID)
    return by_name
