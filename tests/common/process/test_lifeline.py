"""A child ends with its parent, however the parent ends."""

import subprocess
import sys

import psutil
import pytest

from common.testing import wait_until

FORKING = """
import os, signal
from common.process.lifeline import Lifeline
lifeline = Lifeline()
child = os.fork()
if child == 0:
    lifeline.hold()
    print(os.getpid(), flush=True)
    while True:
        signal.pause()
signal.pause()
"""
STARTING = """
import subprocess, sys, signal
child = (
    "import os, signal; from common.process.lifeline import end_with_input; end_with_input()\\n"
    "print(os.getpid(), flush=True)\\n"
    "while True: signal.pause()"
)
process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE)
signal.pause()
"""
CLOSING = """
import os
from common.process.lifeline import Lifeline
lifeline = Lifeline()
child = os.fork()
if child == 0:
    lifeline.hold()
    while True:
        os.read(os.pipe()[0], 1)
lifeline.close()
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("program", [FORKING, STARTING], ids=["forked", "started"])
def test_a_child_ends_with_a_parent_that_is_killed(program):
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait(timeout=60)
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_child_ends_when_its_parent_gives_the_pipe_free():
    assert subprocess.check_output([sys.executable, "-c", CLOSING], text=True, timeout=60) == "1\n"
