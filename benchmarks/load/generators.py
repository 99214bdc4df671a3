"""Load generators that are processes of their own: started, begun together, and listened to.

A generator is a module that takes what it is to do as JSON, says that it is ready, waits for a line, works, and prints
what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from common.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["run_generators", "told_to_begin"]

_READY: Final = "ready"


def run_generators(module: str, loads: Sequence[DataclassInstance], *, begin: Callable[[], str] = str) -> list[Any]:
    """Run a process of a module for each load, all at the same time, and return what each has printed.

    Args:
        module: Its name; it is run with a load as JSON.
        loads: What each process does.
        begin: Makes the line by which all are told to begin, once all are ready.

    Raises:
        Unavailable: A process did not get ready, or did not come to its end.
    """
    with ExitStack() as stack:
        processes = []
        for load in loads:
            command = [sys.executable, "-m", module, json.dumps(asdict(load))]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != _READY:
                raise Unavailable("clients: got no readiness, want them ready; see what they wrote")
        line = begin()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        results = []
        for process in processes:
            said, _ = process.communicate()
            if process.returncode:
                raise Unavailable(f"clients: got an end with status {process.returncode}, want 0; see what they wrote")
            results.append(json.loads(said))
    return results


async def told_to_begin() -> str:
    """Say that this process is ready, and return the line by which it is told to begin."""
    sys.stdout.write(f"{_READY}\n")
    sys.stdout.flush()
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.strip()
