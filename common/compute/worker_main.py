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

from common.compute.tasks import perform
from common.logs import configure_logging
from common.process.lifeline import end_with_input

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Do parts until the other end of the socket is closed."""
    end_with_input()
    # What libraries print must not mix with what the parent may write on its standard output.
    os.dup2(2, 1)
    configure_logging("compute")
    with Connection(descriptor) as connection, suppress(EOFError):
        task = connection.recv_bytes()
        while True:
            connection.send_bytes(perform(task, connection.recv_bytes()))


if __name__ == "__main__":
    main(int(sys.argv[1]))
