"""Events services by the hundred: `python -m benchmarks.faults.forked_services LOG`, started by `kills`.

Each line on standard input starts one, set up by the environment as `python -m events_service` is. Answers with a line
with its process id, and one with its exit status once it has ended. It is a process of its own that shares nothing with
those before it but the loaded modules: loading these takes a second or two, the rest of a start a tenth of that.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from common.process.lifeline import Lifeline
from events_service.__main__ import main as serve

__all__: list[str] = []


def main() -> None:
    """Start a service for each line, one after another."""
    log, lifeline = Path(sys.argv[1]), Lifeline()
    gc.freeze()
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            _become_service(log, lifeline)
        _answer(child)
        _answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become_service(log: Path, lifeline: Lifeline) -> NoReturn:
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        lifeline.hold()
        serve()
        code = 0
    except BaseException:  # noqa: BLE001 - the child ends here, and must not run on as its parent
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
