"""`tailorbird up` with all its processes, killed and stopped in every way."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

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
        return (self.folder / "output").read_text(errors="replace")

    def count(self, pattern):
        return len(re.findall(pattern, self.output()))

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name):
        return next(item for item in self.children() if item.cmdline()[-1] == name and item.cmdline()[-2] == "-m")


@contextmanager
def up(folder, *, base=None, data_dir=None):
    base = base or free_base()
    command = [sys.executable, "-m", "cli", "up", "--data-dir", str(data_dir or folder / "data")]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port-base", str(base)], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "TAILORBIRD_WORKERS": "1"},
        )  # fmt: skip
        running = Up(folder, process, Ports(base))
        try:
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def ready(folder):
    with up(folder) as running:
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
