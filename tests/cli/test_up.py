"""`tailorbird up` with all its processes, killed and stopped in every way."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from benchmarks.system import free_base
from cli.system import PROCESSES, Ports
from common.testing import wait_until

ROOT = Path(__file__).resolve().parents[2]
#: Seconds for five processes to be ready on a busy machine.
PATIENCE = 90


class Up:
    """A running `tailorbird up`."""

    def __init__(self, folder, process, ports):
        self.folder = folder
        self.process = process
        self.ports = ports

    def output(self):
        files = [self.folder / "output", self.folder / "errors"]
        return "".join(path.read_text(errors="replace") for path in files if path.exists())

    def count(self, pattern):
        return len(re.findall(pattern, self.output()))

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name):
        return next(item for item in self.children() if item.cmdline()[-1] == name and item.cmdline()[-2] == "-m")


@contextmanager
def up(folder, *, base=None, data_dir=None, options=(), output=None):
    base = base or free_base()
    command = [sys.executable, "-m", "cli", "up", "--data-dir", str(data_dir or folder / "data"), *options]
    with (output or folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--port-base", str(base)], cwd=ROOT, stdout=output, stderr=errors,
            env={**os.environ, "TAILORBIRD_WORKERS": "1"},
        )  # fmt: skip
        running = Up(folder, process, Ports(base))
        try:
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def ready(folder, **how):
    with up(folder, **how) as running:
        wait_until(lambda: "Ctrl-C stops" in running.output() or running.process.poll() is not None, seconds=PATIENCE)
        assert running.process.poll() is None, running.output()
        yield running


def alive(processes):
    return [item for item in processes if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_order_and_leaves_nothing(tmp_path, number):
    with ready(tmp_path) as running:
        children = running.children()
        running.process.send_signal(number)
        code = running.process.wait(60)
    stopped = re.findall(r"stopping\s+process=(\w+)", running.output())
    assert (code, stopped) == (0, list(reversed(PROCESSES)))
    assert wait_until(lambda: alive(children) == [])
    assert "did not stop in time" not in running.output()


def test_a_kill_leaves_nothing(tmp_path):
    with ready(tmp_path) as running:
        children = running.children()
        running.process.kill()
        running.process.wait(60)
        assert wait_until(lambda: alive(children) == [])


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_that_is_killed_comes_back(tmp_path, name):
    with ready(tmp_path) as running:
        victim = running.child(name)
        family = victim.children(recursive=True)
        victim.kill()
        wait_until(lambda: running.count(rf"ready\s+process={name}\b") == 2, seconds=PATIENCE)
        assert alive([victim, *family]) == []


def test_a_process_that_hangs_comes_back(tmp_path):
    with ready(tmp_path, options=["--silent-seconds", "5"]) as running:
        victim = running.child("gateway")
        victim.suspend()
        wait_until(lambda: running.count(r"ready\s+process=gateway\b") == 2, seconds=PATIENCE)
        assert alive([victim]) == []
        assert running.count("does not answer, killing it.*process=gateway") == 1


def serves(running):
    with suppress(OSError), urlopen(f"{running.ports.endpoint}/health", timeout=5) as answer:
        return answer.status == 200


@pytest.mark.parametrize("broken", ["full disk", "reader that is gone"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, broken):
    place = Path("/dev/full") if broken == "full disk" else tmp_path / "pipe"
    if broken != "full disk":
        os.mkfifo(place)
        reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    with up(tmp_path, output=place) as running:
        if broken != "full disk":
            os.close(reader)
        wait_until(lambda: serves(running) or running.process.poll() is not None, seconds=PATIENCE)
        assert running.process.poll() is None, running.output()
        victim = running.child("events_service")
        victim.kill()
        wait_until(lambda: alive([victim]) == [] and serves(running), seconds=PATIENCE)
        assert running.child("events_service").pid != victim.pid
    assert running.process.returncode == 0


def test_a_second_system_in_the_same_directory_is_refused(tmp_path):
    (tmp_path / "second").mkdir()
    with ready(tmp_path) as first, up(tmp_path / "second", data_dir=tmp_path / "data") as second:
        assert second.process.wait(60) == 1
        assert f"process {first.process.pid}" in " ".join(second.output().split())


def test_the_secret_of_the_first_key_is_shown_at_the_first_start_only(tmp_path):
    shown = []
    for _ in range(2):
        with ready(tmp_path) as running:
            shown.append("AWS_SECRET_ACCESS_KEY=" in running.output())
    assert shown == [True, False]
