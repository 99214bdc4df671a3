"""What a process asked the system for, by strace: the calls with their files, in their order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_NAMES = "fsync,fdatasync,link,linkat,rename,renameat,renameat2,write,pwrite64"


@dataclass(slots=True)
class Call:
    """One call of the system.

    Attributes:
        name: E.g. `fsync`.
        arguments: As strace writes them, with the paths of open files.
        begun: Its place among all.
        ended: The place at which it had ended.
    """

    name: str
    arguments: str
    begun: int
    ended: int


def traced(program: str, *arguments: object, output: Path) -> list[Call]:
    """Run a Python program and return its calls that write, sync, link and rename; skips the test without strace."""
    if shutil.which("strace") is None and "CI" not in os.environ:
        pytest.skip("strace is not installed")
    strace = ["strace", "-f", "-y", "-qq", "-s", "0", "-o", str(output), "-e", f"trace={_NAMES}"]
    command = [*strace, sys.executable, "-c", program, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    calls: list[Call] = []
    unfinished: dict[str, Call] = {}
    for place, line in enumerate(output.read_text().splitlines()):
        process, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.startswith("<..."):
            unfinished.pop(process).ended = place
        elif match := re.match(r"(\w+)\((.*)", rest):
            calls.append(Call(match[1], match[2], place, place))
            if rest.endswith("<unfinished ...>"):
                unfinished[process] = calls[-1]
    return calls


def named(calls: list[Call], path: Path) -> Call:
    """Return the first call that gives a file its name."""
    return next(call for call in calls if call.name.startswith(("link", "rename")) and f'{path}"' in call.arguments)


def syncs(calls: list[Call], path: Path) -> list[Call]:
    """Return the calls that sync a file or a folder."""
    return [call for call in calls if call.name in {"fsync", "fdatasync"} and f"<{path}>" in call.arguments]
