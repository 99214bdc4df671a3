"""Tasks of the tests: what processes that do parts import. Each leaves a file per attempt, so that tests can count."""

import os
import subprocess
import sys
import time
from pathlib import Path

from common.errors import InvalidInput

#: Of this process: what a task keeps from one part to the next.
parts_done = 0


def square(number):
    return number * number


def count_in_process(_):
    """Return the process, and how many parts it has done."""
    global parts_done  # noqa: PLW0603 -- the state of a module is what is tested
    parts_done += 1
    return os.getpid(), parts_done


def attempt(part):
    """Note an attempt at a part, and return how many there were."""
    folder, name = part
    attempts = len(list(Path(folder).glob(f"{name}-*"))) + 1
    note = Path(folder) / f".{name}"
    note.write_text(str(os.getpid()))
    note.rename(note.with_name(f"{name}-{attempts}"))  # whole, for whoever waits for it
    return attempts


def hang_at_first(part):
    """Wait for being killed, but only in the first attempt at the part `b`."""
    if attempt(part) == 1 and part[1] == "b":
        time.sleep(600)  # ended by the test, which kills this process
    return part[1]


def die(part):
    """Die in each attempt, as one whose memory ran out."""
    attempt(part)
    os.kill(os.getpid(), 9)


def hang(part):
    """Wait for being killed."""
    attempt(part)
    time.sleep(600)


def hang_with_child(part):
    """Do the part `a`; in another one wait for being killed, with a child that leaves its process id as well."""
    folder, name = part
    if name == "a":
        return name
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (Path(folder) / "child-1").write_text(str(child.pid))
    hang(part)


def fail(part):
    if part == 1:
        raise InvalidInput("`part`: got 1, want another")
    return part


class Uncopied(Exception):
    """An error that cannot be made from its arguments, as those of many libraries."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


def fail_uncopied(_):
    raise Uncopied(code=7)


def large(megabytes):
    return b"x" * (megabytes << 20)


def unpicklable(_):
    return lambda: None
