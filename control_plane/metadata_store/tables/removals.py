"""The table of folders in the store whose resources are deleted."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field, SQLModel

from control_plane.metadata_store.tables.base import moment_column

__all__ = ["RemovedFolder"]


class RemovedFolder(SQLModel, table=True):
    """A folder that is removed once more after a while: a worker that was thought dead may have written late.

    Only what this database has named before gets here. So a database that is new, or was restored, removes nothing that
    it does not know.

    Attributes:
        location: The folder, relative to the store's root; never used again for another resource.
        dataset_group_arn: The group that the resource belonged to.
        deleted_at: When the resource was deleted.
        due_at: When the folder is removed again.
    """

    __tablename__ = "removed_folder"

    location: str = Field(primary_key=True, max_length=512)
    dataset_group_arn: str | None = Field(default=None, max_length=256)
    deleted_at: datetime = moment_column()
    due_at: datetime = moment_column(index=True)
