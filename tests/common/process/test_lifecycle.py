"""Running until a signal, with real processes."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

HEAD = """
import asyncio, sys
from common.process import lifecycle

def say(*words):
    print(*words, flush=True)
"""
#: Works until it is cancelled, and says how often it has beaten by then: at least once.
ENDLESS = """
beats = []
async def work():
    say("works")
    try:
        await asyncio.Event().wait()
    finally:
        say("ends after beats" if beats else "ends without a beat")
lifecycle.run_until_signal(work(), beat=lambda: beats.append(1))
say("returned")
"""
FAILING = """
async def work():
    raise KeyError("broken")
lifecycle.run_until_signal(work(), beat=lambda: None)
"""
SERVING = """
async def endless():
    say("works")
    await asyncio.Event().wait()
async def serve():
    work = asyncio.create_task(endless())
    say(await lifecycle.signalled_before(work))
    work.cancel()
    say(await lifecycle.signalled_before(work))
lifecycle.run(serve())
"""
REPEATED = """
async def main():
    stop = lifecycle.stop_event(on_repeat=lambda: (say("again"), repeated.set()))
    repeated = asyncio.Event()
    say("works")
    await stop.wait()
    say("stops")
    await repeated.wait()
asyncio.run(main())
"""


@contextmanager
def running(body):
    with subprocess.Popen([sys.executable, "-c", HEAD + body], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process):
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_work_is_cancelled_at_a_signal_and_ends_in_order(number):
    with running(ENDLESS) as process:
        assert line(process) == "works"
        process.send_signal(number)
        assert process.stdout.read().split("\n")[:2] == ["ends after beats", "returned"]
        assert process.wait(timeout=60) == 0


def test_what_the_work_raises_ends_the_process():
    command = [sys.executable, "-c", HEAD + FAILING]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode == 1
    assert failed.stderr.strip().endswith("KeyError: 'broken'")


def test_a_task_that_ended_needs_no_signal():
    with running(SERVING) as process:
        assert line(process) == "works"
        process.send_signal(signal.SIGTERM)
        assert (line(process), line(process)) == ("True", "False")
        assert process.wait(timeout=60) == 0


def test_each_further_signal_is_told():
    with running(REPEATED) as process:
        assert line(process) == "works"
        process.send_signal(signal.SIGTERM)
        assert line(process) == "stops"
        process.send_signal(signal.SIGINT)
        assert line(process) == "again"
        assert process.wait(timeout=60) == 0


def test_the_limit_of_open_files_is_raised_as_far_as_allowed_and_never_lowered():
    program = (
        "import resource; from common.process.lifecycle import raise_open_files\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))\n"
        "print(raise_open_files(128), raise_open_files(100), raise_open_files(10**6))\n"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 256
    shown = subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60, env=os.environ)
    assert shown.split() == ["128", "128", "256"]
