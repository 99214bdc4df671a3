"""Operations on dataset groups, schemas, datasets, import jobs, event trackers and tags."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import Dataset, DatasetGroup, DatasetImportJob, DatasetSchema, EventTracker
from control_plane.servicers.operations import (
    Document,
    Operations,
    page_request,
    tags_of,
    to_page_response,
    to_response,
)

__all__ = ["DatasetOperations", "ImportOperations", "TagOperations", "TrackerOperations"]


class DatasetOperations(Operations):
    """Dataset groups, schemas, datasets."""

    def create_dataset_group(self, request: Document) -> Document:
        """Create a dataset group."""
        group = self._resources.dataset_groups.create(
            required("name", request.get("name", "")),
            domain=request.get("domain"),
            role_arn=request.get("roleArn"),
            kms_key_arn=request.get("kmsKeyArn"),
            tags=tags_of(request),
        )
        return {"datasetGroupArn": group.arn, "domain": group.domain}

    def describe_dataset_group(self, request: Document) -> Document:
        """Describe a dataset group."""
        group = self._resources.dataset_groups.describe(required("datasetGroupArn", request.get("datasetGroupArn", "")))
        return {"datasetGroup": {**_group(group), "roleArn": group.role_arn, "kmsKeyArn": group.kms_key_arn}}

    def list_dataset_groups(self, request: Document) -> Document:
        """List dataset groups."""
        return to_page_response("datasetGroups", self._resources.dataset_groups.list(page_request(request)), _group)

    def delete_dataset_group(self, request: Document) -> Document:
        """Delete an empty dataset group."""
        self._resources.dataset_groups.delete(required("datasetGroupArn", request.get("datasetGroupArn", "")))
        return {}

    def create_schema(self, request: Document) -> Document:
        """Create a schema."""
        schema = self._resources.schemas.create(
            required("name", request.get("name", "")),
            required("schema", request.get("schema", "")),
            domain=request.get("domain"),
        )
        return {"schemaArn": schema.arn}

    def describe_schema(self, request: Document) -> Document:
        """Describe a schema."""
        schema = self._resources.schemas.describe(required("schemaArn", request.get("schemaArn", "")))
        return {"schema": {**_schema(schema), "schema": schema.schema_text}}

    def list_schemas(self, request: Document) -> Document:
        """List schemas."""
        return to_page_response("schemas", self._resources.schemas.list(page_request(request)), _schema)

    def delete_schema(self, request: Document) -> Document:
        """Delete a schema that no dataset has."""
        self._resources.schemas.delete(required("schemaArn", request.get("schemaArn", "")))
        return {}

    def create_dataset(self, request: Document) -> Document:
        """Create an empty dataset."""
        dataset = self._resources.datasets.create(
            required("name", request.get("name", "")),
            schema_arn=required("schemaArn", request.get("schemaArn", "")),
            dataset_group_arn=required("datasetGroupArn", request.get("datasetGroupArn", "")),
            dataset_type=required("datasetType", request.get("datasetType", "")),
            tags=tags_of(request),
        )
        return {"datasetArn": dataset.arn}

    def describe_dataset(self, request: Document) -> Document:
        """Describe a dataset."""
        dataset = self._resources.datasets.describe(required("datasetArn", request.get("datasetArn", "")))
        parents = {"datasetGroupArn": dataset.dataset_group_arn, "schemaArn": dataset.schema_arn}
        return {"dataset": {**_dataset(dataset), **parents}}

    def list_datasets(self, request: Document) -> Document:
        """List datasets."""
        page = self._resources.datasets.list(page_request(request), dataset_group_arn=request.get("datasetGroupArn"))
        return to_page_response("datasets", page, _dataset)

    def delete_dataset(self, request: Document) -> Document:
        """Delete a dataset with its rows."""
        self._resources.datasets.delete(required("datasetArn", request.get("datasetArn", "")))
        return {}


class ImportOperations(Operations):
    """Creating, describing and listing import jobs."""

    def create_dataset_import_job(self, request: Document) -> Document:
        """Ask for files to be imported."""
        job = self._resources.imports.create(
            required("jobName", request.get("jobName", "")),
            dataset_arn=required("datasetArn", request.get("datasetArn", "")),
            data_location=required("dataSource.dataLocation", request.get("dataSource", {}).get("dataLocation", "")),
            role_arn=request.get("roleArn"),
            import_mode=request.get("importMode"),
            publish_attribution_metrics=request.get("publishAttributionMetricsToS3", False),
            tags=tags_of(request),
        )
        return {"datasetImportJobArn": job.arn}

    def describe_dataset_import_job(self, request: Document) -> Document:
        """Describe an import job."""
        arn = required("datasetImportJobArn", request.get("datasetImportJobArn", ""))
        job = self._resources.imports.describe(arn)
        extra = {
            "datasetArn": job.dataset_arn,
            "dataSource": {"dataLocation": job.data_location},
            "roleArn": job.role_arn,
            "publishAttributionMetricsToS3": False,
        }
        return {"datasetImportJob": {**_import(job), **extra}}

    def list_dataset_import_jobs(self, request: Document) -> Document:
        """List import jobs."""
        page = self._resources.imports.list(page_request(request), dataset_arn=request.get("datasetArn"))
        return to_page_response("datasetImportJobs", page, _import)


class TrackerOperations(Operations):
    """Creating, describing, listing and deleting event trackers; tags of resources."""

    def create_event_tracker(self, request: Document) -> Document:
        """Create the event tracker of a dataset group."""
        tracker = self._resources.trackers.create(
            required("name", request.get("name", "")),
            dataset_group_arn=required("datasetGroupArn", request.get("datasetGroupArn", "")),
            tags=tags_of(request),
        )
        return {"eventTrackerArn": tracker.arn, "trackingId": tracker.tracking_id}

    def describe_event_tracker(self, request: Document) -> Document:
        """Describe an event tracker."""
        tracker = self._resources.trackers.describe(required("eventTrackerArn", request.get("eventTrackerArn", "")))
        extra = {
            "accountId": tracker.account,
            "trackingId": tracker.tracking_id,
            "datasetGroupArn": tracker.dataset_group_arn,
        }
        return {"eventTracker": {**_tracker(tracker), **extra}}

    def list_event_trackers(self, request: Document) -> Document:
        """List event trackers."""
        page = self._resources.trackers.list(page_request(request), dataset_group_arn=request.get("datasetGroupArn"))
        return to_page_response("eventTrackers", page, _tracker)

    def delete_event_tracker(self, request: Document) -> Document:
        """Delete an event tracker; the events stay."""
        self._resources.trackers.delete(required("eventTrackerArn", request.get("eventTrackerArn", "")))
        return {}


class TagOperations(Operations):
    """Tags of resources."""

    def list_tags_for_resource(self, request: Document) -> Document:
        """List the tags of a resource."""
        tags = self._resources.tags.list(required("resourceArn", request.get("resourceArn", "")))
        return {"tags": [{"tagKey": tag.tag_key, "tagValue": tag.tag_value} for tag in tags]}

    def tag_resource(self, request: Document) -> Document:
        """Add tags to a resource."""
        self._resources.tags.add(required("resourceArn", request.get("resourceArn", "")), tags_of(request))
        return {}

    def untag_resource(self, request: Document) -> Document:
        """Remove tags from a resource."""
        self._resources.tags.remove(required("resourceArn", request.get("resourceArn", "")), request.get("tagKeys", ()))
        return {}


def _group(group: DatasetGroup) -> Document:
    return to_response(group, "name", "status", "failureReason", "domain", datasetGroupArn=group.arn)


def _schema(schema: DatasetSchema) -> Document:
    return to_response(schema, "name", "domain", schemaArn=schema.arn)


def _dataset(dataset: Dataset) -> Document:
    return to_response(dataset, "name", "datasetType", "status", datasetArn=dataset.arn)


def _import(job: DatasetImportJob) -> Document:
    return to_response(job, "jobName", "status", "failureReason", "importMode", datasetImportJobArn=job.arn)


def _tracker(tracker: EventTracker) -> Document:
    return to_response(tracker, "name", "status", eventTrackerArn=tracker.arn)
