"""The table of filters."""

from __future__ import annotations

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import AnyResource, json_column, list_indexes, parent_column, text_column

__all__ = ["Filter"]


class Filter(AnyResource, table=True):
    """A filter expression that fits the datasets of its group.

    Attributes:
        fields: The fields that it reads, e.g. `Items.GENRES`.
    """

    __tablename__ = "filter"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("filter", "dataset_group_arn"))

    name: str = Field(max_length=63)
    dataset_group_arn: str = parent_column("dataset_group.arn")
    filter_expression: str = text_column()
    fields: list[str] = json_column()
    status: str = Field(default=Status.ACTIVE, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
