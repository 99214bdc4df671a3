"""Locks between processes, with real ones: they exclude, they wait, and they go with their holder."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import psutil
import pytest

from common.process.file_lock import FileLock, LockTaken, hold_lock, hold_writer_lock, read_holder

HOLD = """
import sys
from pathlib import Path
from common.process.file_lock import FileLock
lock = FileLock(Path(sys.argv[1]), holder="somebody")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path):
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_a_lock_of_another_process_is_refused_with_what_its_holder_says(path):
    with held_by_another_process(path), pytest.raises(LockTaken) as caught:
        FileLock(path, holder="me")
    assert caught.value.holder == "somebody"


def test_another_part_of_the_same_process_is_refused_as_well(path):
    with FileLock(path, holder="one"), pytest.raises(LockTaken, match="held by one"):
        FileLock(path, holder="two")


def test_a_lock_goes_with_a_killed_process(path):
    with held_by_another_process(path) as process:
        process.kill()
        process.wait(timeout=60)
        FileLock(path, holder="me").close()


def test_a_closed_lock_can_be_taken_again_and_names_the_new_holder(path):
    FileLock(path, holder="a long name of the first one").close()
    with FileLock(path, holder="second"):
        assert read_holder(path) == "second"


def test_nobody_holds_a_lock_that_is_missing_or_closed(path):
    before = read_holder(path)
    FileLock(path, holder="me").close()
    assert (before, read_holder(path)) == (None, None)


def test_only_the_owner_can_read_a_lock(path, tmp_path):
    with FileLock(path, holder="me"), hold_writer_lock(tmp_path / "keys.json"):
        modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("lock", "keys.json.lock")]
    assert modes == [0o600, 0o600]


def test_one_who_waits_gets_the_lock_when_the_holder_is_killed(path):
    taken = threading.Event()

    def wait():
        with hold_lock(path):
            taken.set()

    with held_by_another_process(path) as process:
        waiter = threading.Thread(target=wait)
        waiter.start()
        early = taken.is_set()
        process.kill()
        waiter.join(timeout=60)
    assert (early, taken.is_set()) == (False, True)


def test_one_who_waits_too_long_is_told_which_lock_is_held(path):
    with (
        held_by_another_process(path),
        pytest.raises(TimeoutError, match=r"lock has been locked by another process for 0\.05 s"),
        hold_lock(path, seconds=0.05),
    ):
        pass


def test_one_who_waited_in_vain_leaves_nothing_open(path):
    with FileLock(path, holder="me"):
        before = psutil.Process().num_fds()
        with pytest.raises(TimeoutError), hold_lock(path, seconds=0.0):
            pass
        assert psutil.Process().num_fds() == before


def test_writers_of_one_file_exclude_each_other_and_lose_nothing(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    program = (
        "import sys; from pathlib import Path; from common.process.file_lock import hold_writer_lock\n"
        "path = Path(sys.argv[1])\n"
        "for _ in range(50):\n"
        "    with hold_writer_lock(path): path.write_text(str(int(path.read_text()) + 1))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(counter)], env=os.environ) for _ in range(3)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert counter.read_text() == "150"
