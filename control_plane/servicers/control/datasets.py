"""Operations on dataset groups, schemas and datasets."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import Dataset, DatasetGroup, DatasetSchema
from control_plane.servicers.control.messages import enum_text, enum_value, status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import common_pb2, dataset_group_pb2, dataset_pb2, schema_pb2

__all__ = ["DatasetGroupMethods", "DatasetMethods", "SchemaMethods"]

_DOMAIN = common_pb2.Domain.DESCRIPTOR


class DatasetGroupMethods(Methods):
    """Dataset groups."""

    def CreateDatasetGroup(
        self, request: dataset_group_pb2.CreateDatasetGroupRequest, context: Context
    ) -> dataset_group_pb2.CreateDatasetGroupResponse:
        """Create a dataset group."""
        group = self._transact(
            request,
            lambda unit: self._resources.dataset_groups.create(
                unit,
                required("name", request.name),
                domain=enum_text(_DOMAIN, request.domain),
                role_arn=optional(request, "role_arn"),
                kms_key_arn=optional(request, "kms_key_arn"),
                tags=tags_of(request),
            ),
        )
        return dataset_group_pb2.CreateDatasetGroupResponse(dataset_group_arn=group.arn, domain=request.domain or None)

    def DescribeDatasetGroup(
        self, request: dataset_group_pb2.DescribeDatasetGroupRequest, context: Context
    ) -> dataset_group_pb2.DescribeDatasetGroupResponse:
        """Describe a dataset group."""
        arn = required("datasetGroupArn", request.dataset_group_arn)
        group = self._view(request, lambda unit: self._resources.dataset_groups.describe(unit, arn))
        return dataset_group_pb2.DescribeDatasetGroupResponse(
            dataset_group=dataset_group_pb2.DatasetGroup(
                name=group.name,
                dataset_group_arn=group.arn,
                status=status(group.status),
                role_arn=group.role_arn,
                kms_key_arn=group.kms_key_arn,
                creation_date_time=timestamp(group.creation_date_time),
                last_updated_date_time=timestamp(group.last_updated_date_time),
                failure_reason=group.failure_reason,
                domain=_domain(group.domain),
            )
        )

    def ListDatasetGroups(
        self, request: dataset_group_pb2.ListDatasetGroupsRequest, context: Context
    ) -> dataset_group_pb2.ListDatasetGroupsResponse:
        """List dataset groups."""
        page = self._view(request, lambda unit: self._resources.dataset_groups.list(unit, page_request(request)))
        return dataset_group_pb2.ListDatasetGroupsResponse(
            dataset_groups=[_group_summary(group) for group in page.items], next_token=page.next_token
        )

    def DeleteDatasetGroup(
        self, request: dataset_group_pb2.DeleteDatasetGroupRequest, context: Context
    ) -> dataset_group_pb2.DeleteDatasetGroupResponse:
        """Delete an empty dataset group."""
        arn = required("datasetGroupArn", request.dataset_group_arn)
        self._transact(request, lambda unit: self._resources.dataset_groups.delete(unit, arn))
        return dataset_group_pb2.DeleteDatasetGroupResponse()


class SchemaMethods(Methods):
    """Schemas."""

    def CreateSchema(
        self, request: schema_pb2.CreateSchemaRequest, context: Context
    ) -> schema_pb2.CreateSchemaResponse:
        """Create a schema."""
        schema = self._transact(
            request,
            lambda unit: self._resources.schemas.create(
                unit,
                required("name", request.name),
                required("schema", request.schema),
                domain=enum_text(_DOMAIN, request.domain),
            ),
        )
        return schema_pb2.CreateSchemaResponse(schema_arn=schema.arn)

    def DescribeSchema(
        self, request: schema_pb2.DescribeSchemaRequest, context: Context
    ) -> schema_pb2.DescribeSchemaResponse:
        """Describe a schema."""
        arn = required("schemaArn", request.schema_arn)
        schema = self._view(request, lambda unit: self._resources.schemas.describe(unit, arn))
        return schema_pb2.DescribeSchemaResponse(
            schema=schema_pb2.DatasetSchema(
                name=schema.name,
                schema_arn=schema.arn,
                schema=schema.schema_text,
                creation_date_time=timestamp(schema.creation_date_time),
                last_updated_date_time=timestamp(schema.last_updated_date_time),
                domain=_domain(schema.domain),
            )
        )

    def ListSchemas(self, request: schema_pb2.ListSchemasRequest, context: Context) -> schema_pb2.ListSchemasResponse:
        """List schemas."""
        page = self._view(request, lambda unit: self._resources.schemas.list(unit, page_request(request)))
        return schema_pb2.ListSchemasResponse(
            schemas=[_schema_summary(schema) for schema in page.items], next_token=page.next_token
        )

    def DeleteSchema(
        self, request: schema_pb2.DeleteSchemaRequest, context: Context
    ) -> schema_pb2.DeleteSchemaResponse:
        """Delete a schema that no dataset has."""
        arn = required("schemaArn", request.schema_arn)
        self._transact(request, lambda unit: self._resources.schemas.delete(unit, arn))
        return schema_pb2.DeleteSchemaResponse()


class DatasetMethods(Methods):
    """Datasets."""

    def CreateDataset(
        self, request: dataset_pb2.CreateDatasetRequest, context: Context
    ) -> dataset_pb2.CreateDatasetResponse:
        """Create an empty dataset."""
        dataset = self._transact(
            request,
            lambda unit: self._resources.datasets.create(
                unit,
                required("name", request.name),
                schema_arn=required("schemaArn", request.schema_arn),
                dataset_group_arn=required("datasetGroupArn", request.dataset_group_arn),
                dataset_type=required("datasetType", request.dataset_type),
                tags=tags_of(request),
            ),
        )
        return dataset_pb2.CreateDatasetResponse(dataset_arn=dataset.arn)

    def DescribeDataset(
        self, request: dataset_pb2.DescribeDatasetRequest, context: Context
    ) -> dataset_pb2.DescribeDatasetResponse:
        """Describe a dataset."""
        arn = required("datasetArn", request.dataset_arn)
        dataset = self._view(request, lambda unit: self._resources.datasets.describe(unit, arn))
        return dataset_pb2.DescribeDatasetResponse(
            dataset=dataset_pb2.Dataset(
                name=dataset.name,
                dataset_arn=dataset.arn,
                dataset_group_arn=dataset.dataset_group_arn,
                dataset_type=dataset.dataset_type,
                schema_arn=dataset.schema_arn,
                status=status(dataset.status),
                creation_date_time=timestamp(dataset.creation_date_time),
                last_updated_date_time=timestamp(dataset.last_updated_date_time),
                latest_dataset_update=dataset.latest_update,
                tracking_id=dataset.tracking_id,
            )
        )

    def ListDatasets(
        self, request: dataset_pb2.ListDatasetsRequest, context: Context
    ) -> dataset_pb2.ListDatasetsResponse:
        """List datasets."""
        group = optional(request, "dataset_group_arn")
        page = self._view(
            request, lambda unit: self._resources.datasets.list(unit, page_request(request), dataset_group_arn=group)
        )
        return dataset_pb2.ListDatasetsResponse(
            datasets=[_dataset_summary(dataset) for dataset in page.items], next_token=page.next_token
        )

    def UpdateDataset(
        self, request: dataset_pb2.UpdateDatasetRequest, context: Context
    ) -> dataset_pb2.UpdateDatasetResponse:
        """Replace the schema of a dataset."""
        arn = required("datasetArn", request.dataset_arn)
        schema_arn = required("schemaArn", request.schema_arn)
        dataset = self._transact(
            request, lambda unit: self._resources.datasets.update(unit, arn, schema_arn=schema_arn)
        )
        return dataset_pb2.UpdateDatasetResponse(dataset_arn=dataset.arn)

    def DeleteDataset(
        self, request: dataset_pb2.DeleteDatasetRequest, context: Context
    ) -> dataset_pb2.DeleteDatasetResponse:
        """Delete a dataset with its rows."""
        arn = required("datasetArn", request.dataset_arn)
        self._transact(request, lambda unit: self._resources.datasets.delete(unit, arn))
        return dataset_pb2.DeleteDatasetResponse()


def _domain(text: str | None) -> common_pb2.Domain.ValueType | None:
    return None if text is None else enum_value(_DOMAIN, text)


def _group_summary(group: DatasetGroup) -> dataset_group_pb2.DatasetGroupSummary:
    return dataset_group_pb2.DatasetGroupSummary(
        name=group.name,
        dataset_group_arn=group.arn,
        status=status(group.status),
        creation_date_time=timestamp(group.creation_date_time),
        last_updated_date_time=timestamp(group.last_updated_date_time),
        failure_reason=group.failure_reason,
        domain=_domain(group.domain),
    )


def _schema_summary(schema: DatasetSchema) -> schema_pb2.DatasetSchemaSummary:
    return schema_pb2.DatasetSchemaSummary(
        name=schema.name,
        schema_arn=schema.arn,
        creation_date_time=timestamp(schema.creation_date_time),
        last_updated_date_time=timestamp(schema.last_updated_date_time),
        domain=_domain(schema.domain),
    )


def _dataset_summary(dataset: Dataset) -> dataset_pb2.DatasetSummary:
    return dataset_pb2.DatasetSummary(
        name=dataset.name,
        dataset_arn=dataset.arn,
        dataset_type=dataset.dataset_type,
        status=status(dataset.status),
        creation_date_time=timestamp(dataset.creation_date_time),
        last_updated_date_time=timestamp(dataset.last_updated_date_time),
    )
