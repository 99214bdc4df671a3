"""Workers that are forked: kept running, ended in order, never left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from common.testing import wait_until

#: A parent with the workers whose names it is given. All but `serve`, `drain` and `ignore` end by themselves; those
#: that `drain` are stopped first.
PARENT = """
import asyncio, os, sys
from common.errors import InvalidInput
from common.logs import configure_logging
from common.process.forked import Patience, WorkerSpec, run_workers_until_signal

def say(text):
    os.write(1, f"{text}\\n".encode())

async def serve(beat):
    say("serving")
    try:
        await asyncio.Event().wait()
    finally:
        say("stopped in order")

async def ignore(beat):
    say("ignoring")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("asked to stop")

async def drain(beat):
    say("serving")
    try:
        await asyncio.Event().wait()
    finally:
        say("draining")
        await asyncio.sleep(0.2)
        say("drained")

async def end(beat):
    pass

def refuse(beat):
    raise InvalidInput("`listen`: got nonsense")

async def panic(beat):
    raise BaseException("panicked")  # as extensions in Rust do

configure_logging("pool", level="INFO", form="json")
specs = [
    WorkerSpec(f"{name}-{number}", globals()[name], turn=int("drain" in sys.argv and name != "drain"))
    for number, name in enumerate(sys.argv[1:])
]
run_workers_until_signal(specs, Patience(grace_seconds=0, silent_seconds=float(os.environ["SILENT"])))
"""


class Pool:
    def __init__(self, process, log_file):
        self.process = process
        self._log_file = log_file

    def lines(self, event):
        complete = self._log_file.read_text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, complete) if line["event"] == event]

    def children(self):
        return psutil.Process(self.process.pid).children()

    def read(self):
        return self.process.stdout.readline().strip()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def running(folder, *names, silent_seconds=60):
    log_file = folder / "pool.log"
    command = [sys.executable, "-c", PARENT, *names]
    with (
        log_file.open("wb") as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "SILENT": str(silent_seconds)}
        ) as process,
    ):
        try:
            yield Pool(process, log_file)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_all_workers_end_in_order_at_a_signal(tmp_path, number):
    with running(tmp_path, "serve", "serve") as pool:
        assert [pool.read(), pool.read()] == ["serving", "serving"]
        pool.process.send_signal(number)
        assert [pool.read(), pool.read()] == ["stopped in order", "stopped in order"]
        assert pool.process.wait(timeout=60) == 0
        assert [len(pool.lines(event)) for event in ("process_ended", "process_killed", "stopped")] == [0, 0, 1]


def test_what_others_rely_on_is_stopped_when_they_have_ended(tmp_path):
    with running(tmp_path, "serve", "drain", "drain") as pool:
        assert [pool.read() for _ in range(3)] == ["serving"] * 3
        assert pool.stop() == 0
        lines = [pool.read() for _ in range(5)]
    assert sorted(lines[:4]) == ["drained", "drained", "draining", "draining"]
    assert lines[4] == "stopped in order"


def test_one_that_was_signalled_before_its_turn_has_stopped(tmp_path):
    with running(tmp_path, "serve", "drain") as pool:
        assert [pool.read() for _ in range(2)] == ["serving"] * 2
        wait_until(lambda: len(pool.lines("process_started")) == 2)
        (relied_on,) = (line["pid"] for line in pool.lines("process_started") if line["process"] == "serve-0")
        pool.process.send_signal(signal.SIGTERM)
        wait_until(lambda: pool.lines("stopping"))
        os.kill(relied_on, signal.SIGTERM)  # as a signal to the whole group does
        assert pool.process.wait(timeout=60) == 0
        assert (len(pool.lines("process_started")), pool.lines("process_ended")) == (2, [])


def test_a_worker_that_is_killed_is_forked_again_and_the_other_left_alone(tmp_path):
    with running(tmp_path, "serve", "serve") as pool:
        assert [pool.read(), pool.read()] == ["serving", "serving"]
        wait_until(lambda: len(pool.lines("process_started")) == 2)  # a child may be faster than its parent's log
        killed, other = (line["pid"] for line in pool.lines("process_started"))
        os.kill(killed, signal.SIGKILL)
        assert pool.read() == "serving"
        (end,) = pool.lines("process_ended")
        assert (end["process"], end["pid"], end["exit_code"]) == ("serve-0", killed, -9)
        assert other in {child.pid for child in pool.children()}
        assert len(pool.children()) == 2
        assert pool.stop() == 0


def test_a_parent_that_hangs_ends_with_its_workers(tmp_path):
    with running(tmp_path, "serve", "serve", silent_seconds=2) as pool:
        assert [pool.read(), pool.read()] == ["serving", "serving"]
        workers = pool.children()
        pool.process.send_signal(signal.SIGSTOP)

        assert pool.process.wait(timeout=60) == -signal.SIGKILL
        gone, alive = psutil.wait_procs(workers, timeout=60)
        assert (len(gone), alive) == (2, [])
        assert {line["pid"] for line in pool.lines("parent_silent")} == {pool.process.pid}


def test_one_that_ends_again_and_again_is_forked_at_once_and_then_after_growing_pauses(tmp_path):
    with running(tmp_path, "end") as pool:
        wait_until(lambda: len(pool.lines("process_ended")) >= 4, seconds=60)
        ends = pool.lines("process_ended")[:4]
        assert [end["restart_in_seconds"] for end in ends] == [0.0, 0.1, 0.2, 0.4]
        assert {end["exit_code"] for end in ends} == {0}
        assert pool.stop() == 0


def test_what_a_worker_raises_is_told_and_ends_that_worker_alone(tmp_path):
    with running(tmp_path, "refuse", "serve") as pool:
        assert pool.read() == "serving"
        wait_until(lambda: pool.lines("process_ended"), seconds=60)
        (end, *_) = pool.lines("process_ended")
        assert (end["process"], end["exit_code"]) == ("refuse-0", 1)
        assert re.search("got nonsense", pool.lines("process_failed")[0]["message"])
        assert pool.stop() == 0


def test_a_panic_of_a_worker_is_logged(tmp_path):
    with running(tmp_path, "panic") as pool:
        wait_until(lambda: pool.lines("process_ended"), seconds=60)
        assert pool.lines("process_ended")[0]["exit_code"] == 1
        assert "panicked" in pool.lines("process_failed")[0]["exception"]
        assert pool.stop() == 0


def test_a_worker_that_ignores_the_stop_is_killed(tmp_path):
    with running(tmp_path, "ignore", "serve") as pool:
        assert sorted([pool.read(), pool.read()]) == ["ignoring", "serving"]
        assert pool.stop() == 0
        assert sorted([pool.read(), pool.read()]) == ["asked to stop", "stopped in order"]
        assert [line["process"] for line in pool.lines("process_killed")] == ["ignore-0"]


def test_workers_die_with_a_parent_that_is_killed(tmp_path):
    with running(tmp_path, "serve", "ignore") as pool:
        assert sorted([pool.read(), pool.read()]) == ["ignoring", "serving"]
        children = pool.children()
        pool.process.kill()
        pool.process.wait(timeout=60)
        assert len(children) == 2
        wait_until(lambda: not any(child.is_running() for child in children))


def test_the_parent_has_one_thread(tmp_path):
    with running(tmp_path, "serve") as pool:
        assert pool.read() == "serving"
        assert psutil.Process(pool.process.pid).num_threads() == 1
        assert pool.stop() == 0
