"""Operations on dataset groups, schemas, datasets, import jobs and event trackers."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import Dataset, DatasetGroup, DatasetImportJob, DatasetSchema, EventTracker
from control_plane.servicers.operations import Document, Operations, asked_page, asked_tags, show, show_page

__all__ = ["DatasetOperations", "ImportOperations", "TrackerOperations"]


class DatasetOperations(Operations):
    """Dataset groups, schemas, datasets."""

    def create_dataset_group(self, asked: Document) -> Document:
        """Create a dataset group."""
        group = self._resources.dataset_groups.create(
            required("name", asked.get("name", "")),
            domain=asked.get("domain"),
            role_arn=asked.get("roleArn"),
            kms_key_arn=asked.get("kmsKeyArn"),
            tags=asked_tags(asked),
        )
        return {"datasetGroupArn": group.arn, "domain": group.domain}

    def describe_dataset_group(self, asked: Document) -> Document:
        """Describe a dataset group."""
        group = self._resources.dataset_groups.describe(required("datasetGroupArn", asked.get("datasetGroupArn", "")))
        return {"datasetGroup": {**_group(group), "roleArn": group.role_arn, "kmsKeyArn": group.kms_key_arn}}

    def list_dataset_groups(self, asked: Document) -> Document:
        """List dataset groups."""
        return show_page("datasetGroups", self._resources.dataset_groups.list(asked_page(asked)), _group)

    def delete_dataset_group(self, asked: Document) -> Document:
        """Delete an empty dataset group."""
        self._resources.dataset_groups.delete(required("datasetGroupArn", asked.get("datasetGroupArn", "")))
        return {}

    def create_schema(self, asked: Document) -> Document:
        """Create a schema."""
        schema = self._resources.schemas.create(
            required("name", asked.get("name", "")),
            required("schema", asked.get("schema", "")),
            domain=asked.get("domain"),
        )
        return {"schemaArn": schema.arn}

    def describe_schema(self, asked: Document) -> Document:
        """Describe a schema."""
        schema = self._resources.schemas.describe(required("schemaArn", asked.get("schemaArn", "")))
        return {"schema": {**_schema(schema), "schema": schema.schema_text}}

    def list_schemas(self, asked: Document) -> Document:
        """List schemas."""
        return show_page("schemas", self._resources.schemas.list(asked_page(asked)), _schema)

    def delete_schema(self, asked: Document) -> Document:
        """Delete a schema that no dataset has."""
        self._resources.schemas.delete(required("schemaArn", asked.get("schemaArn", "")))
        return {}

    def create_dataset(self, asked: Document) -> Document:
        """Create an empty dataset."""
        dataset = self._resources.datasets.create(
            required("name", asked.get("name", "")),
            schema_arn=required("schemaArn", asked.get("schemaArn", "")),
            dataset_group_arn=required("datasetGroupArn", asked.get("datasetGroupArn", "")),
            dataset_type=required("datasetType", asked.get("datasetType", "")),
            tags=asked_tags(asked),
        )
        return {"datasetArn": dataset.arn}

    def describe_dataset(self, asked: Document) -> Document:
        """Describe a dataset."""
        dataset = self._resources.datasets.describe(required("datasetArn", asked.get("datasetArn", "")))
        parents = {"datasetGroupArn": dataset.dataset_group_arn, "schemaArn": dataset.schema_arn}
        return {"dataset": {**_dataset(dataset), **parents}}

    def list_datasets(self, asked: Document) -> Document:
        """List datasets."""
        page = self._resources.datasets.list(asked_page(asked), dataset_group_arn=asked.get("datasetGroupArn"))
        return show_page("datasets", page, _dataset)

    def delete_dataset(self, asked: Document) -> Document:
        """Delete a dataset with its rows."""
        self._resources.datasets.delete(required("datasetArn", asked.get("datasetArn", "")))
        return {}


class ImportOperations(Operations):
    """Import jobs."""

    def create_dataset_import_job(self, asked: Document) -> Document:
        """Ask for files to be imported."""
        job = self._resources.imports.create(
            required("jobName", asked.get("jobName", "")),
            dataset_arn=required("datasetArn", asked.get("datasetArn", "")),
            data_location=required("dataSource.dataLocation", asked.get("dataSource", {}).get("dataLocation", "")),
            role_arn=asked.get("roleArn"),
            import_mode=asked.get("importMode"),
            publish_attribution_metrics=asked.get("publishAttributionMetricsToS3", False),
            tags=asked_tags(asked),
        )
        return {"datasetImportJobArn": job.arn}

    def describe_dataset_import_job(self, asked: Document) -> Document:
        """Describe an import job."""
        arn = required("datasetImportJobArn", asked.get("datasetImportJobArn", ""))
        job = self._resources.imports.describe(arn)
        more = {
            "datasetArn": job.dataset_arn,
            "dataSource": {"dataLocation": job.data_location},
            "roleArn": job.role_arn,
            "publishAttributionMetricsToS3": False,
        }
        return {"datasetImportJob": {**_import(job), **more}}

    def list_dataset_import_jobs(self, asked: Document) -> Document:
        """List import jobs."""
        page = self._resources.imports.list(asked_page(asked), dataset_arn=asked.get("datasetArn"))
        return show_page("datasetImportJobs", page, _import)


class TrackerOperations(Operations):
    """Event trackers."""

    def create_event_tracker(self, asked: Document) -> Document:
        """Create the event tracker of a dataset group."""
        tracker = self._resources.trackers.create(
            required("name", asked.get("name", "")),
            dataset_group_arn=required("datasetGroupArn", asked.get("datasetGroupArn", "")),
            tags=asked_tags(asked),
        )
        return {"eventTrackerArn": tracker.arn, "trackingId": tracker.tracking_id}

    def describe_event_tracker(self, asked: Document) -> Document:
        """Describe an event tracker."""
        tracker = self._resources.trackers.describe(required("eventTrackerArn", asked.get("eventTrackerArn", "")))
        more = {
            "accountId": tracker.account_id,
            "trackingId": tracker.tracking_id,
            "datasetGroupArn": tracker.dataset_group_arn,
        }
        return {"eventTracker": {**_tracker(tracker), **more}}

    def list_event_trackers(self, asked: Document) -> Document:
        """List event trackers."""
        page = self._resources.trackers.list(asked_page(asked), dataset_group_arn=asked.get("datasetGroupArn"))
        return show_page("eventTrackers", page, _tracker)

    def delete_event_tracker(self, asked: Document) -> Document:
        """Delete an event tracker; the events stay."""
        self._resources.trackers.delete(required("eventTrackerArn", asked.get("eventTrackerArn", "")))
        return {}


def _group(group: DatasetGroup) -> Document:
    return show(group, "name", "status", "failureReason", "domain", datasetGroupArn=group.arn)


def _schema(schema: DatasetSchema) -> Document:
    return show(schema, "name", "domain", schemaArn=schema.arn)


def _dataset(dataset: Dataset) -> Document:
    return show(dataset, "name", "datasetType", "status", datasetArn=dataset.arn)


def _import(job: DatasetImportJob) -> Document:
    return show(job, "jobName", "status", "failureReason", "importMode", datasetImportJobArn=job.arn)


def _tracker(tracker: EventTracker) -> Document:
    return show(tracker, "name", "status", eventTrackerArn=tracker.arn)
