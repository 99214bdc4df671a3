"""Where data deletion jobs have their entries in the ledger of deletions."""

from __future__ import annotations

from common.deletions import deletions_folder
from control_plane.metadata_store.tables import DataDeletionJob

__all__ = ["deletion_location"]


def deletion_location(job: DataDeletionJob, table_location: str) -> str:
    """Return the folder of a deletion in the ledger: that of a group of the same name later on has another.

    Args:
        job: The deletion.
        table_location: Folder of a table of its group.
    """
    return f"{deletions_folder(table_location)}/{job.job_name}-{job.creation_date_time:%Y%m%dT%H%M%S%f}"
