"""What the processes of a cluster take is added up, also where nobody asks for what they took."""

from __future__ import annotations

import subprocess
import sys

import psutil

from benchmarks.ray_cluster import ProcessorTime

#: Ends of children are forgotten by the kernel, as those of Ray's workers are: no parent's figures have them.
FORGETFUL = """
import signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
worker = '''
import sys, time
while time.process_time() < 0.2:
    pass
print("worked", flush=True)
sys.stdin.read()
'''
subprocess.Popen([sys.executable, "-S", "-c", worker])
sys.stdin.read()
"""


def test_what_a_process_took_counts_after_its_end():
    with (
        subprocess.Popen(
            [sys.executable, "-S", "-c", FORGETFUL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
        ProcessorTime(psutil.Process(process.pid), look_seconds=3600.0) as taken,
    ):
        assert process.stdout.readline() == "worked\n"
        before = taken.seconds()
        (worker,) = psutil.Process(process.pid).children()
        worker.kill()
        psutil.wait_procs([worker], timeout=60)
        assert taken.seconds() >= before >= 0.15
        process.stdin.close()
