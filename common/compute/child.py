"""A child process that is spoken with over a socket: executed, and gone when its parent is.

It is given the descriptor of its end as its first argument, and its standard input ends with the parent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import IO, Any

__all__ = ["Child"]


class Child:
    """A running `python -m MODULE DESCRIPTOR ARGUMENTS...`.

    It inherits the environment, from which processes remove their settings at their start (`forget_settings`).

    Args:
        module: What to run.
        arguments: Given to it after the descriptor.
        output: Takes what it writes to standard error; None for that of this process.

    Raises:
        OSError: No process can be started.
    """

    def __init__(self, module: str, *arguments: str, output: IO[bytes] | None = None) -> None:
        #: To the child; it has ended once this does.
        self.connection: Connection[Any, Any]
        self.connection, remote = Pipe()
        try:
            with remote:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, str(remote.fileno()), *arguments],
                    stderr=output,
                    stdin=subprocess.PIPE,  # the lifeline: held open, and nothing is written
                    pass_fds=(remote.fileno(),),
                    process_group=0,  # a Ctrl-C at the terminal is for the parent; what it started is killed with it
                )
        except BaseException:
            self.connection.close()
            raise

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def send(self, message: Any) -> None:
        """Send a message; whether the child still lives is noticed where its answer is read."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(message)

    def send_bytes(self, raw: bytes) -> None:
        """Send what is pickled already; see `send`."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send_bytes(raw)

    def dismiss(self) -> None:
        """Let it end by itself, for there is nothing more to do."""
        self.connection.close()

    def join(self, seconds: float) -> None:
        """Wait for its end, at most so long."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def kill(self) -> int:
        """Kill it with all that it started, if it still runs; return its exit status, negative for a signal."""
        self.connection.close()
        if self._process.poll() is None:
            # The group keeps its number as long as nobody has waited for the child.
            os.killpg(self.pid, signal.SIGKILL)
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait()
