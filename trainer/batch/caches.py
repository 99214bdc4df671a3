"""Where the processes that answer parts keep copies of what the store has."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import gettempdir

__all__ = ["usable_cache"]


def usable_cache(of_job: Path) -> Path:
    """Return a folder for copies: that of the job, or one of this machine where it is another than the trainer's.

    Args:
        of_job: In the folder of the job.
    """
    return of_job if of_job.parent.is_dir() else Path(gettempdir()) / f"tailorbird-batch-{os.getuid()}"
