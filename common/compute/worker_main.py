"""A process that does parts for `local`: `python -m common.compute.worker_main DESCRIPTOR`.

A fresh interpreter, because libraries that compute in threads do not survive a fork. It is given the task, then one
part after the other, over a socket that only it and its parent hold, and ends with either: with that socket between
two parts, with its standard input in the middle of one.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Final

from common.compute.tasks import portable_error
from common.logs import configure_logging
from common.process.lifeline import end_with_input

__all__ = ["DONE", "FAILED", "main"]

#: First member of an answer; the second is the result or the error.
DONE: Final = "done"
FAILED: Final = "failed"


def main(descriptor: int) -> None:
    """Do parts until the other end of the socket is closed."""
    end_with_input()
    # What libraries print must not mix with what the parent may write on its standard output.
    os.dup2(2, 1)
    configure_logging("compute")
    with Connection(descriptor) as connection, suppress(EOFError):
        task = connection.recv_bytes()
        while True:
            connection.send_bytes(_answer(task, connection.recv_bytes()))


def _answer(task: bytes, part: bytes) -> bytes:
    """Do a part, and return what to say of it, pickled."""
    try:
        return bytes(ForkingPickler.dumps((DONE, ForkingPickler.loads(task)(ForkingPickler.loads(part)))))
    except BaseException as error:  # noqa: BLE001 -- panics of Rust code too; the parent raises it
        return bytes(ForkingPickler.dumps((FAILED, portable_error(error))))


if __name__ == "__main__":
    main(int(sys.argv[1]))
