"""The tables of dataset groups, schemas and datasets."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import (
    AnyResource,
    json_column,
    list_indexes,
    message_column,
    moment_column,
    parent_column,
    text_column,
)
from protos.tailorbird.control.v1.dataset_pb2 import DatasetUpdateSummary
from protos.tailorbird.storage.v1.storage_usage_pb2 import StorageUsage

__all__ = ["Dataset", "DatasetGroup", "DatasetSchema"]


class DatasetGroup(AnyResource, table=True):
    """A container of datasets, solutions and a tracker.

    Attributes:
        maintenance_due_at: When the next maintenance of its storage is due; None before the first was planned.
        storage_usage: What the last maintenance counted; None before the first.
    """

    __tablename__ = "dataset_group"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("dataset_group"))

    name: str = Field(max_length=63)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
    domain: str | None = Field(default=None, max_length=32)
    role_arn: str | None = Field(default=None, max_length=256)
    kms_key_arn: str | None = text_column(nullable=True)
    maintenance_due_at: datetime | None = moment_column(nullable=True, index=True)
    storage_usage: StorageUsage | None = message_column(StorageUsage)


class DatasetSchema(AnyResource, table=True):
    """An Avro schema; never changed."""

    __tablename__ = "dataset_schema"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("dataset_schema"))

    name: str = Field(max_length=63)
    schema_text: str = text_column()
    dataset_type: str = Field(max_length=32)
    domain: str | None = Field(default=None, max_length=32)


class Dataset(AnyResource, table=True):
    """A dataset; its rows are in the store at `location`.

    Attributes:
        tracking_id: The id that action interactions are sent with; None for other types.
        latest_update: The latest change of its schema; None before the first.
        added_columns: Columns that changes of the schema have added, with the times (ISO 8601); None for none.
        deleted_revision: Serving revision from which on events services take no events for it; None before
            DeleteDataset, and again once they all know and its table may be removed.
        rows_streamed_at: When an events service last had rows for it, to within a minute; None before any.
        features_location: Folder of the newest snapshot of its features; None without one.
        features_due_at: When the next snapshot of its features is due; None when the newest has everything.
    """

    __tablename__ = "dataset"
    __table_args__ = (
        Index("ix_dataset_schema_arn", "schema_arn", "account"),
        *list_indexes("dataset", "dataset_group_arn"),
    )

    name: str = Field(max_length=63)
    dataset_group_arn: str = parent_column("dataset_group.arn")
    schema_arn: str = parent_column("dataset_schema.arn")
    dataset_type: str = Field(max_length=32)
    location: str = Field(max_length=256, unique=True)
    tracking_id: str | None = Field(default=None, max_length=36, unique=True)
    latest_update: DatasetUpdateSummary | None = message_column(DatasetUpdateSummary)
    added_columns: dict[str, str] | None = json_column(nullable=True)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)
    rows_streamed_at: datetime | None = moment_column(nullable=True)
    features_location: str | None = text_column(nullable=True)
    features_due_at: datetime | None = moment_column(nullable=True, index=True)
