"""Does storage removal jobs. Removing twice is removing once, so an attempt may follow another at any point."""

from __future__ import annotations

from pathlib import PurePosixPath

from common.errors import Unavailable, invalid
from common.storage import Store
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.worker import JobContext

__all__ = ["RemovalJobHandler"]

_REMOVABLE = ("datasets", "artifacts")


class RemovalJobHandler:
    """Removes folders of the store; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def run(self, payload: jobs_pb2.StorageRemovalPayload, context: JobContext) -> jobs_pb2.StorageRemovalResult:
        """Remove every folder of the payload.

        Raises:
            InvalidInput: A folder is not below `datasets/` or `artifacts/`; nothing is removed.
            Unavailable: The store cannot be reached.
        """
        for location in payload.locations:
            _check(location)
        removed = 0
        for place, location in enumerate(payload.locations):
            context.report(fraction=place / len(payload.locations), activity=f"removing {location}")
            context.check()
            try:
                removed += self._store.delete_folder(location)
            except OSError as error:
                raise Unavailable(f"store: removing {location} failed: {error}") from error
        return jobs_pb2.StorageRemovalResult(removed_objects=removed)


def _check(location: str) -> None:
    parts = PurePosixPath(location).parts
    if len(parts) < 2 or parts[0] not in _REMOVABLE or ".." in parts:
        raise invalid("locations", got=location, want=f"a folder below {' or '.join(_REMOVABLE)}")
