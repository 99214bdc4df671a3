"""Cuts operations off at system calls that write: `python -m benchmarks.faults.crash_campaign EVERY OPERATION ...`.

A process of its own, with a single thread, because it forks: each attempt is a child that strace attaches to, and that
gets SIGKILL on entering the N-th call of a kind that one of its threads makes. Prints the number of points as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from benchmarks.faults.crash_operations import OPERATIONS, Operation
from common.errors import Unavailable

__all__ = ["POINTS"]

#: The system calls that are cut off, by what they do.
POINTS: Final = {
    "writes": "write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,ftruncate,fallocate",
    "syncs": "fsync,fdatasync,sync_file_range",
    "renames": "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat",
}
_ATTACHED: Final = "attached"


def main() -> None:
    """Try all points and print how many those were."""
    every, names = int(sys.argv[1]), sys.argv[2:]
    points = {name: _try_kinds(OPERATIONS[name], every=every) for name in names}
    sys.stdout.write(json.dumps(points) + "\n")


def _try_kinds(operation: Operation, *, every: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "template")
        template.mkdir()
        _in_child(lambda: operation.prepare(template))
        return {kind: _try_all(operation, kind, template, every=every) for kind in POINTS}


def _try_all(operation: Operation, kind: str, template: Path, *, every: int) -> int:
    """Cut an operation off at every `every`-th call of a kind until it ends by itself; return how often it was cut."""
    points = 0
    number = 1
    while True:
        place = template.with_name("attempt")
        shutil.copytree(template, place)
        was_killed, acknowledged = _run_cut_off(operation, place, calls=POINTS[kind], number=number)
        try:
            _in_child(lambda place=place, acknowledged=acknowledged: operation.check(place, acknowledged))  # type: ignore[misc]  # mypy infers no type of defaults
        except Unavailable as error:
            raise Unavailable(
                f"{type(operation).__name__}, {kind}, call {number}, acknowledged {acknowledged}: {error.message}"
            ) from error
        shutil.rmtree(place)
        if not was_killed:
            return points
        points += 1
        number += every


def _run_cut_off(operation: Operation, place: Path, *, calls: str, number: int) -> tuple[bool, list[str]]:
    """Run an operation in a child; return whether it was killed, and what it had acknowledged."""
    start, may_start = os.pipe()
    heard, said = os.pipe()

    def acknowledge(text: str) -> None:
        os.write(said, f"{text}\n".encode())

    def run() -> None:
        os.close(heard)
        os.read(start, 1)
        operation.run(place, acknowledge)

    child = _fork(run)
    os.close(start)
    os.close(said)
    command = ["strace", "-f", "-p", str(child), "-o", os.devnull, "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:signal=SIGKILL:when={number}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer, os.fdopen(heard) as lines:
        assert tracer.stderr is not None
        said_first = tracer.stderr.readline()
        if _ATTACHED not in said_first:
            os.kill(child, signal.SIGKILL)
            raise Unavailable(f"strace: got {said_first.strip()!r}, want it attached: it needs the right to trace")
        os.write(may_start, b"x")
        os.close(may_start)
        acknowledged = lines.read().split("\n")[:-1]
        _, status = os.waitpid(child, 0)
        tracer.stderr.read()
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, -signal.SIGKILL):
        raise Unavailable(f"call {number}: the operation ended with {code}, want it to end, or to be killed")
    return code != 0, acknowledged


def _in_child(work: Callable[[], None]) -> None:
    """Run work in a child, which may start threads there.

    Raises:
        Unavailable: It failed; its traceback is on standard error.
    """
    _, status = os.waitpid(_fork(work), 0)
    if code := os.waitstatus_to_exitcode(status):
        raise Unavailable(f"a check ended with {code}, want 0")


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    return child or _run_and_exit(work)


def _run_and_exit(work: Callable[[], None]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may go on in a child
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
