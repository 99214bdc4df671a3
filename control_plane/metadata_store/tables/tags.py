"""The table of tags."""

from __future__ import annotations

from sqlmodel import Field

from control_plane.metadata_store.tables.base import Owned, account_column

__all__ = ["Tag"]


class Tag(Owned, table=True):
    """One tag of one resource."""

    __tablename__ = "tag"

    account: str = account_column("resource_arn")
    resource_arn: str = Field(primary_key=True, max_length=256)
    tag_key: str = Field(primary_key=True, max_length=128)
    tag_value: str = Field(max_length=256)
