"""Becomes a program that cannot outlive its parent: `python launch.py PID FD COMMAND...`.

A parent that is killed can clean nothing up, so the ties are made here, before the command takes over: the kernel is
asked to kill the command when the parent dies, and a detached guard, forked from here, waits for the end of a pipe
whose other end only the parent holds and then kills the whole process group, workers included.

Nothing but the standard library is imported: this runs before every command.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, lifeline, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the kernel was asked; nobody would ever tell.
        raise SystemExit(f"parent {parent} is gone")
    _fork_guard(lifeline)
    os.close(lifeline)
    os.execvp(command[0], command)  # noqa: S606  # the command is the parent's own argument list


def _fork_guard(lifeline: int) -> None:
    group = os.getpgrp()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        # Forked twice, so that the command has no child that it does not know of.
        os._exit(0)
    # A stop that is sent to the group is for the command; the guard stays until the parent lets go.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # Holding the command's output open would keep the parent from seeing its end.
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    while os.read(lifeline, 64):
        pass
    os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
