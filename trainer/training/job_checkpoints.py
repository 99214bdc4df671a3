"""What becomes of the checkpoints of a job: a killed training goes on at any trainer, on the data that it began with.

They lie in a folder beside the artifact that is to be published, so whatever removes a solution removes them, and
storage maintenance removes those that no attempt came back for. With the first one it is written down which versions of
the tables are learnt from; the next attempt learns from the same, unless users were deleted meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import ValidationError

from common.errors import ResourceNotFound, TailorbirdError, Unavailable
from common.logs import get_logger
from common.positions import Position
from common.storage import Store
from trainer.training.checkpoints import SNAPSHOT
from trainer.training.snapshot import Snapshot
from trainer.training.spec import CheckpointPlan, KeptSnapshot
from trainer.worker import is_retryable

__all__ = ["JobCheckpoints"]

_FOLDER: Final = "checkpoints"
_log = get_logger(__name__)


class JobCheckpoints:
    """What a trainer does with the checkpoints of a job before and after the training process.

    Args:
        store: The shared store.
        artifact_location: Folder of the artifact that the job is to publish.
    """

    def __init__(self, store: Store, artifact_location: str) -> None:
        self._store = store
        self._location = f"{artifact_location}/{_FOLDER}"
        self._is_resumed = False

    def snapshot(self, *, deletions: Collection[str]) -> Snapshot | None:
        """Return the snapshot of an attempt that has left checkpoints; None where there is none to go on from.

        Args:
            deletions: Names of the deletions of users that are in force. Checkpoints from before one of them are
                removed.

        Raises:
            Unavailable: The store cannot be reached.
        """
        try:
            kept = KeptSnapshot.model_validate_json(self._store.get(f"{self._location}/{SNAPSHOT}"))
        except ResourceNotFound:
            return None
        except ValidationError as error:
            _log.warning(
                "checkpoints_ignored", location=self._location, cause=f"snapshot: {error.error_count()} errors"
            )
            self.remove()
            return None
        if set(deletions) != set(kept.deletions):
            _log.info("checkpoints_ignored", location=self._location, cause="users were deleted since")
            self.remove()
            return None
        _log.info("training_resumed", location=self._location)
        self._is_resumed = True
        return Snapshot(kept.tables, Position(kept.event_epoch, kept.event_offset))

    def plan(self, snapshot: Snapshot, *, deletions: Collection[str], every_seconds: float) -> CheckpointPlan:
        """Say where and how often a training process keeps checkpoints, and what they are to be found by."""
        watermark = snapshot.event_watermark
        kept = KeptSnapshot(
            tables=snapshot.tables,
            event_epoch=watermark.epoch,
            event_offset=watermark.offset,
            deletions=tuple(deletions),
        )
        return CheckpointPlan(location=self._location, every_seconds=every_seconds, snapshot=kept)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let the next attempt begin anew if this one, which goes on from checkpoints, fails for good in the block.

        What they are of may be gone: versions of tables are kept for a while only.

        Raises:
            Unavailable: It did.
        """
        try:
            yield
        except TailorbirdError as error:
            if not self._is_resumed or is_retryable(error):
                raise
            self.remove()
            message = f"the training could not go on from its checkpoints and begins anew: {error.message}"
            raise Unavailable(message) from error

    def remove(self) -> None:
        """Remove all: they are needed no more. What cannot be removed now is left to storage maintenance."""
        try:
            self._store.delete_folder(self._location)
        except (OSError, TailorbirdError) as error:
            _log.warning("checkpoints_left_behind", location=self._location, cause=str(error))
