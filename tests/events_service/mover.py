"""Moves a log again and again, cut off (SIGKILL) at one point after the other.

`python -m tests.events_service.mover PLACE FOLDER WORK URL STREAM EVERY`: a copy of FOLDER is moved by a child that is
killed at the N-th point, for every N until one ends by itself; each child goes on where the one before was killed.
Points are the reports of its progress, and each file that is opened, renamed or removed. Prints how many were killed.
With EVERY above 0 every so-manieth child begins anew, in `WORK/N` and the stream `STREAM-N`, and is then repeated once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from pathlib import Path

from events_service.log.moving import move_to_sqlite, move_to_stream
from events_service.log.stream_target import StreamTarget

MOVES = {"jetstream": move_to_stream, "sqlite": move_to_sqlite}


CHANGES = {"os.rename", "os.remove", "sqlite3.connect"}


class Killer:
    """Ends the process at the N-th point; never for 0."""

    def __init__(self, number: int) -> None:
        self.left = number

    def progress(self, step: str, done: int, total: int) -> None:
        self.count()

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in CHANGES:
            self.count()

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed(place: str, folder: Path, target: StreamTarget, number: int) -> bool:
    """Move in a child; return whether it was killed on the way."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            killer = Killer(number)
            sys.addaudithook(killer.audit)
            MOVES[place](folder, target, progress=killer.progress)
            code = 0
        except BaseException:  # noqa: BLE001 - the child's end says it
            traceback.print_exc()
        os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"attempt {number} ended with {status}")
    return status != 0


def main(place: str, folder: Path, work: Path, url: str, stream: str, every: int) -> None:
    number = max(every, 1)
    n_killed = 0
    while True:
        at, target = (
            work / (str(number) if every else "one"),
            StreamTarget(url, f"{stream}-{number}" if every else stream),
        )
        if not at.exists():
            shutil.copytree(folder, at)
        was_killed = killed(place, at, target, number)
        if every and was_killed and killed(place, at, target, 0):
            sys.exit("got a killed child, want an end")
        if not was_killed:
            break
        n_killed += 1
        number += max(every, 1)
    print(n_killed)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:6], int(sys.argv[6]))
