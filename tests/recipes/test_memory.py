"""Freed memory stays with a process that learns."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

#: Asks for 64 MiB and frees them three times, and prints how many pages the system had to hand out.
_PROGRAM = """
import resource, sys
from recipes.sequence.learner.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(3):
    block = bytearray(b"x") * (64 << 20)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def _faults(how: str) -> int:
    ended = subprocess.run([sys.executable, "-c", _PROGRAM, how], capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep freed memory")
def test_memory_that_was_freed_is_used_again():
    given_back, kept = _faults("as it is"), _faults("keep")

    of_a_block = (64 << 20) // 4096
    assert given_back - kept > 1.5 * of_a_block
