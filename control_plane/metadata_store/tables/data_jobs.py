"""The tables of the jobs that import, export and delete data."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import (
    AnyResource,
    JobResource,
    flag_column,
    list_indexes,
    message_column,
    parent_column,
    text_column,
)
from protos.tailorbird.control.v1.dataset_export_job_pb2 import DatasetExportJobOutput
from protos.tailorbird.control.v1.user_search_service_pb2 import UserSearchReport

__all__ = ["DataDeletionJob", "DatasetExportJob", "DatasetImportJob", "UserSearch"]


class DatasetImportJob(JobResource, table=True):
    """One bulk import; deleted with its dataset."""

    __tablename__ = "dataset_import_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_dataset_import_job_status", "status", "account"),
        *list_indexes("dataset_import_job", "dataset_arn"),
    )

    dataset_arn: str = parent_column("dataset.arn", cascade=True)
    data_location: str = text_column()
    import_mode: str = Field(max_length=16)
    publish_attribution_metrics: bool = flag_column()
    imported_rows: int | None = Field(default=None, sa_type=BigInteger)


class DatasetExportJob(JobResource, table=True):
    """One export of a dataset to files; deleted with its dataset."""

    __tablename__ = "dataset_export_job"
    __table_args__ = (
        UniqueConstraint("account", "job_name"),
        Index("ix_dataset_export_job_status", "status", "account"),
        *list_indexes("dataset_export_job", "dataset_arn"),
    )

    dataset_arn: str = parent_column("dataset.arn", cascade=True)
    ingestion_mode: str = Field(max_length=16)
    job_output: DatasetExportJobOutput | None = message_column(DatasetExportJobOutput)


class DataDeletionJob(JobResource, table=True):
    """One deletion of all data of some users; deleted with its dataset group.

    Attributes:
        num_deleted: Records that were deleted; None until it has ended.
    """

    __tablename__ = "data_deletion_job"
    __table_args__ = (UniqueConstraint("account", "job_name"), *list_indexes("data_deletion_job", "dataset_group_arn"))

    dataset_group_arn: str = parent_column("dataset_group.arn", cascade=True)
    data_location: str = text_column()
    num_deleted: int | None = None
    status: str = Field(default=Status.PENDING, max_length=32)


class UserSearch(AnyResource, table=True):
    """One search for a user in all that is kept of a dataset group; deleted with that.

    Attributes:
        report: Where the user is and is not; None until the search is done.
    """

    __tablename__ = "user_search"
    __table_args__ = list_indexes("user_search", "dataset_group_arn")

    dataset_group_arn: str = parent_column("dataset_group.arn", cascade=True)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
    report: UserSearchReport | None = message_column(UserSearchReport)
