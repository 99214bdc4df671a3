"""Where the processes that answer parts keep copies of what the store has."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from common.process.held_folder import HeldFolder, temporary_root

__all__ = ["usable_cache"]

#: Copies that no process has used for so long are of a job that is over, or has left this machine: its processes follow
#: each other within seconds.
_IDLE_SECONDS: Final = 300.0
#: By the folder of the job: what this process holds until it ends, as it maps files in there.
_held: dict[Path, HeldFolder] = {}


def usable_cache(of_job: Path) -> Path:
    """Return a folder for copies: that of the job, or one of this machine where it is another than the trainer's.

    The latter is shared by the processes of the machine that work for the job. Those of other jobs are removed five
    minutes after a process took them last, unless one holds them still.

    Args:
        of_job: In the folder of the job, whose name no other job has.

    Raises:
        OSError: No folder can be made.
    """
    if of_job.parent.is_dir():
        return of_job
    if of_job not in _held:
        name = hashlib.sha256(os.fsencode(of_job)).hexdigest()[:32]
        _held[of_job] = HeldFolder(temporary_root("batch"), name, idle_seconds=_IDLE_SECONDS)
    return _held[of_job].path
