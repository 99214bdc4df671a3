"""Processes with a queue each that do jobs: `python -m tests.control_plane.jobs.worker URL FOLDER`.

They are forked from one that has imported everything, which takes longer than all jobs. First come the victims: each
takes one job, writes its process id to the standard output and waits to be killed, the second while it sends one
heartbeat after the other. At a line of input the workers follow. Each notes the jobs that it holds, with its process id
and the end of its lease, in a file of FOLDER that only one can make, and each job that it ended in FOLDER/NAME.done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import psutil

from common.arn import ArnFactory
from common.clock import SystemClock
from common.errors import LeaseLost
from common.logs import configure_logging
from control_plane.app_context import AppContext
from control_plane.domain.jobs import JobKind, JobState
from control_plane.jobs.queue import JobQueue, Lease
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import Job
from control_plane.server import Timing, assemble

LEASE_SECONDS = 2.0
VICTIMS = ("victim-0", "victim-1")
WORKERS = ("worker-0", "worker-1", "worker-2")
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


def work(url: str, folder: Path, name: str) -> None:
    """Do jobs until all are done; a victim does none."""
    app_context = AppContext(SystemClock(), ArnFactory("eu-west-1"))
    metadata_store = open_metadata_store(url)
    queue = assemble(metadata_store, app_context, Timing(lease_seconds=LEASE_SECONDS, retry_seconds=0)).queue
    with (folder / f"{name}.done").open("a", buffering=1) as done:
        while metadata_store.view(lambda unit: unit.count(Job, limit=9, state={JobState.WAITING, JobState.LEASED})):
            lease = queue.lease(name, [_KIND])
            if lease is None:
                time.sleep(0.05)
                continue
            file = folder / f"{lease.job.id}.held"
            hold(file, lease.expires_at.timestamp())
            if name in VICTIMS:
                wait_to_be_killed(queue, lease, beating=name == VICTIMS[1])
            try:
                queue.heartbeat(lease.job.id, lease.token, progress=0.5, activity="working")
                file.unlink(missing_ok=True)
                queue.complete(lease.job.id, lease.token, kind=_KIND, result={})
            except LeaseLost:
                continue
            done.write(f"{lease.job.id}\n")
    metadata_store.close()


def wait_to_be_killed(queue: JobQueue, lease: Lease, *, beating: bool) -> None:
    if beating:
        queue.heartbeat(lease.job.id, lease.token, progress=0.0, activity="beating")
    os.write(sys.stdout.fileno(), f"{os.getpid()}\n".encode())
    while beating:
        queue.heartbeat(lease.job.id, lease.token, progress=0.0, activity="beating")
    signal.pause()


def fork(url: str, folder: Path, name: str) -> int:
    """Start a process and return its id; it ends with status 0 when it has done what it should."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work(url, folder, name)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, it must not reach the code of the parent
        traceback.print_exc()
    finally:
        os._exit(status)


def main(url: str, folder: Path) -> None:
    configure_logging("worker", level="ERROR", form="text")
    victims = [fork(url, folder, name) for name in VICTIMS]
    sys.stdin.readline()
    workers = [fork(url, folder, name) for name in WORKERS]
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in victims + workers]
    assert ends == [-signal.SIGKILL] * len(victims) + [0] * len(workers), ends


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
