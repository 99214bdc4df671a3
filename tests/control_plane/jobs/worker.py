"""A process with a queue of its own that does jobs: `python -m tests.control_plane.jobs.worker URL FOLDER NAME`.

It notes each job that it holds, with its process id and the end of its lease, in a file of FOLDER that only one can
make, and each job that it ended in FOLDER/NAME.done. With the word `victim` behind, it takes one job, says so and waits
to be killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil

from common.arn import ArnFactory
from common.clock import SystemClock
from common.errors import LeaseLost
from common.logs import configure_logging
from control_plane.app_context import AppContext
from control_plane.domain.jobs import JobKind, JobState
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import Job
from control_plane.server import Timing, assemble

LEASE_SECONDS = 2.0
_KIND = JobKind.STORAGE_REMOVAL


def hold(file: Path, expires_at: float) -> None:
    """Take hold of a job for which this process has a lease.

    Raises:
        AssertionError: Another process that lives has a lease that is not over.
    """
    note = json.dumps({"pid": os.getpid(), "expires_at": expires_at})
    while True:
        try:
            with file.open("x") as made:
                made.write(note)
                return
        except FileExistsError:
            other = json.loads(file.read_text() or "null")
            assert other is None or other["expires_at"] < time.time() or not psutil.pid_exists(other["pid"]), other
            file.unlink(missing_ok=True)


def main(url: str, folder: Path, name: str, *, victim: bool) -> None:
    configure_logging("worker", level="ERROR", form="text")
    app_context = AppContext(SystemClock(), ArnFactory("eu-west-1"))
    metadata_store = open_metadata_store(url)
    queue = assemble(metadata_store, app_context, Timing(lease_seconds=LEASE_SECONDS, retry_seconds=0)).queue
    with (folder / f"{name}.done").open("a", buffering=1) as done:
        while metadata_store.view(lambda unit: unit.count(Job, state={JobState.WAITING, JobState.LEASED})):
            lease = queue.lease(name, [_KIND])
            if lease is None:
                time.sleep(0.05)
                continue
            file = folder / f"{lease.job.id}.held"
            hold(file, lease.expires_at.timestamp())
            if victim:
                sys.stdout.write("held\n")
                sys.stdout.flush()
                signal.pause()
            try:
                queue.heartbeat(lease.job.id, lease.token, progress=0.5, activity="working")
                file.unlink(missing_ok=True)
                queue.complete(lease.job.id, lease.token, kind=_KIND, result={})
            except LeaseLost:
                continue
            done.write(f"{lease.job.id}\n")
    metadata_store.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], victim=sys.argv[4:] == ["victim"])
