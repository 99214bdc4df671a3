"""The rules of dataset groups, schemas, datasets, import jobs and event trackers."""

from __future__ import annotations

import json
import re

from tests.control_plane.model.jobs import IMPORT, REMOVAL, JobRules
from tests.control_plane.model.rules import (
    ACTIVE,
    DELETE_PENDING,
    EXISTS,
    IN_PROGRESS,
    IN_USE,
    INVALID,
    KINDS,
    PENDING,
    UNDER_WAY,
    Document,
    Refused,
    Resource,
    check_name,
    check_tags,
    require_active,
)

TYPES = ("INTERACTIONS", "ITEMS")


class DataRules(JobRules):
    """What the data of an account are kept in."""

    # Dataset groups: ACTIVE when CreateDatasetGroup returns

    def create_dataset_group(self, request: Document) -> Document:
        name, tags = check_name(request["name"]), check_tags(request.get("tags", []))
        if "roleArn" in request and "kmsKeyArn" not in request:
            raise Refused(INVALID)
        members = {member: request.get(member) for member in ("domain", "roleArn", "kmsKeyArn")}
        group = self.add(
            "DatasetGroup",
            {"name": name, "datasetGroupArn": self.arn("dataset-group", name), "status": ACTIVE, **members},
            tags=tags,
        )
        self.check_new("dataset_groups", group, len(self.all("DatasetGroup")) - 1)
        return {"datasetGroupArn": group.arn, **({"domain": request["domain"]} if "domain" in request else {})}

    def delete_dataset_group(self, request: Document) -> None:
        """Delete a group, which has to be empty."""
        group = self.find(KINDS["DatasetGroup"], request["datasetGroupArn"])
        for word in ("EventTracker", "Solution", "Recommender", "Filter", "MetricAttribution", "Dataset"):
            if self.all(word, datasetGroupArn=group.arn):
                raise Refused(IN_USE)
        # Its data deletion jobs are over, and go with it.
        self.remove_with_contents(group)

    # Schemas: never changed, without a status

    def create_schema(self, request: Document) -> Document:
        name = check_name(request["name"])
        if request.get("domain") and json.loads(request["schema"])["name"] == "Items":
            # A shop's items have more columns than the model's.
            raise Refused(INVALID)
        schema = self.add(
            "Schema",
            {
                "name": name,
                "schemaArn": self.arn("schema", name),
                "schema": request["schema"],
                "domain": request.get("domain"),
            },
            tags=[],
        )
        self.check_new("schemas", schema, len(self.all("Schema")) - 1)
        return {"schemaArn": schema.arn}

    def delete_schema(self, request: Document) -> None:
        """Delete a schema that no dataset has; one that is being deleted still has it."""
        schema = self.find(KINDS["Schema"], request["schemaArn"])
        if any(dataset.described["schemaArn"] == schema.arn for dataset in self.all("Dataset")):
            raise Refused(IN_USE)
        self.remove(schema)

    # Datasets: one of each type in a group, ACTIVE when CreateDataset returns

    def create_dataset(self, request: Document) -> Document:
        name, tags = check_name(request["name"]), check_tags(request.get("tags", []))
        kind = request["datasetType"].upper()
        if kind not in TYPES:
            raise Refused(INVALID)
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        schema = self.find(KINDS["Schema"], request["schemaArn"])
        check_fits(schema, kind, group)
        dataset = self.add(
            "Dataset",
            {
                "name": name,
                "datasetArn": self.arn("dataset", f"{group.described['name']}/{kind}"),
                "datasetGroupArn": group.arn,
                "datasetType": kind,
                "schemaArn": schema.arn,
                "status": ACTIVE,
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        return {"datasetArn": dataset.arn}

    def delete_dataset(self, request: Document) -> None:
        """Begin to delete a dataset that nothing reads or writes."""
        dataset = require_active(self.find(KINDS["Dataset"], request["datasetArn"]))
        self.require_unused(dataset)
        self.set_status(dataset, DELETE_PENDING)
        self.enqueue(REMOVAL, dataset, dataset.parents["datasetGroupArn"])

    def update_dataset(self, request: Document) -> Document:
        """Give a dataset of items a schema with more fields, which may be null; it holds at once."""
        dataset = require_active(self.find(KINDS["Dataset"], request["datasetArn"]))
        schema = self.find(KINDS["Schema"], request["schemaArn"])
        # A training goes on with the schema that it began with.
        self.require_unused(dataset, by_models=False)
        group = self.find(KINDS["DatasetGroup"], dataset.parents["datasetGroupArn"])
        check_fits(schema, dataset.described["datasetType"], group)
        fields = fields_of(schema)
        # The schema that it has is kept from deletion.
        before = fields_of(self.find(KINDS["Schema"], dataset.described["schemaArn"]))
        if dataset.described["datasetType"] != "ITEMS" or any(
            fields.pop(name, None) != before[name] for name in before
        ):
            raise Refused(INVALID)
        if any("null" not in types for types in fields.values()):
            raise Refused(INVALID)
        now = self.now()
        times = {"creationDateTime": now, "lastUpdatedDateTime": now}
        update = {"schemaArn": schema.arn, "status": ACTIVE, **times}
        dataset.described |= {"schemaArn": schema.arn, "latestDatasetUpdate": update, "lastUpdatedDateTime": now}
        return {"datasetArn": dataset.arn}

    def require_unused(self, dataset: Resource, *, by_models: bool = True) -> None:
        """Check that no import or export, no training, batch job or deletion of data has a dataset in work."""
        group = dataset.parents["datasetGroupArn"]
        jobs = (*self.all("DatasetImportJob"), *self.all("DatasetExportJob"))
        of_group = (*self.all("DataDeletionJob"), *(self.all("SolutionVersion") if by_models else ()))
        users = [job for job in jobs if job.parents["datasetArn"] == dataset.arn]
        users += [user for user in of_group if user.described["datasetGroupArn"] == group]
        if by_models:
            users += [one for one in self.trainings.values() if one.described["datasetGroupArn"] == group]
        if by_models:
            of_version = {item.arn: item.described["datasetGroupArn"] for item in self.all("SolutionVersion")}
            batch_jobs = (*self.all("BatchInferenceJob"), *self.all("BatchSegmentJob"))
            users += [job for job in batch_jobs if of_version[job.parents["solutionVersionArn"]] == group]
        if any(user.status in UNDER_WAY for user in users):
            raise Refused(IN_USE)

    # Import jobs: never deleted, except with their dataset

    def create_dataset_import_job(self, request: Document) -> Document:
        """Ask for an import. The first has to be FULL, which is the default."""
        name = check_name(request["jobName"])
        if not request["dataSource"]["dataLocation"].startswith("s3://"):
            raise Refused(INVALID)
        tags = check_tags(request.get("tags", []))
        dataset = require_active(self.find(KINDS["Dataset"], request["datasetArn"]))
        mode = request.get("importMode", "FULL")
        if mode == "INCREMENTAL" and not self.has_imported(dataset):
            raise Refused(INVALID)
        job = self.add(
            "DatasetImportJob",
            {
                "jobName": name,
                "datasetImportJobArn": self.arn("dataset-import-job", name),
                "datasetArn": dataset.arn,
                "dataSource": request["dataSource"],
                "roleArn": request.get("roleArn"),
                "status": PENDING,
                "importMode": mode,
                "publishAttributionMetricsToS3": False,
            },
            tags=tags,
            datasetArn=dataset.arn,
        )
        pending = [item for item in self.all("DatasetImportJob") if item.status in (PENDING, IN_PROGRESS)]
        self.check_new("pending_imports", job, len(pending) - 1)
        self.enqueue(IMPORT, job, dataset.parents["datasetGroupArn"])
        return {"datasetImportJobArn": job.arn}

    def has_imported(self, dataset: Resource) -> bool:
        return any(job.status == ACTIVE for job in self.all("DatasetImportJob", datasetArn=dataset.arn))

    # Event trackers: one in a group; their ARNs hold an id instead of the name

    def create_event_tracker(self, request: Document) -> Document:
        name, tags = check_name(request["name"]), check_tags(request.get("tags", []))
        group = require_active(self.find(KINDS["DatasetGroup"], request["datasetGroupArn"]))
        if self.all("EventTracker", datasetGroupArn=group.arn):
            raise Refused(EXISTS)
        arn, tracking_id = self.response.get("eventTrackerArn", ""), self.response.get("trackingId", "")
        assert re.fullmatch(re.escape(self.arn("event-tracker", "")) + "[0-9a-f]{8}", arn), arn
        assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", tracking_id), tracking_id
        self.add(
            "EventTracker",
            {
                "name": name,
                "eventTrackerArn": arn,
                "accountId": self.account,
                "trackingId": tracking_id,
                "datasetGroupArn": group.arn,
                "status": ACTIVE,
            },
            tags=tags,
            datasetGroupArn=group.arn,
        )
        return {"eventTrackerArn": arn, "trackingId": tracking_id}

    def delete_event_tracker(self, request: Document) -> None:
        """Delete a tracker: at once, as no events service runs that could still take events for it."""
        self.remove(require_active(self.find(KINDS["EventTracker"], request["eventTrackerArn"])))

    def check_new(self, quota: str, resource: Resource, used: int) -> None:
        """Let a new resource go again when the quota does not allow it."""
        try:
            self.check_quota(quota, used)
        except Refused:
            self.remove(resource)
            raise


def check_fits(schema: Resource, kind: str, group: Resource) -> None:
    """Check that a schema is for a type, as Avro's name of the record says, and for the group's domain."""
    if json.loads(schema.described["schema"])["name"].upper() != kind:
        raise Refused(INVALID)
    if schema.described.get("domain") != group.described.get("domain"):
        raise Refused(INVALID)


def fields_of(schema: Resource) -> dict[str, object]:
    """Return the types of a schema's fields by name."""
    return {item["name"]: item["type"] for item in json.loads(schema.described["schema"])["fields"]}
