"""Signs of life of the runtime's processes: what counts as hanging, and that it is ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from common.process.heartbeat import BEAT_SECONDS, Heartbeat
from common.testing import wait_until

#: Two processes that hang, one of them before it has begun, beside one that does not; each says which process it is.
POOL = """
import asyncio, threading
from common.logs import configure_logging
from common.process.forked import Patience, WorkerSpec, run_workers_until_signal

async def live(beat):
    await asyncio.Event().wait()

async def block(beat):
    threading.Event().wait()

def never_begin(beat):
    threading.Event().wait()

configure_logging("pool", level="INFO", form="json")
specs = [WorkerSpec(run.__name__, run) for run in (live, block, never_begin)]
run_workers_until_signal(specs, Patience(grace_seconds=1, silent_seconds=3))
"""


@pytest.fixture
def heartbeat():
    return Heartbeat(silent_seconds=3 * BEAT_SECONDS)


def looks(heartbeat, count):
    return [heartbeat.is_silent() for _ in range(count)]


def test_a_process_that_beats_lives_and_one_that_stops_hangs(heartbeat):
    for _ in range(10):
        heartbeat.beat()
        assert looks(heartbeat, 2) == [False, False]
    assert looks(heartbeat, 2) == [False, True]


def test_a_process_that_has_not_begun_gets_longer(heartbeat):
    assert looks(heartbeat, 12) == [False] * 11 + [True]


def test_a_process_that_follows_another_begins_anew(heartbeat):
    heartbeat.beat()
    assert looks(heartbeat, 4)[-1]
    heartbeat.begin()
    assert looks(heartbeat, 12) == [False] * 11 + [True]


def test_beats_of_a_forked_process_reach_its_parent():
    script = (
        "import os; from common.process.heartbeat import Heartbeat; heartbeat = Heartbeat(silent_seconds=1)\n"
        "if not os.fork(): heartbeat.beat(); os._exit(0)\n"
        "os.wait(); print(heartbeat.is_silent(), heartbeat.is_silent())"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True, timeout=60) == "False True\n"


@contextmanager
def running_pool(log_file):
    with log_file.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", POOL], stderr=log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=60)


def test_workers_that_hang_are_killed_and_forked_again_and_others_are_left_alone(tmp_path):
    log = tmp_path / "pool.log"
    with running_pool(log) as process:
        silent_process = re.compile(r'"process": "(\w+)", "pid": \d+, "event": "process_silent"')

        wait_until(lambda: "never_begin" in silent_process.findall(log.read_text()), seconds=120)

        silent = silent_process.findall(log.read_text())
        assert silent[0] == "block"
        assert silent.count("block") >= silent.count("never_begin") == 1
        assert "live" not in silent
        wait_until(lambda: log.read_text().count('"event": "process_started"') > 3 + silent.count("block"), seconds=60)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0
