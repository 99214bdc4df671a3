"""The checkpoints of a training process in the shared store; what becomes of them: `trainer.training.job_checkpoints`.

A checkpoint is a file of NumPy's `npz` format, stored uncompressed, in which every array has a CRC-32. It is written
aside and put in place whole.
"""

from __future__ import annotations

import json
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.errors import ResourceNotFound, TailorbirdError
from common.logs import get_logger
from common.private_files import private_file
from common.storage import Store
from recipes.ports import Checkpoint
from trainer.training.spec import CheckpointPlan

__all__ = ["SNAPSHOT", "StoredCheckpoints"]

#: What the checkpoints of a folder are of: a `KeptSnapshot`.
SNAPSHOT: Final = "snapshot.json"
_FACTS, _SECONDS = "facts", "seconds"
#: Pause after a checkpoint, in times that it took to write: so they cost a twentieth of the time at most.
_PAUSE: Final = 20.0
#: What reading a damaged file may raise: flipped bits say that it is compressed, or encrypted (RuntimeError).
_UNREADABLE: Final = (
    zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError, ValueError, TypeError, KeyError,
)  # fmt: skip
_log = get_logger(__name__)


class StoredCheckpoints:
    """Keeps the checkpoints of one training process; a `recipes.ports.Checkpoints`.

    Args:
        store: The shared store.
        plan: Where, and how often.
        folder: For the file that is being written.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, store: Store, plan: CheckpointPlan, folder: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._plan = plan
        self._folder = folder
        self._clock = clock
        self._resumed_seconds = 0.0
        # Of the fit that runs: how long earlier attempts took for what it goes on from, and when it began here.
        self._seconds, self._began = 0.0, clock()
        self._due_at = self._began + plan.every_seconds

    @property
    def resumed_seconds(self) -> float:
        """How long earlier attempts have fitted what this one goes on from; what was thrown away does not count."""
        return self._resumed_seconds

    def is_due(self) -> bool:
        """Return whether the last checkpoint, or the beginning, is long enough ago."""
        return self._clock() >= self._due_at

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before of the same key."""
        began = self._clock()
        file = self._folder / "checkpoint.npz"
        try:
            private_file(file)
            facts = np.frombuffer(json.dumps(dict(checkpoint.facts), default=float).encode(), np.uint8)
            seconds = np.array(self._seconds + began - self._began)
            arrays: dict[str, Any] = {_FACTS: facts, _SECONDS: seconds, **checkpoint.arrays}
            np.savez(file, allow_pickle=False, **arrays)
            size = file.stat().st_size
            # Before the checkpoint: whoever finds one finds what it is of.
            self._store.put(f"{self._plan.location}/{SNAPSHOT}", self._plan.snapshot.model_dump_json().encode())
            self._store.put(f"{self._plan.location}/{key}.npz", file)
        except (OSError, TailorbirdError) as error:
            # A fit that is complete is worth more than one that could go on.
            _log.warning("checkpoint_not_written", key=key, cause=str(error))
        else:
            _log.info("checkpoint_written", key=key, bytes=size, seconds=round(self._clock() - began, 3))
        finally:
            file.unlink(missing_ok=True)
        now = self._clock()
        self._due_at = now + max(self._plan.every_seconds, _PAUSE * (now - began))

    def load(self, key: str) -> Checkpoint | None:
        """Return the checkpoint of a key, with which a fit begins; None for none, and for one that cannot be read.

        Raises:
            Unavailable: The store cannot be reached.
        """
        self._seconds, self._began = 0.0, self._clock()
        file = self._folder / "kept-checkpoint.npz"
        try:
            private_file(file)
            self._store.download(f"{self._plan.location}/{key}.npz", file)
            checkpoint, self._seconds = _read(file)
        except ResourceNotFound:
            return None
        except _UNREADABLE as error:
            # Also where the disk is full: a fit that begins anew is worth more than none.
            _log.warning("checkpoint_damaged", key=key, cause=f"{type(error).__name__}: {error}")
            return None
        finally:
            file.unlink(missing_ok=True)
        self._resumed_seconds += self._seconds
        _log.info("checkpoint_read", key=key)
        return checkpoint


def _read(file: Path) -> tuple[Checkpoint, float]:
    """Read a file, every byte of which is checked: a checkpoint, and the seconds that went into it."""
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as opened:
        arrays: dict[str, NDArray[Any]] = {name: opened[name] for name in opened.files}
    facts, seconds = json.loads(arrays.pop(_FACTS).tobytes()), float(arrays.pop(_SECONDS))
    if not isinstance(facts, dict):
        raise TypeError(f"`facts`: got {type(facts).__name__}, want an object")
    return Checkpoint(arrays, facts), seconds
